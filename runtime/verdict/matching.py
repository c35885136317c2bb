"""The verdict on a trace: whether the ranks of every group make the same calls, and which threads wait forever.

Input is plain data (traces/model.py), so it serves a running job as well as a finished trace. Only what is proved is
called a divergence: a rank that is merely slow may still arrive.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from ..operations import COMPARED, LOOSE, ROOTED, SPLIT, dtypes
from ..traces.model import Numbering
from . import endings
from .data import conflicting_arguments, describe_checksums, results_differ
from .model import Divergence, Side, Verdict
from .rules import explained
from .timeouts import timed_out
from .wait_graph import Counts, deadlock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..traces.model import Event, Trace


def compare(trace: Trace, *, over: bool, now: float | None = None) -> Divergence | None:
    """The first divergence that is proved. `over`: the job has ended, so no rank will make another call.

    `now`: seconds since the epoch up to which waits are measured; by default the last recorded activity.
    """
    found = mismatch(trace)
    if found is not None:
        return found
    stuck = deadlock(trace, over=over, now=now)
    if stuck is not None or not over:
        return stuck
    # These do not stop a job, or its launcher does, so they are no reason to stop it either.
    return timed_out(trace) or min(_outsiders(trace), key=_when, default=next(_unmatched(trace), None))


# -------------------------------------------------------------------------------------------------------- mismatch


def mismatch(trace: Trace) -> Divergence | None:
    """The earliest recorded call that does not match between two ranks."""
    found = min(_mismatches(trace), key=_when, default=None)
    return explained(found, trace) if found is not None else None


def _mismatches(trace: Trace) -> Iterator[Divergence]:
    """The first call of each group that does not match between two ranks."""
    streams: defaultdict[tuple[int, str], defaultdict[int, list[Event]]] = defaultdict(lambda: defaultdict(list))
    number = Numbering()
    for rank in trace.ranks.values():
        for event in rank.events:
            if event.kind in ("collective", "create"):
                streams[number(event.group.key), event.kind][event.sequence].append(event)
    for (_, kind), calls in streams.items():
        conflicts = conflicting_arguments(calls)
        for sequence in sorted(calls):
            events = calls[sequence]
            wrong = difference(events) or "parameter" * (sequence in conflicts) or "result" * results_differ(events)
            if wrong:
                yield _mismatch(events, sequence, wrong, "order" if kind == "create" else "mismatch")
                break


def difference(events: list[Event]) -> str:
    """What the events of one (group, sequence) disagree about, "" if they match."""
    first = events[0]
    if first.op not in SPLIT and all(
        (event.op, event.peer, event.signature) == (first.op, first.peer, first.signature) for event in events
    ):
        # As nearly all calls do.
        return ""
    if len({event.op for event in events}) > 1:
        return "operation"
    op = events[0].op
    for key in COMPARED:
        if key == "tensors" and op in LOOSE:
            continue
        values = {_comparable(event.signature, key) for event in events if key in event.signature}
        if len(values) > 1:
            return _named(key, events)
    if len({repr(found) for event in events if (found := dtypes(event.signature)) is not None}) > 1:
        return "dtype"
    if op in ROOTED and len({event.peer for event in events}) > 1:
        return "root rank"
    if op in SPLIT and _splits_disagree(events):
        return "split sizes"
    return ""


def fitting(op: str, signature: Mapping[str, Any]) -> object:
    """A key of a call: `difference` finds nothing between calls with equal keys, except roots and split sizes."""
    keys = [key for key in COMPARED if key in signature and not (key == "tensors" and op in LOOSE)]
    return (op, *((key, _comparable(signature, key)) for key in keys), repr(dtypes(signature)))


def _comparable(signature: Mapping[str, Any], key: str) -> str:
    """The part of a signature that must be equal; for tensors the number of elements and the dtype, not the shape."""
    value = signature[key]
    return repr([[math.prod(shape), dtype] for shape, dtype in value] if key == "tensors" else value)


def _named(key: str, events: list[Event]) -> str:
    if key != "tensors":
        return COMPARED[key]
    found = {repr([dtype for _, dtype in event.signature["tensors"]]) for event in events}
    return "dtype" if len(found) > 1 else "shape"


def _splits_disagree(events: list[Event]) -> bool:
    """Whether a rank expects a different number of rows from a peer than that peer sends."""
    by_rank = {event.rank: event for event in events}
    members = events[0].group.ranks
    for event in events:
        expected = event.signature.get("output_split_sizes")
        if not expected:
            continue
        position = members.index(event.rank)
        for index, size in enumerate(expected):
            peer = by_rank.get(members[index]) if index < len(members) else None
            sent = peer.signature.get("input_split_sizes") if peer is not None else None
            if sent and position < len(sent) and sent[position] != size:
                return True
    return False


def _mismatch(events: list[Event], sequence: int, what: str, verdict: Verdict) -> Divergence:
    sides: defaultdict[str, list[Event]] = defaultdict(list)
    for event in events:
        key: tuple[object, ...] = (event.op, repr(dtypes(event.signature)) if what == "dtype" else "")
        if what != "dtype" or event.op not in LOOSE:
            # Else shapes may differ, which makes no side.
            key += (
                event.peer if what == "root rank" else 0,
                *(repr(event.signature.get(name)) for name in COMPARED),
            )
        splits = repr(event.signature.get("output_split_sizes")) if what == "split sizes" else ""
        data = {"parameter": event.argument, "result": event.checksum or None}.get(what, "")
        if data is not None:
            # Else nothing is known of the rank.
            sides[repr(data or (key, splits))].append(event)
    ordered = sorted(sides.values(), key=lambda side: (-len(side), side[0].rank))
    return Divergence(
        verdict=verdict,
        group=events[0].group,
        sequence=sequence,
        what=what,
        sides=tuple(Side(tuple(event.rank for event in side), side[0], "calls") for side in ordered),
        waited=0.0,
        notes=describe_checksums(ordered) if what == "result" else (),
    )


def _outsiders(trace: Trace) -> Iterator[Divergence]:
    for rank in trace.ranks.values():
        for event in rank.events:
            if event.kind == "outsider":
                side = Side((rank.rank,), event, "calls on a group it is not in")
                yield explained(Divergence("outsider", event.group, event.sequence, event.op, (side,), 0.0), trace)
                break


def _when(divergence: Divergence) -> float:
    return min((side.event.start for side in divergence.sides if side.event is not None), default=0.0)


# ------------------------------------------------------------------------------------------------------- unmatched


def _unmatched(trace: Trace) -> Iterator[Divergence]:
    """Groups in which some rank made more calls than another, if every rank of the job ended normally."""
    if not all(map(endings.ended_well, trace.ranks.values())):
        return
    counts = Counts(trace)
    for rank in trace.ranks.values():
        for event in rank.events:
            if event.kind not in ("collective", "create"):
                continue
            absent = counts.missing(event)
            if absent:
                called = tuple(member for member in event.group.ranks if member in trace.ranks and member not in absent)
                sides = (Side(called, event, "called"), Side(absent, None, "finished without it"))
                found = Divergence("unmatched", event.group, event.sequence, event.op, sides, 0.0)
                yield explained(found, trace)
