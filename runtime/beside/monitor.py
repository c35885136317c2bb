"""Finding divergences while the job runs, from outside: reads the trace files of this host's ranks as they grow.

No thread, lock or collective of the job is involved, and a killed rank leaves everything up to its last call.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from ..traces import jobs
from ..traces.messages import decode
from ..traces.model import Numbering, State, Trace
from ..traces.reader import Reader, ring_files
from ..traces.ring import BLOCK, TraceError
from ..verdict import matching, wait_graph
from .hints import Hints
from .host_link import BEAT, Link, decode_divergence
from .liveness import alive, lives
from .slow_hint import SlowHint
from .whereabouts import Whereabouts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ..traces.model import Event, Rank
    from ..verdict.model import Divergence

#: How often (in seconds) the ranks are looked at, and how long a call may take before anybody wonders about it.
POLL: Final = 0.25
MIN_BLOCKED_S: Final = 0.5
#: How many events of each rank are compared when something looks wrong, and how many now and then when nothing does.
_WINDOW: Final = 4096
_SAMPLE: Final = 256
_EVERY: Final = 1.0
#: How long (in seconds) a mismatch waits for the other ranks of its group, so that it can be told who is in the minority.
GROUP_SETTLE_S: Final = 1.0
#: After so many differences of hashes that no event explains, those of a stream are not believed: two threads race on it.
MAX_UNEXPLAINED: Final = 5
#: How long (in seconds) ranks may wait for one that has failed: its launcher will end or restart them, and does that best.
#: torchrun gives them 30 s to leave.
LAUNCHER_GRACE_S: Final = 40.0
#: How long a handle may be open that nobody can complete any more, and of which nobody knows whether it is waited for.
OPEN_HANDLE_S: Final = 5.0


class Monitor:
    """Watches the ranks of one host. `look` is called every `POLL` seconds."""

    def __init__(
        self, folder: Path, hint_after: float, say: Callable[[str], None], launcher_grace: float = LAUNCHER_GRACE_S
    ) -> None:
        """`hint_after`: seconds that a rank waits for another one before `say` is called.

        `launcher_grace`: seconds that ranks may wait for a failed rank before that counts as a divergence.
        """
        self._folder, self._say, self._grace = folder, say, launcher_grace
        #: The rings of jobs in which a divergence was found, each with the first.
        self.found: dict[Path, Divergence] = {}
        #: When the process of each ring was seen alive last, by the monotonic clock.
        self._seen: dict[Path, float] = {}
        self._readers: dict[Path, Reader] = {}
        #: Files that became unreadable.
        self._given_up: set[Path] = set()
        #: By job: when its events were compared last without a reason.
        self._sampled: dict[object, float] = {}
        #: What waits in vain, by the last look: it has to be the same at the next one.
        self._suspected: dict[object, frozenset[tuple[int, int, int]]] = {}
        self._where = Whereabouts()
        self._hints = Hints(hint_after, say)
        self._known: set[object] = set()
        #: The ranks of the job that the last divergence was found in.
        self.latest: list[Reader] = []
        #: With several hosts: the way to the others, the job it is for, is this the host of rank 0, what they have said.
        self._link: Link | None = None
        self._linked: Path | None = None
        self._is_foreign = False
        self._leads = False
        self._told: Divergence | None = None
        #: The number of the last request for events in bulk, the last that all others have answered, and their events.
        self._wants = 0
        self._answered = 0
        self._windows: list[Rank] = []
        #: How often hashes of a stream have differed without the events saying why.
        self._unexplained: Counter[object] = Counter()
        self._numbers = Numbering()
        #: By job and group: when a mismatch was seen first that others were still to come to.
        self._incomplete: dict[tuple[object, object], float] = {}
        self._slow = SlowHint(hint_after, say)

    def look(self) -> Divergence | None:
        """The next divergence that is proved and was not returned before; None if there is none."""
        for readers in jobs.by_job(self._current()):
            found = self._judged(readers)
            if found is None:
                continue
            key = (
                _identity(readers),
                found.verdict,
                found.group.key,
                found.what,
                *(side.event and side.event.place for side in found.sides),
            )
            if key not in self._known:
                self._known.add(key)
                for reader in readers:
                    self.found.setdefault(reader.path, found)
                self.latest = readers
                return found
        return None

    def _judged(self, readers: list[Reader]) -> Divergence | None:
        living = [reader for reader in readers if lives(reader)]
        self._seen.update((reader.path, time.monotonic()) for reader in living)
        if not living and self._linked != _identity(readers):
            # It has ended, and is judged as a whole when all have. Nothing of it is a reason to stop the others.
            return None
        heads = alive(Trace({reader.number: reader.head() for reader in readers}))
        heads = Trace({**self._exchanged(readers, heads), **heads.ranks})
        found = self._told if self._linked == _identity(readers) else None
        if found is None and not any(rank.end == "running" and rank.alive for rank in heads.ranks.values()):
            return None
        found = found or self._mismatch(readers, heads)
        if found is None and not self._is_waiting(_identity(readers)):
            found = self._deadlock(readers, heads)
        if found is None:
            waits = wait_graph.waiting(heads)
            self._where.look(waits, readers, time.time())
            self._hints.look(readers, heads, waits)
            self._slow.look(readers)
        elif self._link is not None and self._linked == _identity(readers):
            self._link.send(heads.ranks.values() if not self._leads else (), found=found)
        return found

    def deliver(self) -> None:
        """Give the verdict time to reach the monitors of other hosts, before the ranks that forward it end."""
        if self._link is not None:
            time.sleep(3 * BEAT)

    def _exchanged(self, readers: list[Reader], heads: Trace) -> dict[int, Rank]:
        """The ranks of other hosts, if there are any and this is the host of rank 0; else {}."""
        first = readers[0]
        if len(readers) >= heads.ranks[first.number].world_size or len(readers) < first.local:
            # All are here, or not all of those that will be.
            return {}
        if self._link is None or self._linked != _identity(readers):
            self._link, self._linked = Link(self._folder, first.number, first.attempt), _identity(readers)
            self._leads = first.number == 0
            self._told, self._windows, self._wants, self._answered = None, [], 0, 0
        try:
            return self._taken(readers, heads, self._link, self._link.received())
        except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
            # Ours are whole: they are written at once.
            if not self._is_foreign:
                self._say(
                    f"collectivelint: {self._folder}: a message from another host is ignored, collectivelint did not send it: {error}\n"
                )
            self._is_foreign = True
            return {}

    def _taken(
        self, readers: list[Reader], heads: Trace, link: Link, messages: list[dict[str, Any]]
    ) -> dict[int, Rank]:
        """Read the messages of the other monitors and answer them; the ranks of other hosts."""
        self._told = next((decode_divergence(m["found"]) for m in messages if m["found"] is not None), None)
        if self._leads:
            self._windows = [rank for message in messages for rank in decode(message["windows"])]
            self._answered = min((message["wants"] for message in messages), default=self._wants)
            link.send((), wants=self._wants)
            return {rank.rank: rank for message in messages for rank in decode(message["ranks"])}
        wants = max((message["wants"] for message in messages), default=0)
        if wants > self._wants:
            self._wants = self._answered = wants
            self._windows = [reader.whole(_WINDOW) for reader in readers]
        link.send(heads.ranks.values(), self._windows, wants=self._wants)
        return {}

    def _current(self) -> list[Reader]:
        """All traces seen so far; removed files are still read, as their process still writes to them."""
        for file in ring_files(self._folder):
            if file not in self._readers and file not in self._given_up:
                try:
                    self._readers[file] = Reader(file, keep=True)
                except TraceError:
                    # Just being made; if it is damaged, the report says so.
                    continue
        for file, reader in list(self._readers.items()):
            try:
                reader.update()
            except TraceError as error:
                # One that cannot be read costs the others nothing.
                self._given_up.add(file)
                del self._readers[file]
                self._say(f"collectivelint: {error}; from here on only the other ranks are compared\n")
        return list(self._readers.values())

    def jobs(self) -> list[jobs.Job]:
        """All jobs and attempts seen so far, in the order of their starts."""
        return jobs.as_jobs(jobs.grouped(self._readers.values()))

    def recent(self, seconds: float) -> frozenset[str]:
        """Names of the rings whose processes were alive in the last `seconds`, or that are new since the last look."""
        since = time.monotonic() - seconds
        return frozenset(
            file.name
            for file in ring_files(self._folder)
            if file not in self._readers or self._seen.get(file, -1.0) >= since
        )

    def removed(self) -> list[Reader]:
        """The traces whose files are gone."""
        return [reader for file, reader in self._readers.items() if not file.exists()]

    def _mismatch(self, readers: list[Reader], heads: Trace) -> Divergence | None:
        now, job = time.monotonic(), _identity(readers)
        suspects = {(job, stream) for stream in disagreements(heads, self._numbers)}
        suspects = {suspect for suspect in suspects if self._unexplained[suspect] < MAX_UNEXPLAINED}
        if not suspects and now - self._sampled.get(job, 0.0) < _EVERY:
            return None
        self._sampled[job] = now
        window = _WINDOW if suspects else _SAMPLE
        windows = self._windows if self._linked == job else []
        events = Trace({**{rank.rank: rank for rank in windows}, **{r.number: r.whole(window) for r in readers}})
        found = matching.mismatch(events)
        if found is None and suspects and self._answered >= self._wants:
            self._unexplained.update(suspects)
            if self._leads:
                # The events of the other hosts come with one of the next messages.
                self._wants += 1
        return found if found is None or self._is_complete(found, job) else None

    def _is_complete(self, found: Divergence, job: object) -> bool:
        """Whether all ranks of the group are in the divergence, or the others had `GROUP_SETTLE_S` to appear."""
        if len(found.ranks) >= len(found.group.ranks):
            return True
        # Not by call: each look may find another one where the job goes on, and one rank is always ahead.
        since = self._incomplete.setdefault((job, found.group.key), time.monotonic())
        return time.monotonic() - since >= GROUP_SETTLE_S

    def _is_waiting(self, job: object) -> bool:
        """Whether a mismatch of the job waits for more ranks: then a hang is its consequence, not a deadlock."""
        now = time.monotonic()
        return any(key[0] == job and now - since < GROUP_SETTLE_S for key, since in self._incomplete.items())

    def _deadlock(self, readers: list[Reader], heads: Trace) -> Divergence | None:
        now = time.time()
        job = _identity(readers)
        before = self._suspected.pop(job, frozenset())
        if not any(now - event.start >= MIN_BLOCKED_S for rank in heads.ranks.values() for event in _pending(rank)):
            return None
        graph = wait_graph.Waits(heads, over=False)
        # Ranks are not looked at in the same instant, those of other hosts a second ago. That proves as much: whoever got on
        # first since would need a call that somebody here had made before, and all of these sit in another. Two looks
        # are for what the record says before it is true: threads that have not begun yet.
        suspected = frozenset((rank, thread, event.number) for (rank, thread), event in graph.doomed.items())
        self._suspected[job] = suspected
        if not suspected or suspected != before:
            return None
        missing = [heads.ranks[rank] for node in graph.doomed for rank in graph.missing(node)]
        patience = MIN_BLOCKED_S
        if any(rank.alive and rank.has_raised for rank in missing):
            # It is leaving, and its launcher does not know yet.
            return None
        if any(_has_failed(rank) for rank in missing):
            patience = self._grace
        elif any(event.state is State.ISSUED for event in graph.doomed.values()):
            patience = OPEN_HANDLE_S
        if any(now - event.start < patience for event in graph.doomed.values()):
            return None
        return wait_graph.deadlock(heads, over=False, now=now)


def _identity(readers: list[Reader]) -> Path:
    """The identity of an attempt, also among jobs with the same store: the ring of the rank that began first."""
    return min(readers, key=lambda reader: (reader.started, reader.number)).path


def _has_failed(rank: Rank) -> bool:
    """Whether a rank has raised, or exited without reporting an error."""
    return rank.has_raised or (rank.end == "running" and not rank.alive)


def _pending(rank: Rank) -> tuple[Event, ...]:
    """The calls of a rank that have not ended."""
    return tuple(event for event in rank.events if event.state < State.DONE)


def disagreements(heads: Trace, numbers: Numbering) -> Iterator[tuple[int, str]]:
    """Streams in which two ranks made equally many but different calls: number of the group, kind."""
    seen: dict[tuple[int, str, str, int], int] = {}
    for rank in heads.ranks.values():
        for stream, (calls, rolled, block) in rank.streams.items():
            name = (numbers(stream[0]), stream[1])
            if calls and seen.setdefault((*name, "now", calls), rolled) != rolled:
                yield name
            if calls >= BLOCK and seen.setdefault((*name, "block", calls // BLOCK), block) != block:
                yield name
