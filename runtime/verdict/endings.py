"""How ranks ended, according to the trace: which ends are causes, which are consequences, and how to word them."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

from ..traces.model import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..traces.model import Event, Failure, Rank

#: What torch raises when a partner is gone, or does not come in time.
_BROKEN: Final = ("RuntimeError", "DistBackendError", "DistNetworkError")
_LONGEST: Final = 300
#: The state of a rank of whose end nothing is known.
NO_RECORD: Final = "exited without reporting an error"


def failure(rank: Rank) -> Failure | None:
    """The kind of failure of the exception that ended a rank; None if none did. Older traces have only its text."""
    if rank.ending is not None:
        return rank.ending.failure
    if rank.end != "raised":
        return None
    if rank.error.startswith("KeyboardInterrupt"):
        return "interrupt"
    if not rank.error.startswith(_BROKEN):
        return "own"
    return "timeout" if "Timed out" in rank.error else "connection"


def is_cause(rank: Rank) -> bool:
    """Whether a rank ended for its own reason: its program's exception, Ctrl-C, or a signal not from its launcher."""
    return failure(rank) in ("own", "interrupt") or _has_exited(rank)


def _has_exited(rank: Rank) -> bool:
    """Whether the process exited without an exception and without being ended by its launcher.

    Not by SIGABRT: C++ aborts a process that has waited too long for other ranks.
    """
    return (
        rank.end == "running"
        and rank.ending is None
        and rank.exit is not None
        and not rank.exit.signal
        and rank.exit.code not in (None, -signal.SIGABRT)
    )


def ended_well(rank: Rank) -> bool:
    """Whether a rank ended normally, including `os._exit(0)`, which records no end in the trace."""
    code = rank.exit.code if rank.exit is not None and not rank.exit.signal else None
    return rank.end == "finished" or (rank.end == "running" and rank.ending is None and code == 0)


def was_stopped(rank: Rank) -> bool:
    """Whether the launcher ended the rank while it was running, so that it could still have made any call."""
    return rank.end == "running" and rank.ending is None and rank.exit is not None and bool(rank.exit.signal)


def was_running(rank: Rank, at: float) -> bool:
    """Whether, according to the trace, the rank had not ended at a time (in seconds since the epoch)."""
    if rank.ending is not None:
        return rank.ending.time > at
    return rank.end == "running" and not is_cause(rank)


def timeout(rank: Rank, event: Event) -> float | None:
    """When a call timed out and ended its rank, in seconds since the epoch; None if it did not or that is unknown.

    NCCL's watchdog aborts the process; the timeout of the group tells whether it was the watchdog.
    """
    if failure(rank) == "timeout":
        return rank.ending.time if rank.ending is not None else event.end or event.start
    if rank.exit is None or rank.exit.code != -signal.SIGABRT or rank.ending is not None or not event.blocks:
        return None
    return rank.exit.time if 0 < event.group.timeout <= rank.exit.time - event.start else None


def broken_off(rank: Rank) -> Iterator[Event]:
    """The calls a rank was in when it ended for a reason of its own: it has entered them, but does not take part."""
    if is_cause(rank):
        last = rank.events[-1] if rank.events else None
        yield from (event for event in rank.events if event.blocks or (event is last and event.state is State.FAILED))


def state(rank: Rank, *, over: bool) -> str:
    """The state of a rank that waits in no call, in words. `over`: the job has ended."""
    if rank.has_raised:
        error = (rank.ending.error if rank.ending is not None else rank.error).strip()
        where = rank.ending.place if rank.ending is not None else None
        return f"raised {error[:_LONGEST].rstrip('.')}" + (
            f" at {where.path}:{where.line}" if where is not None else ""
        )
    code = rank.exit.code if rank.exit is not None else None
    if rank.end == "finished":
        return f"exited with code {code}" if code is not None and code > 0 else "has finished"
    if rank.exit is not None and rank.exit.signal:
        return f"was ended by its launcher ({rank.exit.signal})"
    if code is not None:
        return f"was killed by {_signal(-code)}" if code < 0 else f"exited with code {code} without reporting an error"
    return NO_RECORD if over or not rank.alive else "is elsewhere"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
