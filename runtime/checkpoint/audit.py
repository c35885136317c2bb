"""One look at a checkpoint: every check that applies, in one reading of its files."""

from __future__ import annotations

import gc
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .checks import consolidated, manifest, optimizer, rank_files, resharding, tiling
from .checks.headers import headers
from .checks.repeated import repeated
from .checks.sweep import sweep
from .files import Files, Side, no_progress
from .formats.load import load
from .model import Checkpoint, CheckpointError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from .files import Progress


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look at beside the checkpoint itself."""

    #: Read no values: only what metadata and headers say.
    headers_only: bool = False
    consolidated: Path | None = None
    world_size: int | None = None
    manifest: Path | None = None
    #: Patterns of names of tensors whose values mean something on each rank.
    per_rank: Sequence[str] = ()


@dataclass(slots=True)
class Report:
    """What was found. `read` are bytes of values, `seconds` the time it took."""

    checkpoint: Checkpoint | None
    problems: list[Problem] = field(default_factory=list)
    chunks: int = 0
    read: int = 0
    seconds: float = 0.0

    @property
    def is_sound(self) -> bool:
        """Whether there is no error. Notes are none."""
        return all(problem.severity != "error" for problem in self.problems)


@contextmanager
def opened(path: Path, progress: Progress = no_progress) -> Iterator[tuple[Side, list[Problem]]]:
    """A checkpoint with the headers of its chunks, and what was wrong with those. Raises CheckpointError."""
    with ExitStack() as stack:
        with _uncollected():
            checkpoint = load(path)
            files = stack.enter_context(closing(Files(checkpoint)))
            values, problems = headers(checkpoint, files, progress)
        yield Side(checkpoint, files, values), problems


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without looking for garbage: none is made where millions of small objects are, and looking takes as long as making them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def audit(path: Path, wanted: Wanted, progress: Progress = no_progress) -> Report:
    """Look at it. `progress` is told of bytes. Only what cannot be named at all raises CheckpointError: a path without files."""
    begun = time.monotonic()
    if not path.exists():
        raise CheckpointError(f"{path}: no such file or directory")
    report = Report(None, [])
    try:
        with opened(path) as (side, problems):
            report = Report(side.checkpoint, [*side.checkpoint.problems, *problems], chunks=len(side.values))
            _look(side, wanted, report, progress)
    except CheckpointError as error:
        code = "CK101" if report.checkpoint is None else "CK102"
        report.problems.append(Problem(code, path.name or str(path), _unnamed(error, path)))
    report.problems.sort(key=lambda problem: (problem.severity != "error", problem.code))
    report.seconds = time.monotonic() - begun
    return report


def _unnamed(error: CheckpointError, path: Path) -> str:
    """What it says of a path, where that is named already."""
    return str(error).removeprefix(f"{path}: ")


def _look(side: Side, wanted: Wanted, report: Report, progress: Progress) -> None:
    checkpoint, found = side.checkpoint, report.problems
    for tensor in checkpoint.tensors.values():
        found += tiling.check(tensor)
    found += repeated(checkpoint, side.values, side.files)
    if checkpoint.local:
        found += rank_files.replicas(side)
    found += optimizer.check(side)
    beside = wanted.manifest or checkpoint.folder / manifest.NAME
    if wanted.manifest is not None or (checkpoint.path.is_dir() and beside.is_file()):
        found += manifest.check(side, beside)
    if not wanted.headers_only:
        digests, wrong = sweep(checkpoint, side.values, side.files, progress)
        found += wrong
        report.read = sum(values.storage.length for key, values in side.values.items() if key in digests)
    if wanted.world_size is not None:
        whole = rank_files.joined(side, None) if checkpoint.local else side
        found += resharding.check(whole, wanted.world_size, wanted.per_rank)
    if wanted.consolidated is not None:
        try:
            with opened(wanted.consolidated) as (file, problems):
                found += [*file.checkpoint.problems, *problems, *consolidated.check(side, file)]
                if not wanted.headers_only:
                    found += sweep(file.checkpoint, file.values, file.files, progress)[1]
        except CheckpointError as error:
            found.append(Problem("CK302", str(wanted.consolidated), _unnamed(error, wanted.consolidated)))
