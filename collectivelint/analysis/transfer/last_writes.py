"""The last write to a variable, attribute or entry: whether all paths through a function leave the same value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from ...ir.names import plain
from ...ir.nodes import (
    Assign,
    Attribute,
    Branch,
    Call,
    Compound,
    Constant,
    Evaluate,
    Exit,
    Loop,
    Subscript,
    Try,
    With,
    blocks,
)
from ..domain.recognise import ADDING

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from ...ir.nodes import Block, Expr, Span, Statement

#: What is written last, None where nothing is yet, and the constants that are added to it afterwards.
_Left: TypeAlias = "tuple[Expr | None, tuple[object, ...]]"
_UNTOUCHED: Final[_Left] = (None, ())
#: With more different outcomes than this nothing is said.
_MOST_OUTCOMES: Final = 8


class _UnknownError(Exception):
    """There are too many paths, or the value depends on the iterations of a loop."""


def key_of(expr: Expr) -> str | None:
    """The source text of a variable, an attribute or an entry with a constant key: `state['stop']`."""
    match expr:
        case Subscript(value=owner, index=Constant(value=key)) if isinstance(key, (str, int)):
            path = plain(owner)
            return None if path is None else f"{path}[{key!r}]"
        case _:
            return plain(expr)


def outcome(block: Block, key: str, before: Expr | None = None) -> tuple[Expr | None, int] | None:
    """The constant that all paths through a block leave in `key`, and the amount added; None where paths may differ.

    The constant is None if the paths only add to the value before, unless that is the known constant `before`. Paths
    that end with an exception do not count.
    """
    ways = _Ways(key)
    try:
        fallen = ways.through(block, {_UNTOUCHED if before is None else (before, ())})
    except _UnknownError:
        return None
    found = fallen | ways.returned
    if len(found) != 1:
        return None
    base, more = next(iter(found))
    if (base, more) == _UNTOUCHED:
        # It is written in some other way.
        return None
    return (base, len(more)) if base is None or isinstance(base, Constant) else None


def alike_in_both_arms(block: Block, test: Span, key: str) -> bool:
    """Whether both arms of the branch on the condition at `test` leave the same value in `key` right after it."""
    for statement in block:
        if isinstance(statement, Branch) and statement.test_span == test:
            return outcome((statement,), key) is not None
        if any(alike_in_both_arms(inner, test, key) for inner in blocks(statement)):
            return True
    return False


class _Ways:
    """The outcomes of all paths through a block."""

    def __init__(self, key: str) -> None:
        self.key: Final = key
        self.returned: Final[set[_Left]] = set()
        #: Where the turns of the loop at hand have been left or ended early.
        self.turned: set[_Left] = set()

    def through(self, block: Block, states: AbstractSet[_Left]) -> set[_Left]:
        found = set(states)
        for statement in block:
            if not found:
                break
            found = self._after(statement, found)
            if len(found) > _MOST_OUTCOMES:
                raise _UnknownError
        return found

    def _after(self, statement: Statement, states: set[_Left]) -> set[_Left]:
        match statement:
            case Assign(targets=targets, value=value):
                for target in targets:
                    parts = target.parts if isinstance(target, Compound) else (target,)
                    if any(key_of(part) == self.key for part in parts):
                        states = self._written(states, value, alone=len(parts) == 1)
                    elif any(isinstance(part, Subscript) and key_of(part.value) == self.key for part in parts):
                        states = {(base, (*more, "entry")) for base, more in states}
                return states
            case Evaluate(value=Call(function=Attribute(value=owner, name=name))) if name in ADDING:
                return {(base, (*more, name)) for base, more in states} if key_of(owner) == self.key else states
            case Branch(then=then, orelse=orelse):
                return self.through(then, states) | self.through(orelse, states)
            case With(body=body):
                return self.through(body, states)
            case Loop(body=body, orelse=orelse):
                around, self.turned = self.turned, set()
                once = self.through(body, states) | self.turned
                self.turned = around
                if any(more for _, more in once - states):
                    # How often something is added depends on how many turns there are.
                    raise _UnknownError
                return self.through(orelse, states | once)
            case Try(body=body, handlers=handlers, orelse=orelse, final=final):
                done = self.through(body, states)
                caught = [self.through(block, states | done) for _, _, block in handlers]
                return self.through(final, self.through(orelse, done).union(*caught))
            case Exit(kind=kind):
                if kind == "return":
                    self.returned.update(states)
                elif kind != "raise":
                    self.turned.update(states)
                return set()
            case _:
                return states

    def _written(self, states: set[_Left], value: Expr, *, alone: bool) -> set[_Left]:
        match value:
            case Compound(kind="augmented", parts=(_, Constant() as more)) if alone:
                return {(base, (*known, more)) for base, known in states}
            case _:
                return {(value, ())}
