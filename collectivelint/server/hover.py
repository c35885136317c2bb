"""The hover text of a call: the collectives it reaches, on which group, and which ranks reach it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from ..analysis.domain.show import group_words
from ..analysis.effects import Choice, Event
from ..analysis.positions import within
from ..program.target import Target
from ..report.analysis import axes, condition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..analysis.effects import Guard, Item, Term
    from ..analysis.program import Analysis
    from ..analysis.summary.facts import FunctionFacts
    from ..ir.nodes import Span

#: Conditions around a collective, outer ones first, each with whether it holds there.
_Guards: TypeAlias = "tuple[tuple[Guard, bool], ...]"
#: More collectives than this are only counted.
_MOST: Final = 6


def describe(analysis: Analysis, path: str, line: int, byte_column: int, text: Callable[[str, Span], str]) -> str:
    """Markdown about the call at a position, or nothing if it reaches no collective. `text` is the source of a span."""
    # Of a file that cannot be parsed nothing is known.
    facts = _around(analysis, path, line, byte_column) if path in analysis.paths else None
    if facts is None:
        return ""
    found = [
        (event, guards)
        for event, guards in _events(facts.term)
        if event.kind != "init" and event.place[0].contains_position(line, byte_column)
    ]
    # Calls lie in calls: the innermost one is meant.
    inner = max((event.place[0].start for event, _ in found), default=None)
    found = [item for item in found if item[0].place[0].start == inner]
    parts = [_described(event, guards, text) for event, guards in found[:_MOST]]
    if len(found) > _MOST:
        parts.append(f"and {len(found) - _MOST} more")
    known = next((call.api for call in facts.calls if found and call.span == found[0][0].place[0]), None)
    if known is not None:
        equal = ", ".join("the result" if name == "return" else f"`{name}`" for name in known.uniform)
        if equal:
            parts.append(f"Afterwards {equal} is the same on every rank of the group.")
        parts.append(f"Source: {known.source}")
    return "\n\n".join(parts)


def _described(event: Event, guards: _Guards, text: Callable[[str, Span], str]) -> str:
    lines = [f"**{event.op}** on {group_words(event.group)}"]
    if event.why:
        lines.append(event.why)
    if event.chain:
        calls = ", ".join(f"`{site.callee}`" for site in event.chain)
        lines.append(f"through {calls} ({event.path}:{event.span.line})")
    differing = [(guard, holds) for guard, holds in guards if guard.varies]
    if differing:
        lines += [
            f"only ranks {condition(guard, text, holds=holds)}, over {axes(guard.varies)}" for guard, holds in differing
        ]
    elif guards:
        lines.append("every rank that calls this function, if conditions hold that are the same on all ranks")
    else:
        lines.append("every rank that calls this function")
    return "\\\n".join(lines)


def _around(analysis: Analysis, path: str, line: int, byte_column: int) -> FunctionFacts | None:
    """The facts of the innermost function at a position."""
    inside = [
        function
        for function in analysis.program.functions(path).values()
        if function.span.contains_position(line, byte_column)
    ]
    named = [function for function in inside if function.qualname != "<module>"]
    innermost = max(named or inside, key=lambda function: function.span, default=None)
    return analysis.facts(Target("function", path, innermost.qualname)) if innermost is not None else None


def _events(term: Term) -> Iterator[tuple[Event, _Guards]]:
    """The collectives of a term, each with the path conditions that it is under."""

    def inside(item: Item, number: int, guards: _Guards) -> _Guards:
        return (*guards, (item.guard, number == 0)) if isinstance(item, Choice) else guards

    outside: _Guards = ()
    return ((item, guards) for item, guards in within(term, outside, inside) if isinstance(item, Event))
