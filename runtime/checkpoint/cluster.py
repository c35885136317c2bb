"""`--engine`: the machines of a Spark cluster read headers and values, and this process evaluates the results.

A task is a range of one file, or several small ones. Only plain data is exchanged: where chunks lie, and their digests.
The machines need Python and the client for the address (s3fs, say); this package is sent with the job.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import collectivelint
from collectivelint import runtime

from .. import spark
from .checks.tasks import Task, run
from .model import NoCheckpointError
from .stores.path import StorePath

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .checks.archived import Said
    from .checks.digests import Digest
    from .files import Files, Progress
    from .model import Piece, Values

#: Bytes of values of a task: some seconds of reading, so that a machine that is lost costs little.
_BYTES: Final = 256 << 20
#: Chunks of a task, where headers are read.
_CHUNKS: Final = 2000


class Spark:
    """An Engine on Spark; `master` is `spark://host:7077`, `yarn`, `k8s://...`, or `local[2]` on this machine."""

    def __init__(self, master: str, context: Any) -> None:
        """`context`: a SparkContext."""
        self._master, self._context = master, context

    def headers(self, files: Files, pieces: Sequence[Piece]) -> list[Values | str]:
        """See Engine."""
        return self._mapped(Task("headers", _address(files.folder), pieces))

    def entries(self, files: Files, pieces: Sequence[Piece], known: str) -> list[tuple[Said, ...]]:
        """See Engine."""
        return self._mapped(Task("entries", _address(files.folder), pieces, known))

    def digests(self, files: Files, storages: Sequence[Values], progress: Progress) -> list[Digest]:
        """See Engine. `progress` is called once, at the end."""
        found = self._mapped(Task("digests", _address(files.folder), storages))
        progress(sum(values.storage.length for values in storages))
        return found

    def _mapped(self, whole: Task) -> list[Any]:
        """The answers for all items of a task, which is cut into smaller ones."""
        order = sorted(range(len(whole.items)), key=lambda n: whole.place(n)[:2])
        groups = list(_groups(whole, order))
        tasks = [whole.of(group) for group in groups]
        if not tasks:
            return []
        try:
            answers = self._context.parallelize(tasks, len(tasks)).map(run).collect()
        except Exception as error:
            raise NoCheckpointError(f"--engine {self._master}: {spark.cause(error)}") from None
        found: dict[int, Any] = {}
        for group, answer in zip(groups, answers, strict=True):
            if answer is None:
                text = "name an address of a store, or a folder that all of them have"
                raise NoCheckpointError(f"{whole.folder}: is not there on the machines of {self._master}; {text}")
            found.update(zip(group, answer, strict=True))
        return [found[n] for n in range(len(whole.items))]


def _address(folder: Path) -> str:
    """The address of a folder, absolute for machines with another current directory."""
    return str(folder) if isinstance(folder, StorePath) else os.path.abspath(folder)


def _groups(task: Task, order: Sequence[int]) -> Iterator[list[int]]:
    """Groups of adjacent items, each up to a fixed number of bytes or chunks."""
    group: list[int] = []
    size = 0
    for n in order:
        length = task.place(n)[2] if task.kind == "digests" else 0
        if group and (size + length > _BYTES or len(group) == _CHUNKS):
            yield group
            group, size = [], 0
        group.append(n)
        size += length
    if group:
        yield group


@contextmanager
def connected(master: str) -> Iterator[Spark]:
    """An application on a cluster, stopped at the end. Raises NoCheckpointError if the cluster cannot be reached."""
    with tempfile.TemporaryDirectory() as folder, spark.session(master, "spark", NoCheckpointError) as session:
        session.sparkContext.addPyFile(str(_packed(Path(folder))))
        yield Spark(master, session.sparkContext)


def _packed(folder: Path) -> Path:
    """An archive with the part of this package that reads checkpoints."""
    target = folder / "collectivelint.zip"
    here = Path(__file__).parent
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for package, name in ((collectivelint, "collectivelint"), (runtime, "collectivelint/runtime")):
            archive.write(str(package.__file__), f"{name}/__init__.py")
        for file in sorted(here.rglob("*.py")):
            archive.write(file, f"collectivelint/runtime/checkpoint/{file.relative_to(here).as_posix()}")
    return target
