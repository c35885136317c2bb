"""Options: attributes of an object that is made in reach, set once from constants that its constructor is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..domain.symbol import constant
from ..domain.value import UNKNOWN
from .program_calls import arguments_of

if TYPE_CHECKING:
    from ...ir.nodes import Call
    from ...program.target import Target
    from ..domain.symbol import Symbol
    from ..domain.value import Value
    from ..transfer.state import Frame


def options_of(
    frame: Frame, constructor: Target, made: Value, expr: Call, args: list[Value], keywords: dict[str, Value]
) -> tuple[tuple[str, Symbol], ...]:
    """The attributes of an object made here that stay the constants which its constructor sets them to."""
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
        files = {frame.path, owner.path}
        if setters == [facts.function.qualname] and not any(name in context.changed_in(path) for path in files):
            found.append((name, constant(given.constant)))
    return tuple(found)
