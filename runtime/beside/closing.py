"""The last lines of `collectivelint trace`: the verdict, and what it is about."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

from ..say import echo
from ..verdict import explain

if TYPE_CHECKING:
    from ..traces.model import Trace
    from .absent import Absent
    from .launch import Outcome


#: A process that cannot write its trace says so, and the job goes on without it.
NOBODY: Final = "either no process called init_process_group, or none could write its trace (see above)"


def conclude(outcome: Outcome, problems: list[str]) -> None:
    """Print the verdict to stderr. `problems`: what else the run has come to, in a few words each."""
    found = outcome.divergence
    if outcome.absent.verdict:
        echo("", err=True)
        _verdict(outcome.absent, err=True)
    if found is not None:
        headline, _, sides = explain.text(found).partition("\n")
        echo("", err=True)
        echo(headline, err=True, fg="red", bold=True)
        echo(sides, err=True, nl=False)
        echo(f"collectivelint: the ranks diverged, see above; compared {looked_at(outcome.trace)}", err=True, fg="red")
        return
    if outcome.code and (ended := _ended(outcome)):
        problems = [*problems, ended]
    removed = not outcome.folder.is_dir()
    if removed and outcome.trace.ranks:
        problems = [*problems, "the trace folder was removed while the job ran"]
    problems = [*problems, *untraced(outcome.trace)]
    but = f", but {' and '.join(problems)}" if problems else ""
    notes = "".join(f"; {note}" for note in outcome.absent.notes)
    if outcome.running:
        verb = "run" if len(outcome.running) > 1 or outcome.running[0].startswith("ranks") else "runs"
        still = f"the command has ended, but {', '.join(outcome.running)} still {verb}"
        so_far = (
            f"no divergence so far in {looked_at(outcome.trace)}" if outcome.trace.ranks else "nothing is traced yet"
        )
        follow = f"`collectivelint watch {outcome.folder}` follows the ranks"
        echo(f"collectivelint: {still}; {so_far}{but}{notes}; {follow}", err=True, fg="yellow")
    elif outcome.trace.ranks:
        colour = "red" if problems else "green"
        echo(f"collectivelint: no divergence in {looked_at(outcome.trace)}{but}{notes}", err=True, fg=colour)
    else:
        if outcome.absent.wrong:
            why, colour = f"; {' and '.join(problems)}{notes}", "red"
        elif outcome.absent.notes:
            why, colour = f"{notes}{but}", "yellow"
        else:
            why, colour = f"; {'the trace folder was removed while the job ran' if removed else NOBODY}{but}", "yellow"
        echo(f"collectivelint: nothing was traced{why}", err=True, fg=colour)


def _verdict(absent: Absent, *, err: bool) -> None:
    headline, _, sides = absent.verdict.partition("\n")
    echo(headline, err=err, fg="red", bold=True)
    echo(sides, err=err, nl=False)


def tell(absent: Absent, *, err: bool) -> None:
    """Print for a report what is missing in a trace."""
    if absent.verdict:
        _verdict(absent, err=err)
    for text in absent.problems:
        echo(f"MISSING: {text}", err=err, fg="red")
    for text in absent.notes:
        echo(f"note: {text}", err=err)


def looked_at(trace: Trace) -> str:
    """`926 calls of 4 ranks`, `926 calls of 4 of 8 ranks`."""
    calls = sum(len(rank.events) + rank.lost for rank in trace.ranks.values())
    ranks, size = len(trace.ranks), max((rank.world_size for rank in trace.ranks.values()), default=0)
    of = f"{ranks} of {size}" if ranks < size else f"{ranks}"
    return f"{calls} call{'s' * (calls != 1)} of {of} rank{'s' * (max(ranks, size) != 1)}"


def untraced(trace: Trace) -> list[str]:
    """`rank 0 is recorded only until its call 14`, for each that could not be recorded to its end."""
    return [
        f"rank {rank.rank} is recorded only until its call {rank.lost + len(rank.events)}"
        for rank in trace.ranks.values()
        if rank.end == "untraced"
    ]


def _ended(outcome: Outcome) -> str:
    code = outcome.code
    if code == 128 + signal.SIGINT:
        return "the job was interrupted"
    try:
        return f"the job was ended by {signal.Signals(code - 128).name}"
    except ValueError:
        # torchrun, for one, ends with a code of its own.
        after = f" after {signal.Signals(outcome.told[-1]).name}" if outcome.told else ""
        return f"the job's exit code is {code}{after}"
