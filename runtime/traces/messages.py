"""Ranks as messages between hosts: plain data that has each group, place and signature once (see host_link.py)."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from . import validation
from .model import Counted, Event, Group, Place, Rank, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from .model import GroupKey

#: No messages of all hosts together are larger, and no run of ranks is longer.
LARGEST: Final = 1 << 30
_LONGEST: Final = 1 << 22
#: So many exceptions of a rank are sent, the last ones.
_MOST_RAISED: Final = 16


def link_files(folder: Path, rank: int, attempt: int) -> tuple[Path, Path]:
    """The files for what a monitor sends, and for what it receives."""
    return folder / f"link-{rank}-{attempt}.out", folder / f"link-{rank}-{attempt}.in"


#: A group has thousands of members, in every message. One tuple for each, however many messages have it.
_groups: dict[str, tuple[int, ...]] = {}


#: By the identity of a group's members, with them, so that no other tuple takes their place.
_runs: dict[int, tuple[tuple[int, ...], list[list[int]]]] = {}


def runs(ranks: tuple[int, ...]) -> list[list[int]]:
    """Ranks as [first, step, count], each run as long as possible."""
    known = _runs.get(id(ranks))
    if known is not None:
        return known[1]
    found: list[list[int]] = []
    _runs[id(ranks)] = (ranks, found)
    for rank in ranks:
        last = found[-1] if found else None
        if last is not None and last[2] == 1:
            last[1], last[2] = rank - last[0], 2
        elif last is not None and rank == last[0] + last[1] * last[2]:
            last[2] += 1
        else:
            found.append([rank, 0, 1])
    return found


def message_table(rows: list[str]) -> list[Any]:
    """The table of a message, with the ranks of its groups."""
    found = []
    for row in rows:
        value = json.loads(row)
        if isinstance(value, list) and value and isinstance(value[0], list):
            text = str(value[0])
            ranks = _groups.get(text)
            if ranks is None:
                ranks = _groups[text] = tuple(
                    first + step * number for first, step, count in value[0] for number in range(min(count, _LONGEST))
                )
            value[0] = ranks
        found.append(value)
    return found


def encode(ranks: Iterable[Rank]) -> dict[str, Any]:
    """Ranks as plain data, with each group, place and signature once."""
    table: dict[str, int] = {}

    def known(value: Any) -> int:
        return table.setdefault(json.dumps(value), len(table))

    #: By the identity of the members, of which there may be thousands; with them, so that no other tuple takes their place.
    groups: dict[tuple[int, int, str], tuple[tuple[int, ...], int]] = {}

    def group(key: GroupKey, description: str = "") -> int:
        name = (id(key[0]), key[1], description)
        if name not in groups:
            groups[name] = (key[0], known([runs(key[0]), key[1], description]))
        return groups[name][1]

    rows = []
    for rank in ranks:
        names = {event.group.key: event.group.description for event in rank.events}
        rows.append(
            {
                "rank": rank.rank,
                "about": [rank.world_size, rank.pid, rank.host, rank.attempt, rank.started, rank.end, rank.error],
                "alive": rank.alive,
                "lost": rank.lost,
                "stack": [rank.stack_time, *rank.stack],
                "activity": asdict(rank.activity) if rank.activity is not None else None,
                **_encoded_end(rank, group),
                "others": sorted(rank.others),
                "callers": [[group(key, names.get(key, "")), sorted(threads)] for key, threads in rank.callers.items()],
                "streams": [
                    [group(key, names.get(key, "")), *rest, *counted]
                    for streams in (rank.streams, rank.peers)
                    for (key, *rest), counted in streams.items()
                ],
                "events": [encode_event(event, known) for event in rank.events],
            }
        )
    return {"table": list(table), "ranks": rows}


def decode(data: dict[str, Any]) -> list[Rank]:
    """The ranks again."""
    table = message_table(data["table"])

    def key(number: int) -> Any:
        return (table[number][0], table[number][1])

    found = []
    for row in data["ranks"]:
        world_size, pid, host, attempt, started, end, error = row["about"]
        stack_time, *stack = row["stack"]
        streams: dict[Any, Counted] = {}
        peers: dict[Any, Counted] = {}
        for number, *rest, calls, rolled, block in row["streams"]:
            which = (key(number), *rest)
            (streams if len(rest) == 1 else peers)[which] = Counted(calls, rolled, block)
        found.append(
            Rank(
                rank=row["rank"],
                world_size=world_size,
                pid=pid,
                host=host,
                attempt=attempt,
                started=started,
                end=end,
                error=error,
                events=tuple(decode_event(event, table) for event in row["events"]),
                lost=row["lost"],
                alive=row["alive"],
                callers={key(number): frozenset(threads) for number, threads in row["callers"]},
                others=frozenset(row["others"]),
                stack=tuple(stack),
                stack_time=validation.real(stack_time),
                activity=validation.activity(row["activity"]) if row.get("activity") else None,
                streams=streams,
                peers=peers,
                ending=validation.ending(row["ending"]) if row["ending"] else None,
                raised=tuple(validation.raised(raised, key(raised["group"])) for raised in row["raised"]),
                exit=validation.exited(row["exit"]) if row["exit"] else None,
            )
        )
    return found


def _encoded_end(rank: Rank, group: Callable[[GroupKey], int]) -> dict[str, Any]:
    """How the rank ended, and the exceptions raised in its calls, in the form of the trace (see validation.py)."""
    return {
        "ending": asdict(rank.ending) if rank.ending is not None else None,
        "raised": [{**asdict(raised), "group": group(raised.group)} for raised in rank.raised[-_MOST_RAISED:]],
        "exit": asdict(rank.exit) if rank.exit is not None else None,
    }


def encode_event(event: Event, known: Any) -> list[Any]:
    """An event as a row."""
    place = event.place
    return [
        *(event.rank, event.number, event.kind),
        known([runs(event.group.ranks), event.group.ordinal, event.group.description]),
        *(
            event.sequence,
            event.peer,
            known(dict(event.signature)),
            event.is_async,
            int(event.state),
            event.start,
            event.end,
        ),
        known([place.path, place.line, place.function, *map(list, (place.stack, place.via, place.started_at))]),
        event.thread,
        event.checksum,
        -1 if event.argument is None else known(asdict(event.argument)),
    ]


def decode_event(row: list[Any], table: list[Any]) -> Event:
    """The event of a row."""
    rank, number, kind, group, sequence, peer, signature, is_async, state, start, end, place, thread, *data = row
    checksum, argument = data
    ranks, ordinal, description = table[group]
    path, line, function, *frames = table[place]
    return Event(
        rank=rank,
        number=number,
        kind=kind,
        op=table[signature]["op"],
        group=Group(ranks, ordinal, description),
        sequence=sequence,
        peer=peer,
        signature=table[signature],
        is_async=is_async,
        state=State(state),
        start=start,
        end=end,
        place=Place(path, line, function, *map(tuple, frames)),
        thread=thread,
        argument=validation.argument(table[argument]) if argument >= 0 else None,
        checksum=validation.number(checksum),
    )
