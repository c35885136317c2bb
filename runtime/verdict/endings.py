"""How ranks ended, as far as the trace has it: which ends are causes, which follow from another rank's, and their words."""

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
    """Whose failure the exception was that ended a rank; None if none has. Older traces have only its text."""
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
    """Whether a rank ended for a reason of its own: an exception of its program, Ctrl-C, a signal that is not its launcher's."""
    return failure(rank) in ("own", "interrupt") or _has_exited(rank)


def _has_exited(rank: Rank) -> bool:
    """Whether its launcher saw the process end which neither an exception nor the launcher has ended.

    C++ aborts a process (SIGABRT) that has waited too long for others.
    """
    return (
        rank.end == "running"
        and rank.ending is None
        and rank.exit is not None
        and not rank.exit.signal
        and rank.exit.code not in (None, -signal.SIGABRT)
    )


def ended_well(rank: Rank) -> bool:
    """Whether a rank came to its own end, `os._exit(0)` included, which leaves no word in the trace."""
    code = rank.exit.code if rank.exit is not None and not rank.exit.signal else None
    return rank.end == "finished" or (rank.end == "running" and rank.ending is None and code == 0)


def was_stopped(rank: Rank) -> bool:
    """Whether its launcher has ended the rank, which had not ended by then: it might have made any call."""
    return rank.end == "running" and rank.ending is None and rank.exit is not None and bool(rank.exit.signal)


def was_running(rank: Rank, at: float) -> bool:
    """Whether nothing in the trace says that the rank had ended at a time (in seconds since the epoch)."""
    if rank.ending is not None:
        return rank.ending.time > at
    return rank.end == "running" and not is_cause(rank)


def timeout(rank: Rank, event: Event) -> float | None:
    """When a call that a rank was in took too long, and ended the rank by that; None if that is not known.

    NCCL's watchdog aborts the process. Whether it was that which did is told by the timeout of the group.
    """
    if failure(rank) == "timeout":
        return rank.ending.time if rank.ending is not None else event.end or event.start
    if rank.exit is None or rank.exit.code != -signal.SIGABRT or rank.ending is not None or not event.blocks:
        return None
    return rank.exit.time if 0 < event.group.timeout <= rank.exit.time - event.start else None


def broken_off(rank: Rank) -> Iterator[Event]:
    """The calls that a rank was in when it ended for a reason of its own: it has begun them, and does not take part."""
    if is_cause(rank):
        last = rank.events[-1] if rank.events else None
        yield from (event for event in rank.events if event.blocks or (event is last and event.state is State.FAILED))


def state(rank: Rank, *, over: bool) -> str:
    """The words for a rank that waits in no call. `over`: the job has ended."""
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
