"""Several hosts: what each host's monitor sees reaches the one beside rank 0, through the job's own store.

The monitors know no addresses; the ranks do. So a monitor leaves what it has to say in a file, and the lowest rank of its
host carries it: a thread of that process has a connection of its own to the job's TCPStore. Between two monitors:

    monitor -> link-N-0.out -> rank N's thread -> store -> rank 0's thread -> link-0-0.in -> monitor beside rank 0

and back the same way. What is sent is the head of each rank (the calls that go on, the last event, the counts and hashes of its
streams), and events in bulk only when the monitor beside rank 0 asks for them. Nothing of this can hold up the job: a store
that is gone, or slow, ends the thread and no more.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from collectivelint import atomic, reading

from ..traces import validation
from ..traces.model import Counted, Event, Group, Place, Rank, State
from ..verdict.model import Divergence, Side

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_PREFIX: Final = "collectivelint"
#: How often (in seconds) the store is asked.
BEAT: Final = 0.5
_MESSAGE: Final = frozenset({"ranks", "windows", "found", "wants"})
#: No messages of all hosts together are larger, and no run of ranks is longer.
_LARGEST: Final = 1 << 30
_LONGEST: Final = 1 << 22


# --------------------------------------------------------------------------------------------- the monitors' side


class Link:
    """One monitor's end. `leader` is the lowest rank of its host, `attempt` how often the job was started again."""

    def __init__(self, folder: Path, leader: int, attempt: int = 0) -> None:
        """Nothing is written before the first `send`."""
        self.leader, self.attempt = leader, attempt
        self._out, self._in = _files(folder, leader, attempt)
        self._sent = b""

    def send(
        self, ranks: Iterable[Rank], windows: Iterable[Rank] = (), found: Divergence | None = None, wants: int = 0
    ) -> None:
        """Leave a message: heads, events in bulk, a verdict, or the number of a request for events in bulk."""
        message = {
            "ranks": encode(ranks),
            "windows": encode(windows),
            "found": _encoded_divergence(found) if found is not None else None,
            "wants": wants,
        }
        data = json.dumps(message, separators=(",", ":")).encode()
        if data != self._sent:
            self._sent = data
            atomic.write(self._out, data, follow=False, durable=False)

    def received(self) -> list[dict[str, Any]]:
        """The last message of each other monitor (of the one beside rank 0, for all others)."""
        try:
            lines = reading.read_bytes(self._in, _LARGEST, follow=False).splitlines()
        except OSError:
            return []
        found = [validation.parsed(line) for line in lines]
        return [message for message in found if isinstance(message, dict) and message.keys() >= _MESSAGE]


#: A group has thousands of members, in every message. One tuple for each, however many messages have it.
_groups: dict[str, tuple[int, ...]] = {}


#: By the identity of a group's members, with them, so that no other tuple takes their place.
_runs: dict[int, tuple[tuple[int, ...], list[list[int]]]] = {}


def runs(ranks: tuple[int, ...]) -> list[list[int]]:
    """Ranks as [first, step, how many], each run as long as it gets."""
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


def _table(rows: list[str]) -> list[Any]:
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
    """Ranks as plain data; groups, places and signatures once each."""
    table: dict[str, int] = {}

    def known(value: Any) -> int:
        return table.setdefault(json.dumps(value), len(table))

    def group(key: Any, description: str = "") -> int:
        return known([runs(key[0]), key[1], description])

    rows = []
    for rank in ranks:
        names = {event.group.key: event.group.description for event in rank.events}
        rows.append(
            {
                "rank": rank.rank,
                "about": [rank.world_size, rank.pid, rank.host, rank.attempt, rank.started, rank.end, rank.error],
                "alive": rank.alive,
                "lost": rank.lost,
                "stack": list(rank.stack),
                "others": sorted(rank.others),
                "callers": [[group(key, names.get(key, "")), sorted(threads)] for key, threads in rank.callers.items()],
                "streams": [
                    [group(stream[0], names.get(stream[0], "")), *stream[1:], *counted]
                    for stream, counted in rank.streams.items()
                ],
                "events": [encode_event(event, known) for event in rank.events],
            }
        )
    return {"table": list(table), "ranks": rows}


def decode(data: dict[str, Any]) -> list[Rank]:
    """The ranks again."""
    table = _table(data["table"])

    def key(number: int) -> Any:
        return (table[number][0], table[number][1])

    found = []
    for row in data["ranks"]:
        world_size, pid, host, attempt, started, end, error = row["about"]
        streams = {}
        for number, *stream, calls, rolled, block in row["streams"]:
            which: Any = (key(number), *stream)
            streams[which] = Counted(calls, rolled, block)
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
                stack=tuple(row["stack"]),
                streams=streams,
            )
        )
    return found


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
        known([place.path, place.line, place.function, list(place.stack)]),
        event.thread,
    ]


def decode_event(row: list[Any], table: list[Any]) -> Event:
    """The event of a row."""
    rank, number, kind, group, sequence, peer, signature, is_async, state, start, end, place, thread = row
    ranks, ordinal, description = table[group]
    path, line, function, stack = table[place]
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
        place=Place(path, line, function, tuple(stack)),
        thread=thread,
    )


def _encoded_divergence(found: Divergence) -> dict[str, Any]:
    table: dict[str, int] = {}

    def known(value: Any) -> int:
        return table.setdefault(json.dumps(value), len(table))

    group = known([runs(found.group.ranks), found.group.ordinal, found.group.description])
    sides = [
        [list(side.ranks), encode_event(side.event, known) if side.event is not None else None, side.state]
        for side in found.sides
    ]
    about = [found.verdict, group, found.sequence, found.what, found.waited, found.rule]
    return {"about": about, "sides": sides, "table": list(table)}


def decode_divergence(data: dict[str, Any]) -> Divergence:
    """The verdict again."""
    table = _table(data["table"])
    verdict, group, sequence, what, waited, rule = data["about"]
    ranks, ordinal, description = table[group]
    sides = tuple(
        Side(tuple(members), decode_event(event, table) if event is not None else None, state)
        for members, event, state in data["sides"]
    )
    return Divergence(verdict, Group(ranks, ordinal, description), sequence, what, sides, waited, rule)


# ------------------------------------------------------------------------------------------------ the ranks' side


def _files(folder: Path, rank: int, attempt: int) -> tuple[Path, Path]:
    """What a monitor sends, and what it receives."""
    return folder / f"link-{rank}-{attempt}.out", folder / f"link-{rank}-{attempt}.in"


class Carrier:
    """What the lowest rank of a host does with its monitor's messages, in a thread: `carry` is called every `BEAT` s."""

    def __init__(self, folder: Path, rank: int, attempt: int) -> None:
        """Nothing happens before the monitor has left a message."""
        self._out, self._in = _files(folder, rank, attempt)
        self._rank, self._attempt = rank, attempt
        self._store: Any = None
        self._stamp = 0
        self._received = b""
        self._joined = False

    def carry(self) -> None:
        """Send what is new, fetch what there is. Raises whatever the store raises when it is gone."""
        try:
            stamp = self._out.stat().st_mtime_ns
        except OSError:
            return
        if self._store is None:
            self._store = _own_store(f"{_PREFIX}/{self._attempt}")
        if self._store is None:
            return
        if stamp != self._stamp:
            self._store.set(f"from/{self._rank}", reading.read_bytes(self._out, _LARGEST, follow=False))
            self._stamp = stamp
        if not self._joined:
            if self._rank:
                # Only now, since whoever is counted is read.
                self._store.set(f"host/{self._store.add('hosts', 1)}", str(self._rank))
            self._joined = True
        data = self._fetched()
        if data != self._received:
            self._received = data
            atomic.write(self._in, data, follow=False, durable=False)

    def _fetched(self) -> bytes:
        store = self._store
        if self._rank:
            return bytes(store.get("from/0")) if store.check(["from/0"]) else b""
        hosts = [f"host/{number}" for number in range(1, store.add("hosts", 0) + 1)]
        ready = [host for host in hosts if store.check([host])]
        leaders = [bytes(name).decode() for name in store.multi_get(ready)] if ready else []
        return b"\n".join(map(bytes, store.multi_get([f"from/{leader}" for leader in leaders]))) if leaders else b""


def _own_store(prefix: str) -> Any:
    """A connection of our own to the job's TCPStore; None if the job has another kind of store."""
    from datetime import timedelta

    import torch
    from torch.distributed import distributed_c10d as c10d

    dist: Any = torch.distributed
    store: Any = c10d._get_default_store()
    while isinstance(store, dist.PrefixStore):
        store = store.underlying_store
    if not isinstance(store, dist.TCPStore):
        return None
    own = dist.TCPStore(store.host, store.port, is_master=False, wait_for_workers=False, timeout=timedelta(seconds=10))
    return dist.PrefixStore(prefix, own)
