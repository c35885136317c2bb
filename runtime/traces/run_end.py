"""How the launcher saw a run end, in the run's folder: the signal that ended it, when, which ranks ran then, the exit code.

{"collectivelint": "end", "version": 1, "signals": ["SIGINT"], "stopped": false, "at": 1790000000.5,
 "reached": ["rank0-host-4711.ring"], "diverged": [], "code": 130,
 "unrecorded": [{"pid": 4712, "rank": 1, "world_size": 2, "why": "`python -I` ignores the environment", "remedy": "..."}]}
"""

from __future__ import annotations

import json
import signal
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from collectivelint import atomic, reading

from . import validation

if TYPE_CHECKING:
    from pathlib import Path

    from .jobs import Job

FILE: Final = "end.json"
_VERSION: Final = 1
#: No record of ours has so many bytes: the names of all ranks of a host are in it.
_LARGEST: Final = 1 << 24


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """A process that uses torch but left no record. `rank` and `world_size` are -1 if its environment has none.

    `why` it left none: "`python -I` ignores the environment"; "" if unknown. `remedy`: what to do about it.
    """

    pid: int
    rank: int
    world_size: int
    why: str
    remedy: str


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended. `signals`: the signals that ended it; `stopped`: the tracer ended it after a divergence.

    `at`: when the first of these happened, in seconds since the epoch; `reached`: rings of the ranks alive just before;
    `diverged`: rings of the job that diverged; `code`: exit code of the command, None if unknown; `unrecorded`:
    processes that left no record.
    """

    signals: tuple[str, ...] = ()
    stopped: bool = False
    at: float = 0.0
    reached: frozenset[str] = frozenset()
    diverged: frozenset[str] = frozenset()
    code: int | None = None
    unrecorded: tuple[Unrecorded, ...] = ()

    def ended(self, files: set[str], started: float) -> bool:
        """Whether a job was ended from outside; then a rank that did not make a call proves nothing."""
        if not (self.signals or self.stopped) or files & self.diverged:
            return False
        # One that began at that moment may not have had its files yet.
        return started > self.at - 1.0 or bool(files & self.reached)

    def text(self) -> str:
        """`the job was interrupted by SIGINT`, `the job's exit code is 7`; "" if it ended normally."""
        if self.code == 0 or self.stopped:
            return ""
        last = self.signals[-1] if self.signals else ""
        verb = "interrupted" if last == "SIGINT" else "ended"
        if self.code is None:
            return f"the job was told to end by {last}" if last else ""
        try:
            name = signal.Signals(self.code - 128).name
        except ValueError:
            # torchrun, for one, ends with a code of its own.
            after = f"the job was {verb} by {last} and " if last else ""
            return f"{after}its exit code is {self.code}" if after else f"the job's exit code is {self.code}"
        return f"the job was {'interrupted' if name == 'SIGINT' else 'ended'} by {name}"


def ended_from_outside(job: Job, ends: dict[Path, RunEnd | None]) -> bool:
    """Whether a launcher of the job was told to end. `ends`: a cache by run, filled as needed."""
    for run in job.folders:
        if run not in ends:
            ends[run] = read(run)
        end = ends[run]
        files = {file.name for file in job.files if file.parent == run}
        if end is not None and end.ended(files, job.started):
            return True
    return False


def write(run: Path, end: RunEnd) -> None:
    """Write it into the folder of a run; does nothing if the folder is gone or cannot be written to."""
    data = {"collectivelint": "end", "version": _VERSION, **asdict(end)}
    data |= {name: sorted(data[name]) for name in ("reached", "diverged")}
    with suppress(OSError):
        atomic.write(run / FILE, json.dumps(data, indent=2) + "\n", follow=False)


def read(run: Path) -> RunEnd | None:
    """The end that the launcher recorded in the folder of a run; None if there is none, or it is not valid."""
    try:
        data = validation.mapping(validation.parsed(reading.read_bytes(run / FILE, _LARGEST, follow=False)))
        if data.get("collectivelint") != "end" or data.get("version") != _VERSION:
            return None
        return RunEnd(
            signals=_texts(data.get("signals")),
            stopped=data.get("stopped") is True,
            at=validation.real(data.get("at")),
            reached=frozenset(_texts(data.get("reached"))),
            diverged=frozenset(_texts(data.get("diverged"))),
            code=None if data.get("code") is None else validation.number(data.get("code")),
            unrecorded=tuple(map(_unrecorded, validation.items(data.get("unrecorded", ())))),
        )
    except (OSError, ValueError):
        return None


def _unrecorded(value: Any) -> Unrecorded:
    data = validation.mapping(value)
    pid, rank, size = (validation.number(data.get(name)) for name in ("pid", "rank", "world_size"))
    return Unrecorded(pid, rank, size, validation.text(data.get("why")), validation.text(data.get("remedy")))


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(validation.text, validation.items(value)))
