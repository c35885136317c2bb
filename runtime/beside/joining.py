"""Ranks that wait in init_process_group and ranks that never reached it: hints while the job runs, then a verdict."""

from __future__ import annotations

import linecache
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from collectivelint import atomic
from collectivelint.printable import one_line

from ..inside.sites import shorten
from ..quantities import ranks_text
from ..traces import processes, rank_processes
from ..traces.rank_record import asking_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ..traces.rank_processes import RankProcess

#: Seconds of waiting in init_process_group after which the ranks that have not come are named, if `--hint-after` is no less.
HINT_AFTER: Final = 10.0
#: How many times as long ranks may take to connect when all are there.
_CONNECTING: Final = 3
#: Seconds between two looks, and seconds that a process may take to say where it is.
_POLL: Final = 1.0
_SETTLED: Final = 5.0
_REPLY: Final = 1.5
_DEEPEST: Final = 5


@dataclass(frozen=True, slots=True)
class Absence:
    """Ranks that wait or waited in init_process_group, and ranks that never called it.

    `missing`: None for a rank of which no process was seen.
    """

    waiting: tuple[RankProcess, ...]
    missing: Mapping[int, RankProcess | None]

    @property
    def missing_text(self) -> str:
        """`rank 1`."""
        return ranks_text(self.missing)

    def text(self) -> str:
        """The verdict: each rank with its last known state."""
        lines = [
            f"INIT: {self.missing_text} never reached init_process_group; "
            f"{ranks_text(one.rank for one in self.waiting)} waited there"
        ]
        lines += [f"  rank {one.rank} {_waited(one)}" for one in self.waiting[:_DEEPEST]]
        return _joined([*lines, *self._missing_lines()])

    def hint(self, now: float) -> str:
        """The same while the job runs."""
        first = min(self.waiting, key=lambda one: one.entered)
        place = f" at {_place(first)}" if first.frames else ""
        if not self.missing:
            text = f"note: all {first.world_size} ranks are in init_process_group(){place} and have not connected for "
            return _joined(
                [f"{text}{now - max(one.entered for one in self.waiting):.0f} s", *_of_attempt(first.attempt)]
            )
        verb = "have" if len(self.waiting) > 1 else "has"
        which = ranks_text(one.rank for one in self.waiting)
        waited = f"note: {which} {verb} waited {now - first.entered:.0f} s in init_process_group(){place}"
        reached = "have" if len(self.missing) > 1 else "has"
        return _joined([f"{waited}; {self.missing_text} {reached} not reached it", *self._missing_lines()])

    def _missing_lines(self) -> Iterator[str]:
        unseen = [rank for rank, one in self.missing.items() if one is None]
        known = [one for one in self.missing.values() if one is not None]
        for one in known[:_DEEPEST]:
            state, frames = _standing(one), _frames(one)
            yield f"  rank {one.rank} {state} {frames[0] if frames else ''}".rstrip()
            yield from (f"    {frame}" for frame in frames[1:_DEEPEST])
        if len(known) > _DEEPEST:
            yield f"  and {len(known) - _DEEPEST} more"
        if unseen:
            yield f"  no process of {ranks_text(unseen)} was seen on this host{_elsewhere(self.waiting)}"


def _of_attempt(attempt: int) -> Iterator[str]:
    if attempt:
        yield (
            f"  this is attempt {attempt}: ranks may have read addresses of the previous attempt from torchrun's store; "
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 gives each attempt a new one"
        )


def absences(found: Iterable[RankProcess]) -> Iterator[Absence]:
    """For each job without a group: the ranks that wait in init_process_group, and those that have not called it."""
    return (absence for absence in joining(found) if absence.missing)


def joining(found: Iterable[RankProcess]) -> Iterator[Absence]:
    """The same, including jobs all of whose ranks have called it. One rank in a group means that the group exists."""
    for ranks in rank_processes.by_job(found):
        if any(one.joined for one in ranks.values()):
            continue
        # One that failed for another reason did not wait, and of one that runs untraced it is not known.
        waiting = tuple(one for one in ranks.values() if one.entered and (not one.left or one.waited))
        if waiting:
            numbers = range(waiting[0].world_size)
            missing = {number: ranks.get(number) for number in numbers if not _has_entered(ranks.get(number))}
            yield Absence(waiting, missing)


def _has_entered(one: RankProcess | None) -> bool:
    return one is not None and bool(one.entered or one.untraced)


def is_alive(one: RankProcess) -> bool:
    """Whether a process runs on this host now; always false for processes of other hosts."""
    return not one.ended and one.host == os.uname().nodename and processes.is_same(one.pid, one.begun)


def _standing(one: RankProcess) -> str:
    """The state of a rank that has not called init_process_group, as text."""
    if one.error:
        return f"raised {one.error}"
    if one.ended:
        return f"exited {one.ended - one.begun:.1f} s after its start" if one.begun else "exited"
    if one.host != os.uname().nodename:
        return f"began on {one.host}"
    if is_alive(one):
        if processes.state_of(one.pid) == "T":
            return f"is stopped; `kill -CONT {one.pid}` resumes it"
        return "is at" if one.frames else f"runs (pid {one.pid}) and has not reported its stack"
    return "was killed, or called os._exit" + ("; it was last seen at" if one.frames else "")


def _waited(one: RankProcess) -> str:
    place = f" at {_place(one)}" if one.frames else ""
    if one.left:
        return f"waited {one.left - one.entered:.1f} s{place} and raised {one.raised}"
    return f"called it{place}; it never returned"


def _elsewhere(waiting: tuple[RankProcess, ...]) -> str:
    local = max(one.local for one in waiting)
    several = f"; {local} of {waiting[0].world_size} ranks belong here"
    return several if 0 < local < waiting[0].world_size else ""


def _place(one: RankProcess) -> str:
    path, line, _ = one.frames[0]
    return f"{shorten(path)}:{line}"


def _frames(one: RankProcess) -> list[str]:
    """Its frames as text; without source lines if the files of its host are not available here."""
    if one.ended or (is_alive(one) and processes.state_of(one.pid) == "T"):
        return []
    found = []
    for path, line, function in one.frames:
        source = linecache.getline(path, line).strip()
        found.append(f"{shorten(path)}:{line} {function}" + (f": {source}" if source else ""))
    return found


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{one_line(line)}\n" for line in lines)


class JoiningWatch:
    """Reports once each job whose ranks wait in init_process_group, and again when a missing rank ends."""

    def __init__(self, folder: Path, hint_after: float, say: Callable[[str], None]) -> None:
        """`hint_after`: seconds to wait before a hint, at most `HINT_AFTER`."""
        self._folder, self._after, self._say = folder, min(hint_after, HINT_AFTER), say
        self._next = 0.0
        #: When they were asked where they are.
        self._asked: dict[object, float] = {}
        self._said: set[object] = set()

    def look(self) -> None:
        """Check all jobs; to be called again and again."""
        if time.monotonic() < self._next:
            return
        found = rank_processes.read(self._folder)
        # When all are in their groups only a new attempt brings others.
        self._next = time.monotonic() + (_POLL if any(not one.joined for one in found) else _SETTLED)
        for absence in joining(found):
            now = time.time()
            waiting = [one for one in absence.waiting if is_alive(one) and not one.left]
            if not absence.missing:
                # Of other hosts it is not known whether their ranks are still there.
                is_long = now - max(one.entered for one in absence.waiting) >= _CONNECTING * self._after
                if is_long and len(waiting) == len(absence.waiting) == waiting[0].world_size:
                    self._hint(absence, now)
            elif waiting and now - min(one.entered for one in waiting) >= self._after:
                self._hint(Absence(tuple(waiting), absence.missing), now)

    def _hint(self, absence: Absence, now: float) -> None:
        first = absence.waiting[0]
        gone = frozenset(number for number, one in absence.missing.items() if one is not None and not is_alive(one))
        key = (first.job, first.world_size, gone, not absence.missing and first.attempt)
        if key in self._said:
            return
        if key not in self._asked:
            self._asked[key] = time.monotonic()
            atomic.write(Path(asking_file(self._folder)), "", follow=False, durable=False)
        elif time.monotonic() - self._asked[key] >= _REPLY:
            self._said.add(key)
            self._say(absence.hint(now))
