"""Verdicts and traces as text and as plain data."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from collectivelint.printable import one_line

from ..quantities import ranks_text
from .advice import advice
from .data import passed
from .rules import RULES, explanation, orders_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from ..traces.model import Event, Trace
    from .model import Divergence, Side

_DEEPEST: Final = 5


def text(divergence: Divergence) -> str:
    """The report: what happened, then each side with its call site and stack."""
    lines = [headline(divergence)]
    names = [ranks_text(side.ranks) for side in divergence.sides]
    width = max(map(len, names))
    for name, side in zip(names, divergence.sides, strict=True):
        lines.append(f"  {name:<{width}}  {_side(side)}")
        stack = side.stack[:_DEEPEST] or (side.event.place.lines(_DEEPEST) if side.event is not None else ())
        lines += [f"  {'':<{width}}    {frame}" for frame in stack]
    lines += [f"  {note}" for note in divergence.notes]
    if divergence.rule:
        lines.append(f"  {explanation(divergence.rule)}")
    if to_do := advice(divergence):
        lines.append(f"  what to change: {to_do}")
    return "".join(f"{one_line(line)}\n" for line in lines)


def headline(divergence: Divergence) -> str:
    """The first line of the report."""
    return one_line(_headline(divergence))


def _headline(divergence: Divergence) -> str:
    first, *others = (side for side in divergence.sides if not side.is_consequence)
    who, rest = ranks_text(first.ranks), ranks_text(sorted(rank for side in others for rank in side.ranks))
    several = len(first.ranks) > 1
    match divergence.verdict:
        case "deadlock":
            wait = "wait" if several else "waits"
            # Of a job that has ended that may not be known.
            after = f" after {divergence.waited:.1f} s" if divergence.waited >= 0.05 else ""
            return f"DEADLOCK{after}: {who} {wait} in {divergence.what} on the {divergence.group}; {rest} will never reach it"
        case "timeout":
            wait = (
                f"TIMEOUT after {divergence.waited:.1f} s: {who} waited in {divergence.what} on the {divergence.group}"
            )
            place = next((f", at {_at(side)}" for side in others if side.stack), "")
            count = sum(len(side.ranks) for side in others)
            return f"{wait}; {rest} {'was' if count == 1 else 'were'} slow{place}" if others else wait
        case "mismatch" if divergence.what == "parameter":
            calls = [(ranks_text(side.ranks), side.event) for side in divergence.sides if side.event is not None]
            words = passed([event.argument for _, event in calls if event.argument is not None])
            said = [f"{ranks} with {what}" for (ranks, _), what in zip(calls, words, strict=True)]
            said[0] = f"{who} call{'s' * (not several)} {calls[0][1].op} with {words[0]}"
            return f"MISMATCH: {', '.join(said)}: call #{divergence.sequence} on the {divergence.group}"
        case "mismatch" if divergence.what == "result":
            return f"MISMATCH: {who} and {rest} have different results of call #{divergence.sequence} on the {divergence.group}"
        case "mismatch":
            skipped = f"{divergence.skipped}; " if divergence.skipped is not None else ""
            what = f"MISMATCH: {skipped}{who} and {rest} disagree about the {divergence.what} of call #{divergence.sequence}"
            return f"{what} on the {divergence.group}"
        case "order":
            return (
                f"GROUP ORDER: {who} and {rest} disagree about the {divergence.what} (creation #{divergence.sequence})"
            )
        case "unmatched":
            return f"UNMATCHED: {who} called {divergence.what} on the {divergence.group}; {rest} never did"
        case "outsider":
            return f"OUTSIDER: {who} called {divergence.what} on a group it is not in; the call did nothing"


def _at(side: Side) -> str:
    """Where a slow rank was when last asked, and what it did there."""
    place = side.stack[0].partition(": ")[0]
    return f"{place}, where it {side.activity}" if side.activity is not None else place


def _side(side: Side) -> str:
    event = side.event
    if event is None:
        return side.state
    call = f"{event.place.path}:{event.place.line}  {event.place.function} -> {described(event)}"
    place = f"{event.group}  #{event.sequence}"
    if side.state in ("waits in", "waited in", "calls", "called"):
        return f"{call}  {place}"
    if side.state.endswith(":"):
        return f"{side.state} {call}  {place}"
    return f"{side.state}; its last call was {call}  {place}"


def described(event: Event) -> str:
    """A call in a report: `broadcast(src=0, float32[8,16])`."""
    return f"{event.op}({', '.join(arguments(event))})"


def arguments(event: Event) -> list[str]:
    """The arguments of a call that must agree between ranks: `src=0`, `float32[8,16]`."""
    found = []
    if event.peer >= 0:
        name = {"broadcast": "src", "scatter": "src", "recv": "src"}.get(event.op, "dst")
        found.append(f"{name}={event.peer}")
    if "reduce_op" in event.signature:
        found.append(str(event.signature["reduce_op"]))
    tensors = event.signature.get("tensors") or event.signature.get("sent") or []
    for shape, dtype in tensors[:2]:
        found.append(f"{str(dtype).removeprefix('torch.')}[{','.join(map(str, shape))}]")
    if len(tensors) > 2:
        found.append(f"and {len(tensors) - 2} more")
    for name in ("output_split_sizes", "input_split_sizes"):
        if name in event.signature:
            found.append(f"{name}={event.signature[name]}")
    if event.argument is not None:
        found.append(str(event.argument))
    if "ranks" in event.signature:
        found.append(f"ranks={event.signature['ranks']}")
    return found


def straggler(
    trace: Trace,
    stuck: Iterable[tuple[Event, tuple[int, ...]]],
    stopped: Collection[int] = frozenset(),
    silent: Collection[int] = frozenset(),
) -> str:
    """The hint for long waits that may still end.

    `stopped`: ranks stopped by the system (SIGSTOP, Ctrl-Z); `silent`: ranks that did not report where they are.
    """
    stuck = list(stuck)
    waiting: defaultdict[tuple[Any, ...], list[Event]] = defaultdict(list)
    for event, absent in stuck:
        waiting[(event.op, event.group.key, event.place, absent)].append(event)
    lines = []
    for (*_, absent), events in waiting.items():
        first = min(events, key=lambda event: event.start)
        now = time.time()
        who = ranks_text(event.rank for event in events)
        verb = "have" if len(events) > 1 else "has"
        lines.append(
            f"note: {who} {verb} waited {now - first.start:.0f} s in {described(first)} on the {first.group} at "
            f"{first.place.path}:{first.place.line}; {ranks_text(absent)} may still come"
        )
        for member in absent[:_DEEPEST]:
            rank = trace.ranks.get(member)
            if member in stopped:
                lines.append(f"  rank {member} is stopped; `kill -CONT {trace.ranks[member].pid}` resumes it")
            elif member in silent:
                lines.append(
                    f"  rank {member} has not reported its stack: C++ code or one long call may hold its interpreter's lock"
                )
            elif rank is not None and rank.stack:
                does = f"{rank.activity}," if rank.activity is not None else "is"
                lines.append(f"  rank {member} {does} at {rank.stack[0]}")
                lines += [f"    {frame}" for frame in rank.stack[1:_DEEPEST]]
    lines += [f"  {note}" for note in _crossed(trace, stuck)]
    return "".join(f"{one_line(line)}\n" for line in lines)


def _crossed(trace: Trace, stuck: list[tuple[Event, tuple[int, ...]]]) -> Iterator[str]:
    """Notes on pairs of ranks that wait for the device, each in a call on another group that lacks the other rank."""
    waits = {
        event.rank: (event, absent)
        for event, absent in stuck
        if (does := trace.ranks[event.rank].activity) is not None and does.kind == "device"
    }
    for number, (event, absent) in waits.items():
        for member in absent:
            other, others = waits.get(member, (None, ()))
            if number < member and other is not None and number in others and other.group.key != event.group.key:
                orders = orders_text([number], event.group, [member], other.group)
                yield f"each may wait for the other (CL206 {RULES['CL206'][0]}): {orders}"


def as_dict(divergence: Divergence) -> dict[str, Any]:
    """The verdict as plain data, for divergence.json."""
    return {
        "verdict": divergence.verdict,
        "what": divergence.what,
        "group": {"ranks": list(divergence.group.ranks), "description": divergence.group.description},
        "sequence": divergence.sequence,
        "waited": round(divergence.waited, 3),
        "rule": divergence.rule or None,
        "notes": list(divergence.notes),
        "sides": [
            {
                "ranks": list(side.ranks),
                "state": side.state,
                "event": _event(side.event),
                "stack": list(side.stack),
                "activity": str(side.activity) if side.activity is not None else None,
                "consequence": side.is_consequence,
            }
            for side in divergence.sides
        ],
    }


def _event(event: Event | None) -> dict[str, Any] | None:
    if event is None:
        return None
    return {
        "op": event.op,
        "kind": event.kind,
        "group": list(event.group.ranks),
        "sequence": event.sequence,
        "peer": event.peer if event.peer >= 0 else None,
        "signature": dict(event.signature),
        "argument": str(event.argument) if event.argument is not None else None,
        "checksum": f"{event.checksum:08x}" if event.checksum else None,
        "async": event.is_async,
        "state": event.state.name.lower(),
        "start": event.start,
        "end": event.end or None,
        "site": {"path": event.place.path, "line": event.place.line, "function": event.place.function},
        "stack": list(event.place.stack),
        "via": list(event.place.via),
        "started_at": list(event.place.started_at),
    }
