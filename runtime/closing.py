"""The last lines of `collectivelint trace`: the verdict, and what it is about."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from . import explain
from .say import echo

if TYPE_CHECKING:
    from .launch import Outcome
    from .record import Trace


def conclude(outcome: Outcome, problems: list[str]) -> None:
    """Print the verdict to stderr. `problems`: what else the run has come to, in a few words each."""
    found = outcome.divergence
    if found is not None:
        headline, _, sides = explain.text(found).partition("\n")
        echo("", err=True)
        echo(headline, err=True, fg="red", bold=True)
        echo(sides, err=True, nl=False)
        echo(f"collectivelint: the ranks diverged, see above; compared {looked_at(outcome.trace)}", err=True, fg="red")
        return
    if outcome.code and (ended := _ended(outcome)):
        problems = [*problems, ended]
    but = f", but {' and '.join(problems)}" if problems else ""
    if not outcome.trace.ranks:
        nothing = "collectivelint: nothing was traced; no process called init_process_group"
        echo(nothing + but, err=True, fg="yellow")
    else:
        colour = "red" if problems else "green"
        echo(f"collectivelint: no divergence in {looked_at(outcome.trace)}{but}", err=True, fg=colour)


def looked_at(trace: Trace) -> str:
    """`926 calls of 4 ranks`, `926 calls of 4 of 8 ranks`."""
    calls = sum(len(rank.events) + rank.lost for rank in trace.ranks.values())
    ranks, size = len(trace.ranks), max((rank.world_size for rank in trace.ranks.values()), default=0)
    of = f"{ranks} of {size}" if ranks < size else f"{ranks}"
    return f"{calls} call{'s' * (calls != 1)} of {of} rank{'s' * (max(ranks, size) != 1)}"


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
