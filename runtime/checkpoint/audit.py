"""The audit of a checkpoint: every check that applies, in one pass over its files."""

from __future__ import annotations

import gc
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from .checks import (
    companions,
    consolidated,
    families,
    flat_groups,
    kinds,
    manifest,
    optimizer,
    rank_files,
    resharding,
    same_save,
    tiling,
)
from .checks.engine import HERE
from .checks.headers import headers
from .checks.repeated import repeated
from .checks.sweep import sweep
from .files import Files, Side, no_progress
from .formats.layout import recognised
from .formats.load import load
from .model import Checkpoint, CheckpointError, Layout, NoCheckpointError, Problem, Unread
from .stores.path import changed
from .stores.store import forget

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from .checks.engine import Engine
    from .checks.same_save import Told
    from .files import Key, Progress


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to check besides the checkpoint itself, and how."""

    #: Read no values: only what metadata and headers say.
    headers_only: bool = False
    consolidated: Path | None = None
    world_size: int | None = None
    manifest: Path | None = None
    #: Patterns of names of tensors whose values mean something on each rank.
    per_rank: Sequence[str] = ()
    #: What reads headers and values: this process, or a cluster.
    engine: Engine = HERE


@dataclass(slots=True)
class Coverage:
    """What was read: tensors, their bytes, and files out of how many; what was not; folders checked on their own."""

    tensors: int = 0
    bytes: int = 0
    files_read: int = 0
    files: int = 0
    unread: list[Unread] = field(default_factory=list)
    apart: tuple[str, ...] = ()
    #: What says that all files are of one save.
    one_save: Told = "one file"


@dataclass(slots=True)
class Report:
    """The result of an audit. `read` counts bytes of values, `seconds` is the time taken."""

    checkpoint: Checkpoint | None
    problems: list[Problem] = field(default_factory=list)
    chunks: int = 0
    read: int = 0
    seconds: float = 0.0
    coverage: Coverage = field(default_factory=Coverage)
    layout: Layout | None = None
    #: Of each part of the checkpoint, the chunks whose values are not where they should be.
    unreadable: tuple[frozenset[Key], ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether no error was found in what was read. Notes do not count."""
        return all(problem.severity != "error" for problem in self.problems)

    @property
    def is_complete(self) -> bool:
        """Whether everything that belongs to the checkpoint was read."""
        return not self.coverage.unread


@contextmanager
def opened(path: Path, progress: Progress = no_progress, engine: Engine = HERE) -> Iterator[tuple[Side, list[Problem]]]:
    """Open a checkpoint; yield it with its parts and chunk headers, and their problems. Raises CheckpointError."""
    with ExitStack() as stack:
        with _uncollected():
            checkpoint = load(path)
            sides: list[Side] = []
            problems: list[Problem] = []
            for unit in (checkpoint, *checkpoint.beside):
                files = stack.enter_context(closing(Files(unit.folder)))
                values, wrong = headers(unit, files, progress, engine)
                sides.append(Side(unit, files, values))
                problems += wrong
        yield replace(sides[0], beside=tuple(sides[1:])), problems


@contextmanager
def _uncollected() -> Iterator[None]:
    """Suspend garbage collection: collecting among millions of small objects doubles the time and finds nothing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def audit(path: Path, wanted: Wanted, progress: Progress = no_progress) -> Report:
    """Audit it. `progress` is called with the number of bytes read. Raises NoCheckpointError if there is nothing to check."""
    begun = time.monotonic()
    forget()
    report = Report(None, [])
    try:
        with opened(path, engine=wanted.engine) as (side, problems):
            found = [problem for part in side.parts for problem in part.checkpoint.problems]
            report = Report(side.checkpoint, [*found, *problems], chunks=sum(len(part.values) for part in side.parts))
            report.layout = recognised(path, [part.checkpoint for part in side.parts])
            report.unreadable = tuple(map(_unreadable, side.parts))
            _look(path, side, wanted, report, progress)
            report.problems += _changed(path, side)
    except NoCheckpointError:
        raise
    except (CheckpointError, OSError) as error:
        # What was found until a store went away is worth telling.
        code = "CK101" if report.checkpoint is None else "CK102"
        report.problems.append(Problem(code, path.name or str(path), _unnamed(error, path)))
    report.problems.sort(key=lambda problem: (problem.severity != "error", problem.code))
    report.seconds = time.monotonic() - begun
    return report


def _unreadable(part: Side) -> frozenset[Key]:
    """The chunks of a part whose values could not be located."""
    keys = ((tensor.name, index) for tensor in part.checkpoint.tensors.values() for index in range(len(tensor.chunks)))
    return frozenset(key for key in keys if key not in part.values)


def _changed(path: Path, side: Side) -> Iterator[Problem]:
    """Files of a store that changed since they were listed: the results may come from two saves."""
    for part in side.parts:
        try:
            for name in changed(part.checkpoint.folder, part.checkpoint.files):
                yield Problem("CK102", name, "was changed while it was read; verify it again")
        except OSError as error:
            # What was found until the store went away is worth telling.
            text = (
                f"cannot be listed again, so its files may have changed while they were read: {error.strerror or error}"
            )
            yield Problem("CK102", path.name or str(path), text)
            return


def _unnamed(error: CheckpointError | OSError, path: Path) -> str:
    """The text of an error without its leading path, where the path is shown anyway."""
    if isinstance(error, OSError):
        return f"{error.filename or path}: {error.strerror or error}".removeprefix(f"{path}: ")
    return str(error).removeprefix(f"{path}: ")


def _look(path: Path, side: Side, wanted: Wanted, report: Report, progress: Progress) -> None:
    checkpoint, found = side.checkpoint, report.problems
    units = [part.checkpoint for part in side.parts]
    found += families.check(units)
    root = path if path.is_dir() else path.parent
    if path.is_dir():
        found += companions.check(path, units)
        found += kinds.check(path, units)
    found += same_save.check(root, side.parts)
    found += flat_groups.check(side)
    beside = wanted.manifest or checkpoint.folder / manifest.NAME
    if wanted.manifest is not None or (checkpoint.path.is_dir() and beside.is_file()):
        found += manifest.check(side, beside)
    for part in side.parts:
        _part(part, report, progress, wanted)
    report.coverage.one_save = same_save.told(side.parts)
    report.coverage.apart = checkpoint.apart
    if wanted.world_size is not None:
        whole = rank_files.joined(side, None) if checkpoint.local else side
        found += resharding.check(whole, wanted.world_size, wanted.per_rank)
    if wanted.consolidated is not None:
        try:
            with opened(wanted.consolidated, engine=wanted.engine) as (file, problems):
                found += [*file.checkpoint.problems, *problems, *consolidated.check(side, file, report.coverage.unread)]
                report.coverage.unread += file.checkpoint.unread
                if not wanted.headers_only:
                    swept = sweep(file.checkpoint, file.values, file.files, progress, wanted.engine)
                    found += swept.problems
                    report.coverage.unread += swept.unread
        except CheckpointError as error:
            found.append(Problem("CK302", str(wanted.consolidated), _unnamed(error, wanted.consolidated)))


def _part(part: Side, report: Report, progress: Progress, wanted: Wanted) -> None:
    """Run the checks of one part of a checkpoint, and count what was read of it."""
    unit, found, coverage = part.checkpoint, report.problems, report.coverage
    for tensor in unit.tensors.values():
        found += tiling.check(tensor)
    found += repeated(unit, part.values, part.files)
    if unit.local:
        found += rank_files.replicas(part)
    found += optimizer.check(part)
    broken = {
        p.where for p in found if p.severity == "error" and p.code in ("CK102", "CK103") and p.where in unit.files
    }
    if not wanted.headers_only:
        digests, wrong, unread = sweep(unit, part.values, part.files, progress, wanted.engine)
        found += wrong
        coverage.unread += unread
        report.read += sum(values.storage.length for key, values in part.values.items() if key in digests)
        broken |= {values.storage.file for key, values in part.values.items() if key not in digests}
    coverage.tensors += len(unit.tensors)
    coverage.bytes += sum({values.storage: values.storage.length for values in part.values.values()}.values())
    pieces = [chunk.piece for tensor in unit.tensors.values() for chunk in tensor.chunks if chunk.piece is not None]
    # A file that is not there is one of those that belong to it.
    coverage.files += len(unit.files.keys() | {piece.file for piece in pieces})
    coverage.files_read += len(unit.files.keys() - broken - {item.where for item in unit.unread})
    coverage.unread += unit.unread
    packed = sorted({piece.file for piece in pieces if piece.packed})
    coverage.unread += [
        Unread(file, "holds tensors that were transformed when they were written (compressed, say)") for file in packed
    ]
