"""The last lines of `collectivelint trace`: the verdict, and which calls and ranks it covers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..quantities import ranks_text
from ..say import echo
from ..traces import jobs
from ..verdict import explain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .absent import Absent
    from .judging import Judged
    from .launch import Outcome


#: A process that cannot write its trace says so, and the job goes on without it.
NOBODY: Final = "either no process called init_process_group, or none could write its trace (see above)"


def conclude(outcome: Outcome, problems: list[str]) -> None:
    """Print the verdict on each job to stderr. `problems`: other problems of the run, in a few words each."""
    diverged = any(item.divergence is not None for item in outcome.judged)
    if outcome.absent.verdict:
        echo("", err=True)
        _verdict(outcome.absent, err=True)
    # The exit code of ranks that have diverged is no news.
    if (ended := outcome.end.text()) and (outcome.end.signals or not diverged):
        problems = [*problems, ended]
    removed = not outcome.folder.is_dir()
    traced = any(item.ranks for item in outcome.judged) and not _is_empty(outcome.judged)
    if _is_empty(outcome.judged):
        problems = [*problems, *(problem for item in outcome.judged for problem in untraced(item))]
    if removed and traced:
        problems = [*problems, "the trace folder was removed while the job ran"]
    if outcome.running and not diverged:
        _still_running(outcome, traced=traced)
        return
    if traced:
        if diverged:
            echo("", err=True)
        tell(outcome.judged, problems, err=True, notes=outcome.absent.notes, ended_well=outcome.end.code == 0)
        return
    but = f", but {' and '.join(problems)}" if problems else ""
    notes = "".join(f"; {note}" for note in outcome.absent.notes)
    if outcome.absent.wrong or _is_empty(outcome.judged):
        why, colour = f"; {' and '.join(problems)}{notes}", "red"
    elif outcome.absent.notes:
        why, colour = f"{notes}{but}", "yellow"
    else:
        why, colour = f"; {'the trace folder was removed while the job ran' if removed else NOBODY}{but}", "yellow"
    echo(f"collectivelint: nothing was traced{why}", err=True, fg=colour)


def _is_empty(judged: Sequence[Judged]) -> bool:
    """Whether ranks joined a group, but not a single call of them could be recorded."""
    return any(item.cut for item in judged) and all(item.calls == 0 and len(item.cut) == item.ranks for item in judged)


def _still_running(outcome: Outcome, *, traced: bool) -> None:
    verb = "run" if len(outcome.running) > 1 or outcome.running[0].startswith("ranks") else "runs"
    still = f"the command has ended, but {', '.join(outcome.running)} still {verb}"
    so_far = f"no divergence so far in {looked_at(outcome.judged)}" if traced else "nothing is traced yet"
    follow = f"`collectivelint watch {outcome.folder}` follows the ranks"
    echo(f"collectivelint: {still}; {so_far}; {follow}", err=True, fg="yellow")


def _verdict(absent: Absent, *, err: bool) -> None:
    headline, _, sides = absent.verdict.partition("\n")
    echo(headline, err=err, fg="red", bold=True)
    echo(sides, err=err, nl=False)


def tell_missing(absent: Absent, *, err: bool) -> None:
    """Print what is missing in a trace, for a report."""
    if absent.verdict:
        _verdict(absent, err=err)
    for text in absent.problems:
        echo(f"MISSING: {text}", err=err, fg="red")
    for text in absent.notes:
        echo(f"note: {text}", err=err)


def tell(
    judged: Sequence[Judged],
    problems: Sequence[str],
    *,
    err: bool,
    notes: Sequence[str] = (),
    ended_well: bool = False,
) -> None:
    """Print the verdict on each job, in the order of their starts, and a last line on all of them.

    `problems`: what else that line lists; `notes`: printed, but no problems. `err`: print to stderr, as the tracer does
    since the job writes to stdout. `ended_well`: the command exited with code 0, so a rank without a recorded end left
    by `os._exit`.
    """

    def of_ranks(item: Judged) -> list[str]:
        return [*untraced(item), *ended_badly(item, ended_well=ended_well)]

    diverged = [item for item in judged if item.divergence is not None]
    for item in judged:
        of = f"{item.name}: " * bool(item.name)
        if item.divergence is not None:
            headline, _, sides = explain.text(item.divergence).partition("\n")
            echo(of + headline, err=err, fg="red", bold=True)
            echo(sides, err=err, nl=False)
        elif len(judged) > 1:
            but = "".join(f", but {problem}" for problem in of_ranks(item))
            echo(f"{of}no divergence in {looked_at([item])}{but}", err=err, fg="yellow" if but else "green")
    problems = [*(problem for item in judged for problem in of_ranks(item)), *problems]
    if diverged:
        which = f" in {_part(diverged, judged)}" if len(judged) > 1 else ""
        but = "".join(f"; {problem}" for problem in problems)
        timeouts = all(item.divergence.verdict == "timeout" for item in diverged if item.divergence is not None)
        said = "a call timed out" if timeouts else "the ranks diverged"
        echo(
            f"collectivelint: {said}{which}, see above; compared {_calls(judged)}{but}",
            err=err,
            fg="red",
        )
    elif _is_empty(judged):
        echo(f"collectivelint: nothing was traced; {' and '.join(problems)}", err=err, fg="red")
    else:
        but = (f", but {' and '.join(problems)}" if problems else "") + "".join(f"; {note}" for note in notes)
        echo(f"collectivelint: no divergence in {looked_at(judged)}{but}", err=err, fg="red" if problems else "green")


def _part(some: Sequence[Judged], judged: Sequence[Judged]) -> str:
    """`1 of 2 jobs`, `1 of 3 attempts`."""
    chains = jobs.restarts([item.job for item in judged])
    return f"{len(some)} of {len(judged)} {'jobs' if len(chains) == len(judged) else 'attempts'}"


def looked_at(judged: Sequence[Judged]) -> str:
    """`926 calls of 4 ranks`, `926 calls of 4 of 8 ranks`, `926 calls of 8 ranks in 2 jobs`, `... in 3 attempts of 1 job`."""
    text = _calls(judged)
    if len(judged) == 1:
        return text
    several = len(jobs.restarts([item.job for item in judged]))
    of = f"{several} job{'s' * (several != 1)}"
    return f"{text} in {of if several == len(judged) else f'{len(judged)} attempts of {of}'}"


def _calls(judged: Sequence[Judged]) -> str:
    calls = sum(item.calls for item in judged)
    ranks = jobs.ranks_of(sum(item.ranks for item in judged), sum(item.job.world_size for item in judged))
    return f"{calls} call{'s' * (calls != 1)} of {ranks}"


def untraced(judged: Judged) -> list[str]:
    """`rank 0 is recorded only until its call 14`, for each rank that could not be recorded to its end."""
    return [
        f"rank {rank} is recorded only until its call {calls}" if calls else f"rank {rank} was not recorded"
        for rank, calls in judged.cut.items()
    ]


def ended_badly(judged: Judged, *, ended_well: bool) -> list[str]:
    """`ranks 0-2 were killed by SIGKILL`, `rank 1 left no record of its end, as a killed process does`."""
    found = []
    for how, ranks in judged.killed.items():
        several = len(ranks) > 1 and how.startswith("was ")
        found.append(f"{ranks_text(ranks)} {'were' + how[3:] if several else how}")
    if judged.silent and not ended_well:
        end = "their end, as killed processes do" if len(judged.silent) > 1 else "its end, as a killed process does"
        found.append(f"{ranks_text(judged.silent)} left no record of {end}")
    return found
