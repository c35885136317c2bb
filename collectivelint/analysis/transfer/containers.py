"""Containers that each rank fills on its own: with requests that were granted, and with names that it records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.nodes import Attribute, Branch, Compare, Name, Subscript, assignments, blocks
from ..domain.symbol import attribute, parameter
from ..domain.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ...ir.nodes import Block, Expr, Function, Span
    from ..domain.causes import Cause
    from ..domain.symbol import Symbol
    from .state import Frame


def comes_across(frame: Frame, container: Expr, index: Expr, own: str) -> None:
    """`self.container[index] = ...` under a condition may add entries on some ranks; `own` is the name of `self`."""
    match container:
        case Attribute(value=Name(id=owner), name=name) if owner == own and frame.conditions:
            cause = _granted(frame) or _recorded(frame, container, index)
            if cause is not None and not frame.function.qualname.endswith(".__init__"):
                known = frame.facts.attributes.get(name) or Value(attribute(parameter("self"), name))
                frame.facts.attributes[name] = known.sized(uneven=(cause,))
        case _:
            pass


def _granted(frame: Frame) -> Cause | None:
    """The cause if a condition tests whether an object in an attribute of `self` has granted a request; else None."""
    for condition in frame.conditions:
        asked = condition.positive
        if asked.kind == "compare" and asked.head == ("is",):
            asked = asked.args[0]
        call = frame.elements.get(asked, asked)
        if call.kind == "call" and _is_of_attribute(call.args[0]) and any(arg.parameters for arg in call.args[1:]):
            return frame.cause("requests", frame.statement)
    return None


def _is_of_attribute(function: Symbol) -> bool:
    """Whether it is a method of an attribute of this object: `self.pool.reserve`."""
    return function.kind == "attribute" and function.args[0].kind == "attribute" and function.root == "self"


def _recorded(frame: Frame, container: Expr, index: Expr) -> Cause | None:
    """The cause if an entry is made for a name in a parameter the first time it occurs; else None."""
    if not isinstance(index, Name) or not any(item.name == index.id for item in frame.function.params):
        return None
    asks = any(_asks_for(test, index, container) for test in _tests(frame.function.body))
    return frame.cause("recorded", frame.statement) if asks else None


def recorded_names(functions: Iterable[Function]) -> dict[str, Span]:
    """The variables of a module in which functions make an entry when a name first occurs, each with the place."""
    found: dict[str, Span] = {}
    for function in functions:
        names = {item.name for item in function.params}
        local = {target.id for one in assignments(function.body) for target in one.targets if isinstance(target, Name)}
        for one in assignments(function.body):
            for target in one.targets:
                match target:
                    case Subscript(value=Name(id=container), index=Name(id=key) as index) if (
                        key in names and container not in names | local
                    ):
                        if any(_asks_for(test, index, target.value) for test in _tests(function.body)):
                            found.setdefault(container, one.span)
                    case _:
                        pass
    return found


def _asks_for(test: Expr, index: Expr, container: Expr) -> bool:
    match test:
        case Compare(op="not in", left=left, right=right):
            return left == index and right == container
        case _:
            return False


def _tests(block: Block) -> Iterator[Expr]:
    for statement in block:
        if isinstance(statement, Branch):
            yield statement.test
        for inner in blocks(statement):
            yield from _tests(inner)


def is_empty_table(value: Value) -> bool:
    """Whether the value is an empty dict display, `{}`."""
    symbol = value.written
    return symbol.kind == "compound" and symbol.head == ("Dict",) and not symbol.args
