"""What a run is missing: ranks that never reached init_process_group, were not recorded, or not seen on this host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from collectivelint.printable import one_line

from ..quantities import ranks_text
from ..traces import rank_processes
from . import joining
from .unrecorded import texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from ..traces.model import Trace
    from ..traces.rank_processes import RankProcess
    from ..traces.run_end import Unrecorded


@dataclass(frozen=True, slots=True)
class Absent:
    """What is missing, in a few words each.

    `never`: for each job, its ranks that never reached a group (`verdict` is their full text); `problems`: other
    errors; `notes`: what is not an error.
    """

    verdict: str = ""
    never: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def wrong(self) -> tuple[str, ...]:
        """Everything that makes the exit code 1."""
        return (*self.never, *self.problems)


NOTHING: Final = Absent()


def of_run(run: Path, trace: Trace, ignoring: Sequence[Unrecorded] = (), *, goes_on: bool = False) -> Absent:
    """What is missing in the trace of a run. `ignoring`: processes of it that left no record.

    `goes_on`: the run was told to end, or still runs; then a rank that has not reached the group yet proves nothing.
    """
    processes = rank_processes.read(run)
    goes_on = goes_on or any(map(joining.is_alive, processes))
    absences = list(joining.absences(processes))
    on_their_way = [f"{absence.missing_text} had not reached init_process_group" for absence in absences if goes_on]
    absences = [] if goes_on else absences
    verdict = "".join(absence.text() for absence in absences)
    never = tuple(f"{absence.missing_text} never reached init_process_group" for absence in absences)
    size = max((rank.world_size for rank in trace.ranks.values()), default=0)
    if not size:
        lost = [one for one in processes if one.joined or _why(one)]
        problems = [*_by_reason(lost), *texts(one for one in ignoring if one.rank >= 0)]
        return Absent(verdict, never, tuple(problems), (*on_their_way, *_of_none(processes, ignoring)))
    here = {
        one.rank: one
        for one in processes
        if one.world_size == size and one.rank not in trace.ranks and (_why(one) or not goes_on)
    }
    others = [one for one in ignoring if one.world_size == size and one.rank not in {*trace.ranks, *here}]
    problems = [*_by_reason(here.values()), *texts(others)]
    unseen = set(range(size)) - trace.ranks.keys() - here.keys() - {one.rank for one in others}
    notes = on_their_way
    # Of a trace of an earlier release, or of another tool, nothing else is known.
    if unseen and processes and not goes_on:
        hosts = {rank.host for rank in trace.ranks.values()} | {one.host for one in here.values()}
        local = max((one.local for one in processes if one.world_size == size), default=0)
        seen = f"no process of {ranks_text(unseen)} was seen here"
        if local * len(hosts) > size - len(unseen):
            problems.append(f"{seen}, where LOCAL_WORLD_SIZE is {local}")
        else:
            notes.append(f"{seen}: another launcher may have them")
    return Absent(verdict, never, tuple(problems), tuple(notes))


def _of_none(processes: list[RankProcess], ignoring: Sequence[Unrecorded]) -> Iterator[str]:
    """Why a run may have no trace."""
    yield from texts(one for one in ignoring if one.rank < 0)
    quiet = {one.rank for one in processes if not one.entered and not _why(one)}
    if quiet and not any(one.entered for one in processes):
        yield f"{ranks_text(quiet)} did not call init_process_group"


def _why(one: RankProcess) -> str:
    """Why a process was not recorded, if it could record the reason; else ""."""
    if one.untraced:
        return one.untraced
    return "" if one.job else "not even the start of the process could be written"


def _by_reason(lost: Iterable[RankProcess]) -> list[str]:
    """`ranks 2,3 were not recorded: No space left on device`."""
    reasons: dict[str, set[int]] = {}
    for one in lost:
        reasons.setdefault(_why(one) or "the reason is not known", set()).add(one.rank)
    return [
        f"{ranks_text(ranks)} {'were' if len(ranks) > 1 else 'was'} not recorded: {one_line(why)}"
        for why, ranks in reasons.items()
    ]
