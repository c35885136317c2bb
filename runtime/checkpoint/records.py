"""Reads the records that the audit of a traced job left in the trace directory: one JSON-lines file per process."""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from collectivelint import reading
from collectivelint.printable import one_line

from ..quantities import ranks_text
from ..traces import validation
from ..traces.folders import newest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


#: A process notes so many saves at most that this is enough.
_LARGEST: Final = 1 << 30


def read(*parts: Path, unreadable: list[str] | None = None) -> list[dict[str, Any]]:
    """All records of a run, oldest first, followed by the findings over several ranks.

    Invalid lines are skipped; `unreadable` receives a message for their number, and for each file that cannot be read.
    """
    problems = unreadable if unreadable is not None else []
    records: list[dict[str, Any]] = []
    for file in sorted(file for part in parts for file in newest(part).glob("checkpoint-*.jsonl")):
        try:
            lines = reading.read_bytes(file, _LARGEST, follow=False).split(b"\n")
        except OSError as error:
            problems.append(f"{file}: {error.strerror or error}")
            continue
        found = [record for line in lines if line and (record := _record(line)) is not None]
        records += found
        if wrong := sum(map(bool, lines)) - len(found):
            problems.append(
                f"{file}: {wrong} line{'s are not records' if wrong > 1 else ' is not a record'} of a checkpoint and ignored"
            )
    records.sort(key=lambda record: float(record.get("time") or 0.0))
    return [*records, *_of_several(records)]


def _record(line: bytes) -> dict[str, Any] | None:
    """The record of a save, a load or a file; None if the line is not a valid one."""
    try:
        data = validation.mapping(validation.parsed(line))
        validation.text(data.get("kind"))
        for name in ("time", "begun", "ended"):
            validation.real(data.get(name, 0.0))
        for name in ("rank", "world_size"):
            validation.number(data.get(name, 0))
        if ("begun" in data) != ("ended" in data):
            return None
        site = validation.mapping(data.get("site", {}))
        if site:
            validation.text(site.get("path"))
            validation.number(site.get("line"))
        for name in ("errors", "notes", "parts"):
            for item in validation.items(data.get(name, ())):
                validation.text(item)
        for of in validation.mapping(data.get("parts_of", {})).values():
            validation.text(of)
        for number in validation.mapping(data.get("holders", {})).values():
            validation.number(number)
        for loss in validation.items(data.get("losses", ())):
            validation.mapping(loss)
    except ValueError:
        return None
    return data


def _of_several(records: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Findings over all ranks' records: one file written by several ranks, parts that some ranks never wrote."""
    by_path: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    writers: defaultdict[str, set[object]] = defaultdict(set)
    for record in records:
        is_alone = record.get("kind") == "file" or (record.get("kind") == "save" and record.get("world_size") == 1)
        if is_alone and "begun" in record:
            by_path[(str(record.get("host")), str(record.get("path")))].append(record)
        for name in record.get("parts") or ():
            writers[name].add(record.get("rank"))
    for some in by_path.values():
        ranks = _at_once(some)
        if len(ranks) > 1:
            text = f"{ranks_text(ranks)} write it at the same time; the last one wins, or the bytes mix (CL403)"
            yield {**some[0], "wrong": True, "errors": [text]}
            continue
        for record in some:
            holders = record.get("holders") or {}
            alone = [name for name in record.get("parts") or () if len(writers[name]) < holders.get(name, 2)]
            if alone:
                text = f"{_held(record, alone)}, and {_unwritten(writers[alone[0]])} (CL401)"
                yield {**record, "wrong": True, "errors": [text]}
                break


def _held(record: dict[str, Any], names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    of = (record.get("parts_of") or {}).get(names[0])
    example = f" ({names[0]} is its part of {of})" if of is not None else ""
    return f"holds rank {record.get('rank')}'s part only of {', '.join(names[:3])}{more}{example}"


def _unwritten(writers: set[object]) -> str:
    """The text about the ranks that did not write their part."""
    if len(writers) == 1:
        return "no other rank has written its own"
    return f"only {ranks_text(rank for rank in writers if isinstance(rank, int))} have written theirs"


def _at_once(records: list[dict[str, Any]]) -> list[int]:
    """The ranks that wrote while another did."""
    found: set[int] = set()
    latest: dict[str, Any] | None = None
    for record in sorted(records, key=lambda record: float(record["begun"])):
        if latest is not None and record["begun"] < latest["ended"] and record.get("rank") != latest.get("rank"):
            found |= {int(record.get("rank", 0)), int(latest.get("rank", 0))}
        if latest is None or record["ended"] > latest["ended"]:
            latest = record
    return sorted(found)


def text(records: list[dict[str, Any]]) -> Iterator[str]:
    """A line for each save that lost data and for each note, and a summary of the audited saves."""
    saves = [record for record in records if record.get("kind") == "save" and not record.get("failed")]
    wrong = [record for record in records if record.get("wrong")]
    for record in wrong:
        losses = sum(bool(loss.get("serious")) for loss in record.get("losses") or ())
        lost = f"{losses} name{'s hold' if losses > 1 else ' holds'} one rank's values only"
        errors = "; ".join(map(str, record.get("errors") or [lost]))
        yield one_line(f"CHECKPOINT: {_shown(record.get('path'))}, {record.get('kind')} at {_place(record)}: {errors}")
    noted: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for record in saves:
        for note in record.get("notes") or ():
            noted[_place(record), note].append(_shown(record.get("path")))
    for (place, note), paths in noted.items():
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        yield one_line(f"note: {paths[0]}{more}, save at {place}: {note}")
    if saves and not wrong:
        count = f"{len(noted)} note{'s' * (len(noted) > 1)}, see above" if noted else "nothing lost"
        yield f"collectivelint: {len(saves)} checkpoint{'s' * (len(saves) > 1)} audited, {count}"


def _place(record: dict[str, Any]) -> str:
    site = record.get("site") or {}
    return f"{site.get('path')}:{site.get('line')}" if site.get("path") else "an unknown place"


def _shown(path: object) -> str:
    """A path relative to the current folder if it is below it."""
    text, here = str(path), os.path.join(os.getcwd(), "")
    return text.removeprefix(here)
