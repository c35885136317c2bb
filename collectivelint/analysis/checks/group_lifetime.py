"""The lifetime of the default group: collectives of a function that run before it is made or after it is destroyed."""

from __future__ import annotations

import builtins
import sys
from typing import TYPE_CHECKING, Final

from ...ir.names import plain
from ...ir.nodes import blocks, calls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ...ir.nodes import Block, Call, Span
    from ...program.resolver import Program
    from ..summary.facts import FunctionFacts
    from ..summary.model import ApiCall

_BUILTINS: Final = frozenset(dir(builtins))
#: What comes from elsewhere may be the project's own, installed; these are not.
_ELSEWHERE: Final = sys.stdlib_module_names | {"torch", "numpy"}


def outside_default_group(program: Program, facts: FunctionFacts) -> Iterator[tuple[ApiCall, ApiCall]]:
    """Pairs in one block: a collective outside the default group's lifetime, and the call that makes or destroys it."""
    if any(call.api.category == "lifecycle" for call in facts.calls):
        yield from _outside(program, facts, facts.function.body, {call.span: call for call in facts.calls})


def _outside(
    program: Program, facts: FunctionFacts, block: Block, known: Mapping[Span, ApiCall]
) -> Iterator[tuple[ApiCall, ApiCall]]:
    since: list[ApiCall] = []
    gone: ApiCall | None = None
    for statement in block:
        for part in calls(statement):
            call = known.get(part.span)
            if call is None:
                if not _leads_outside(program, facts.function.path, part):
                    since, gone = [], None
            elif call.api.category == "collective":
                since.append(call)
                if gone is not None:
                    yield call, gone
            elif call.api.operation == "init":
                yield from ((early, call) for early in since if gone is None)
                since, gone = [], None
            elif call.api.operation == "destroy":
                since, gone = [], (call if not call.values and not call.call.spread else None)
        for inner in blocks(statement):
            yield from _outside(program, facts, inner, known)
            if _has_lifecycle(inner, known):
                # What happens in there is known only where it happens.
                since, gone = [], None


def _leads_outside(program: Program, path: str, call: Call) -> bool:
    """Whether the call is known to be of a library that leaves process groups alone."""
    name = plain(call.function)
    target = program.resolve(path, name) if name is not None else None
    if target is None:
        return name in _BUILTINS
    return target.kind == "external" and target.name.partition(".")[0] in _ELSEWHERE


def _has_lifecycle(block: Block, known: Mapping[Span, ApiCall]) -> bool:
    return any(
        any(
            (call := known.get(part.span)) is not None and call.api.category == "lifecycle" for part in calls(statement)
        )
        or any(_has_lifecycle(inner, known) for inner in blocks(statement))
        for statement in block
    )
