"""`report --perfetto`: the calls of a run as a trace that the Perfetto UI opens (https://ui.perfetto.dev).

Each rank has a track below that of its job, with a slice for each call and a counter of the bytes in flight. A flow
links the calls of one collective on all ranks. Calls that overlap others (asynchronous ones, or on other threads) have
tracks of their own below that of the rank. Ranks are read and written one after the other, since packets need not be in
order of time.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .perfetto_packets import Packets
from .rank_by_rank import calls_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..traces.jobs import Job


class PerfettoError(Exception):
    """The trace cannot be written; the message has the reason."""


def write(jobs: Sequence[Job], names: Sequence[str], file: Path, unreadable: list[str]) -> None:
    """Write the calls of all jobs. One rank is in memory at a time.

    Problems with ranks that are left out are appended to `unreadable`. Raises PerfettoError if the package is missing.
    """
    try:
        import perfetto.protos.perfetto.trace.perfetto_trace_pb2 as protos

        from . import perfetto_job
    except ImportError:
        raise PerfettoError("--perfetto needs perfetto: pip install 'collectivelint[report]'") from None
    with _replaced(file) as stream:
        packets = Packets(protos, stream)
        groups = 0
        for position, (job, name) in enumerate(zip(jobs, names, strict=True)):
            track = packets.track(name or f"job of {job.world_size} ranks", order=position, sorts_children=True)
            written = perfetto_job.Job(packets, track, groups)
            for rank, calls in calls_of(job, written.catalog, unreadable):
                written.rank(rank, calls)
            groups += len(written.catalog.groups)
        packets.flush()


@contextmanager
def _replaced(file: Path) -> Iterator[IO[bytes]]:
    """A stream to a temporary file that replaces `file` once complete; a device or pipe is written to directly."""
    target = Path(os.path.realpath(file))
    if target.exists() and not target.is_file():
        with target.open("wb") as stream:
            yield stream
        return
    if file.is_symlink() and not target.exists():
        raise FileNotFoundError(2, "is a symbolic link to a file that does not exist", str(file))
    temporary = target.with_name(f".{target.name}.{os.urandom(4).hex()}.tmp")
    try:
        with temporary.open("xb") as stream:
            yield stream
        if target.exists():
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        temporary.replace(target)
    except OSError as error:
        if error.filename != str(temporary):
            raise
        # The temporary name says nothing to anybody.
        raise OSError(error.errno, error.strerror, str(file)) from None
    finally:
        temporary.unlink(missing_ok=True)
