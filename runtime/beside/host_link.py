"""Jobs on several hosts: each host's monitor exchanges messages with the one beside rank 0, through the job's store.

The monitors know no addresses; the ranks do. So a monitor leaves each message in a file, and the lowest rank of its
host forwards it: a thread of that process has its own connection to the job's TCPStore. Between two monitors:

    monitor -> link-N-0.out -> rank N's thread -> store -> rank 0's thread -> link-0-0.in -> monitor beside rank 0

and back the same way. A message has the head of each rank (the unfinished calls, the last event, the counts and hashes
of its streams); events in bulk are sent only when the monitor beside rank 0 asks for them. The link cannot block the
job: if the store is gone or slow, only the thread ends.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from collectivelint import atomic, reading

from ..traces import validation
from ..traces.messages import LARGEST, decode_event, encode, encode_event, link_files, message_table, runs
from ..traces.model import Group
from ..verdict.model import Divergence, Side

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ..traces.model import Rank

#: How often (in seconds) the store is asked.
BEAT: Final = 0.5
_MESSAGE: Final = frozenset({"ranks", "windows", "found", "wants"})


class Link:
    """The link of one monitor. `leader` is the lowest rank of its host, `attempt` how often the job was restarted."""

    def __init__(self, folder: Path, leader: int, attempt: int = 0) -> None:
        """No file is written before the first `send`."""
        self.leader, self.attempt = leader, attempt
        self._out, self._in = link_files(folder, leader, attempt)
        self._sent = b""

    def send(
        self, ranks: Iterable[Rank], windows: Iterable[Rank] = (), found: Divergence | None = None, wants: int = 0
    ) -> None:
        """Write a message: heads, events in bulk, a verdict, or the number of a request for events in bulk."""
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
        """The last message of each other monitor; on hosts other than rank 0's, only that of rank 0's monitor."""
        try:
            lines = reading.read_bytes(self._in, LARGEST, follow=False).splitlines()
        except OSError:
            return []
        found = [validation.parsed(line) for line in lines]
        return [message for message in found if isinstance(message, dict) and message.keys() >= _MESSAGE]


def _encoded_divergence(found: Divergence) -> dict[str, Any]:
    table: dict[str, int] = {}

    def known(value: Any) -> int:
        return table.setdefault(json.dumps(value), len(table))

    group = known([runs(found.group.ranks), found.group.ordinal, found.group.description])
    sides = [
        [
            list(side.ranks),
            encode_event(side.event, known) if side.event is not None else None,
            side.state,
            list(side.stack),
            side.is_consequence,
        ]
        for side in found.sides
    ]
    about = [found.verdict, group, found.sequence, found.what, found.waited, found.rule, list(found.notes)]
    return {"about": about, "sides": sides, "table": list(table)}


def decode_divergence(data: dict[str, Any]) -> Divergence:
    """The divergence in a message."""
    table = message_table(data["table"])
    verdict, group, sequence, what, waited, rule, notes = data["about"]
    ranks, ordinal, description = table[group]
    sides = tuple(
        Side(tuple(members), decode_event(event, table) if event is not None else None, state, tuple(stack), follows)
        for members, event, state, stack, follows in data["sides"]
    )
    return Divergence(verdict, Group(ranks, ordinal, description), sequence, what, sides, waited, rule, tuple(notes))
