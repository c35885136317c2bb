"""Dumps of torch's Flight Recorder: read as a trace, and written for torch's own analyser (`torchfrtrace`).

Source of the format: torch/csrc/distributed/c10d/FlightRecorder.hpp and torch/distributed/flight_recorder of torch 2.13.
A dump is a pickle of plain data, or JSON. It has no reduce operation, root or split sizes, and with gloo no members of
groups; those are then taken to be the ranks that have called on the group.
"""

from __future__ import annotations

import io
import json
import math
import pickle
import re
from collections import defaultdict
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from collectivelint import atomic, reading

from ..environment import DEFAULT_FOLDER
from ..operations import FLIGHT_READ, FLIGHT_SHAPED, FLIGHT_WRITTEN
from ..traces import validation
from ..traces.model import Event, Group, Place, Rank, State, Trace
from ..traces.ring import TraceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..traces.model import Kind

_FILE: Final = re.compile(r"(?:^|[^0-9])(\d+)(?:\.json|\.pkl|\.pickle)?$")
_P2P: Final = re.compile(r"(send|recv) (\d+)(?:->|<-)(\d+)$")
#: A recorder of so many entries as torch allows fits in.
_LARGEST: Final = 1 << 30


class _Plain(pickle.Unpickler):
    """An unpickler for numbers, texts, lists and dicts; it rejects a pickle that refers to a class or function."""

    def find_class(self, module: str, name: str) -> Any:
        """Raise UnpicklingError: a dump refers to no classes."""
        raise pickle.UnpicklingError(f"wants {module}.{name}, which a dump has no use for")


def load(folder: Path) -> Trace:
    """Read the dumps of a folder, one for each rank. Raises TraceError if it has none or they cannot be read."""
    dumps = {}
    for file in sorted(folder.iterdir()):
        match = _FILE.search(file.name)
        if match is not None and file.is_file():
            dumps[int(match[1])] = _dump(file)
    if not dumps:
        below = folder / DEFAULT_FOLDER
        hint = f"; did you mean `{below}`?" if below.is_dir() else ""
        raise TraceError(f"{folder}: neither a trace nor dumps of the Flight Recorder here{hint}")
    try:
        return _trace(dumps)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise TraceError(f"{folder}: not a dump as torch writes it: {type(error).__name__} {error}") from None


def _dump(file: Path) -> dict[str, Any]:
    try:
        data = reading.read_bytes(file, _LARGEST)
    except OSError as error:
        raise TraceError(f"{file}: {error.strerror or error}") from None
    try:
        found = json.loads(data) if data.lstrip()[:1] == b"{" else _Plain(io.BytesIO(data)).load()
    except Exception as error:
        raise TraceError(f"{file}: not a dump of the Flight Recorder: {error}") from None
    if not isinstance(found, dict) or not isinstance(found.get("entries"), list):
        raise TraceError(f"{file}: not a dump of the Flight Recorder: it has no entries")
    return found


def _trace(dumps: dict[int, dict[str, Any]]) -> Trace:
    groups = _groups(dumps)
    ranks = {}
    for rank, dump in dumps.items():
        entries = dump["entries"]
        last = entries[0]["record_id"] if entries else 0
        ranks[rank] = Rank(
            rank=rank,
            world_size=len(dumps),
            pid=0,
            host="",
            attempt=0,
            started=validation.real(entries[0]["time_created_ns"]) / 1e9 if entries else 0.0,
            end="running",
            error="",
            events=tuple(_events(rank, entries, groups)),
            lost=int(last),
        )
    return Trace(dict(sorted(ranks.items())))


def _groups(dumps: dict[int, dict[str, Any]]) -> dict[tuple[str, int], Group]:
    """(name, rank) -> group. A name may mean different groups on different ranks: `split_group` reuses one."""
    members: dict[tuple[str, int], tuple[int, ...]] = {}
    callers: defaultdict[str, set[int]] = defaultdict(set)
    descriptions: dict[str, str] = {}
    for rank, dump in dumps.items():
        for entry in dump["entries"]:
            name, description = entry["process_group"]
            callers[name].add(rank)
            descriptions[name] = validation.text(description)
        for name, group in (dump.get("pg_config") or {}).items():
            listed = tuple(sorted(map(int, re.findall(r"\d+", str(group["ranks"])))))
            if listed:
                members[(name, rank)] = listed
                descriptions.setdefault(name, validation.text(group.get("desc", "")))
    found: dict[tuple[str, int], Group] = {}
    seen: defaultdict[tuple[int, ...], list[str]] = defaultdict(list)
    for name in sorted(callers, key=lambda name: (len(name), name)):
        for rank in sorted(callers[name]):
            everybody = tuple(sorted(dumps)) if descriptions[name] == "default_pg" else tuple(sorted(callers[name]))
            listed = members.get((name, rank), everybody)
            if name not in seen[listed]:
                seen[listed].append(name)
            found[(name, rank)] = Group(listed, seen[listed].index(name), descriptions[name])
    return found


def _events(rank: int, entries: list[dict[str, Any]], groups: dict[tuple[str, int], Group]) -> Iterator[Event]:
    """One event for each call; the entries of a coalesced call share one number."""
    counts: defaultdict[object, int] = defaultdict(int)
    waits: set[object] = set()

    def call(entry: dict[str, Any]) -> object:
        # Without a number (or with the same one for all) each entry is a call.
        number = int(entry["collective_seq_id"])
        return (entry["process_group"][0], number, entry.get("is_p2p")) if number else entry["record_id"]

    for number, (_, parts) in enumerate(groupby(entries, key=call), 1):
        several = list(parts)
        entry = several[-1]
        group = groups[(entry["process_group"][0], rank)]
        op = entry["profiling_name"].partition(":")[2]
        match = _P2P.match(op)
        kind: Kind = "p2p" if match is not None else "collective"
        peer = group.ranks[int(match[3])] if match is not None and int(match[3]) < len(group.ranks) else -1
        op = match[1] if match is not None else FLIGHT_READ.get(op, op)
        tensors = [
            [list(shape), dtype]
            for part in several
            for shape, dtype in zip(part["input_sizes"], _dtypes(part["input_dtypes"], part), strict=False)
        ]
        signature = validation.signature({"op": op, "tensors" if op in FLIGHT_SHAPED else "sent": tensors})
        stream = (group.key, kind, op if kind == "p2p" else "", peer)
        counts[stream] += 1
        known = validation.number(int(entry["p2p_seq_id" if kind == "p2p" else "collective_seq_id"]))
        done = all(part["state"] == "completed" or part.get("retired") for part in several)
        # A device gets its calls one after another: the first that is not done is the one it sits in.
        state = State.DONE if done else State.ISSUED if stream in waits else State.WAITING
        if not done:
            waits.add(stream)
        completed = entry.get("time_discovered_completed_ns") or 0
        start = validation.real(entry["time_created_ns"]) / 1e9
        yield Event(
            rank=rank,
            number=number,
            kind=kind,
            op=op,
            group=group,
            sequence=known if kind == "collective" and known else counts[stream],
            peer=peer,
            signature=signature,
            is_async=False,
            state=state,
            start=start,
            end=validation.real(completed) / 1e9 if done and completed else start if done else 0.0,
            place=_place(entry.get("frames") or []),
        )


def _dtypes(dtypes: Any, entry: dict[str, Any]) -> list[str]:
    return [str(dtype) for dtype in dtypes] if isinstance(dtypes, list) else [str(dtypes)] * len(entry["input_sizes"])


def _place(frames: list[dict[str, Any]]) -> Place:
    """The call site: the innermost frame outside torch, with the stack from there."""
    own = [frame for frame in frames if not re.search(r"[\\/]torch[\\/]", frame["filename"])]
    if not own:
        return Place("<no Python frame>", 0, "")
    stack = tuple(f"{frame['filename']}:{frame['line']} {frame['name']}" for frame in own)
    first = own[0]
    return validation.place(
        {"path": first["filename"], "line": first["line"], "function": first["name"], "stack": stack}
    )


# ---------------------------------------------------------------------------------------------------------- export

#: The version of the format that is written.
_VERSION: Final = "2.10"


def export(trace: Trace, folder: Path) -> list[Path]:
    """Write one dump for each rank, `collectivelint_rank_N`; raise OSError where that fails."""
    folder.mkdir(parents=True, exist_ok=True)
    events = [event for rank in trace.ranks.values() for event in rank.events]
    keys = sorted({event.group.key for event in events}, key=lambda key: (-len(key[0]), key))
    names = {key: str(number) for number, key in enumerate(keys)}
    written = []
    for rank in trace.ranks.values():
        groups = {event.group.key: event.group for event in rank.events}
        config = {
            names[key]: {"name": names[key], "desc": group.description, "ranks": str(list(group.ranks))}
            for key, group in groups.items()
        }
        calls = [event for event in rank.events if event.kind in ("collective", "p2p")]
        entries = [_entry(number, event, names) for number, event in enumerate(calls)]
        dump = {"version": _VERSION, "pg_config": config, "pg_status": {}, "comm_lib_version": "", "entries": entries}
        file = folder / f"collectivelint_rank_{rank.rank}"
        atomic.write(file, pickle.dumps(dump, protocol=2), follow=False)
        written.append(file)
    return written


def _entry(number: int, event: Event, names: dict[Any, str]) -> dict[str, Any]:
    tensors = event.signature.get("tensors") or event.signature.get("sent") or []
    shapes, dtypes = [shape for shape, _ in tensors], [str(dtype).removeprefix("torch.") for _, dtype in tensors]
    whole = [[math.prod(shape) * len(event.group.ranks)] for shape in shapes]
    gathers, scatters = event.op.startswith("all_gather"), event.op.startswith("reduce_scatter")
    name = FLIGHT_WRITTEN.get(event.op, event.op)
    if event.kind == "p2p":
        me, other = event.group.ranks.index(event.rank), event.peer
        peer = event.group.ranks.index(other) if other in event.group.ranks else me
        name = f"send {me}->{peer}" if event.op == "send" else f"recv {me}<-{peer}"
    return {
        "record_id": number,
        "pg_id": int(names[event.group.key]),
        "process_group": (names[event.group.key], event.group.description),
        "collective_seq_id": event.sequence if event.kind == "collective" else 0,
        "p2p_seq_id": event.sequence if event.kind == "p2p" else 0,
        "op_id": number,
        "profiling_name": f"gloo:{name}",
        "time_created_ns": int(event.start * 1e9),
        "time_discovered_started_ns": int(event.start * 1e9),
        "time_discovered_completed_ns": int(event.end * 1e9) if event.end else None,
        "input_sizes": whole if scatters else shapes,
        "output_sizes": whole if gathers else shapes,
        "input_dtypes": dtypes,
        "output_dtypes": dtypes,
        "state": "completed" if event.state is State.DONE else "scheduled",
        "retired": event.state is State.DONE,
        "timeout_ms": 0,
        "is_p2p": event.kind == "p2p",
        "thread_id": str(event.thread),
        "thread_name": "",
        "frames": [
            {"name": function, "filename": path, "line": int(line)}
            for path, line, function in map(_frame, event.place.via + event.place.stack)
        ],
    }


def _frame(text: str) -> tuple[str, str, str]:
    """The path, line and function of `a.py:3 f: code`."""
    place, _, rest = text.partition(" ")
    path, _, line = place.rpartition(":")
    return path, line if line.isdecimal() and len(line) < 10 else "0", rest.partition(":")[0]
