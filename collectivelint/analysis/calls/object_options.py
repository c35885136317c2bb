"""Options: attributes of an object made in this function that its constructor sets, once, to constants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.names import plain
from ...ir.nodes import Call, assignments, expressions
from ..domain.symbol import constant
from ..domain.value import UNKNOWN
from ..summary.attribute_writes import sets_computed
from .program_calls import arguments_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...ir.nodes import Block, Expr
    from ...program.target import Target
    from ..domain.symbol import Symbol
    from ..domain.value import Value
    from ..transfer.state import Frame


def options_of(
    frame: Frame, constructor: Target, made: Value, expr: Call, args: list[Value], keywords: dict[str, Value]
) -> tuple[tuple[str, Symbol], ...]:
    """The attributes of an object made here that keep the constants its constructor assigns."""
    context, owner = frame.context, made.reference.instance
    facts = context.facts(constructor)
    if facts is None or owner is None or not facts.attributes:
        return ()
    arguments = arguments_of(facts.function, made.referring(receiver=made), expr, args, keywords)
    found: list[tuple[str, Symbol]] = []
    for name, value in facts.attributes.items():
        given = value if value.given_as is None else arguments.get(value.given_as)
        # None is a place for what comes later.
        if given is None or given.constant is UNKNOWN or given.constant is None:
            continue
        setters = [method for base in context.program.bases(owner) for method in context.setters(base, name)]
        if setters == [facts.function.qualname]:
            found.append((name, constant(given.constant)))
    if not found or any(f"{base.name}.*" in context.changed_in(base.path) for base in context.program.bases(owner)):
        return ()
    calls = list(_passing(frame.function.body, expr))
    files = {frame.path, owner.path}
    for call in calls:
        called = context.program.resolve(frame.path, plain(call.function) or "")
        if called is not None and called.kind == "function":
            files.add(called.path)
    changed: frozenset[str] = frozenset().union(*(context.changed_in(path) for path in sorted(files)))
    if any(f"{(plain(call.function) or '').rpartition('.')[2]}()" in changed for call in calls):
        return ()
    if any(sets_computed(frame.function.body, name) for name in _names(frame.function.body, expr)):
        return ()
    return tuple(option for option in found if option[0] not in changed)


def _names(block: Block, made: Expr) -> list[str]:
    """The names that the result of a call is assigned to."""
    names = [plain(target) for found in assignments(block) if found.value == made for target in found.targets]
    return [name for name in names if name is not None]


def _passing(block: Block, made: Expr) -> Iterator[Call]:
    """The calls that receive the result of a call, directly or under a name it has in this block."""
    names = _names(block, made)
    for expr in expressions(block):
        if isinstance(expr, Call):
            given = (*expr.args, *(value for _, value in expr.keywords))
            if any(arg == made or plain(arg) in names for arg in given):
                yield expr
