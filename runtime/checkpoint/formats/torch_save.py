"""Files that `torch.save` wrote: one for the whole model, or one for each rank (`rank_3_model.pt`)."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ..model import Checkpoint, CheckpointError, Chunk, Object, Piece, Problem, Tensor, missing_ranks
from .limits import MOST_NAMES
from .stand_ins import Record, Stored
from .zip_directory import Archive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIXES: Final = (".pt", ".pth", ".bin", ".ckpt")
#: `rank_3_model.pt`, `model.rank3.pt`, `mp_rank_03_model_states.pt`, `pytorch_model_3.bin` is not meant: no word for rank.
_RANK: Final = re.compile(r"(?:^|[^a-z])rank[_-]?(\d+)(?!\d)", re.IGNORECASE)
_DEEPEST: Final = 32
#: The text of others may be longer than memory.
_KEYS: Final = (str, int, float, bytes, type(None))


def is_one(file: Path) -> bool:
    """Whether the file begins as the archives of torch.save do."""
    try:
        if not file.is_file():
            return False
        with file.open("rb") as stream:
            return stream.read(4) == b"PK\x03\x04"
    except OSError:
        return False


def by_rank(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> dict[str, dict[int, Path]]:
    """The files of a folder that carry a rank in their names: by the name without it, the file of each rank.

    One file alone is one only if it is rank 0's: `lora_rank_8.pt` speaks of another rank.
    """
    found: dict[str, dict[int, Path]] = {}
    for file in sorted(folder.iterdir()):
        match = _RANK.search(file.name)
        if match is not None and file.name.endswith(suffixes) and file.is_file():
            form = f"{file.name[: match.start(1)]}*{file.name[match.end(1) :]}"
            found.setdefault(form, {})[int(match[1])] = file
    return {form: files for form, files in found.items() if len(files) > 1 or 0 in files}


def load(file: Path) -> Checkpoint:
    """One file; raises CheckpointError."""
    tensors, objects = _read(file, file.name, None)
    return Checkpoint(file, "torch.save", tensors, objects, {file.name: file.stat().st_size})


def load_ranks(folder: Path) -> Checkpoint:
    """A folder with files for each rank; each tensor is its rank's own, `NAME@RANK`."""
    forms = by_rank(folder)
    problems: list[Problem] = []
    tensors: dict[str, Tensor] = {}
    objects: dict[str, Object] = {}
    for form, files in forms.items():
        for rank, file in sorted(files.items()):
            try:
                some, others = _read(file, file.name, rank)
            except CheckpointError as error:
                problems.append(Problem("CK102", file.name, str(error)))
                continue
            # Where a rank has several files, each kind has names of its own.
            head = f"{form}:" if len(forms) > 1 else ""
            for name, tensor in some.items():
                tensors[f"{head}{name}@{rank}"] = replace(tensor, name=f"{head}{name}@{rank}")
            for name, item in others.items():
                objects[f"{head}{name}@{rank}"] = replace(item, name=f"{head}{name}@{rank}")
        missing = missing_ranks(files)
        if missing:
            problems.append(
                Problem("CK103", form, f"no file of rank {missing}, though there is one of rank {max(files)}")
            )
    known = {file for files in forms.values() for file in files.values()}
    problems += _others(folder, known)
    sizes = {file.name: file.stat().st_size for file in sorted(known)}
    return Checkpoint(folder, "rank files", tensors, objects, sizes, tuple(problems), local=True)


def _others(folder: Path, known: set[Path]) -> Iterator[Problem]:
    """Files beside those of the ranks: they are not part of this, but whether they can be read is worth a word."""
    for file in sorted(folder.iterdir()):
        if file not in known and file.name.endswith(SUFFIXES) and file.is_file():
            try:
                _read(file, file.name, None)
            except CheckpointError as error:
                yield Problem("CK102", file.name, str(error))


def _read(file: Path, name: str, rank: int | None) -> tuple[dict[str, Tensor], dict[str, Object]]:
    """Tensors and other values by their path in the saved object."""
    try:
        fd = os.open(file, os.O_RDONLY)
    except OSError as error:
        raise CheckpointError(f"{file}: {error.strerror}") from None
    try:
        size = os.fstat(fd).st_size
        if not is_one(file):
            raise CheckpointError(
                f"{file}: not an archive of torch.save; files of torch before 1.6 have to be saved again"
            )
        archive = Archive(fd, Piece(name, 0, size))
        tensors: dict[str, Tensor] = {}
        objects: dict[str, Object] = {}
        for path, value in _Leaves(archive.where("data.pkl").length).of(archive.pickled()):
            if isinstance(value, Stored):
                values = archive.values(value)
                chunk = Chunk((0,) * len(values.sizes), values.sizes, values.storage, rank, values)
                tensors[path] = Tensor(path, values.dtype, values.sizes, (chunk,))
            else:
                objects[path] = Object(path, None)
        return tensors, objects
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{file}: damaged: {error}") from None
    finally:
        os.close(fd)


class _Leaves:
    """The leaves of nested dicts and lists, named as torch.distributed.checkpoint names them."""

    def __init__(self, size: int) -> None:
        """`size` (bytes) of the pickle: what it shares makes more of a few bytes, but nobody's model makes that much more."""
        self._left = max(100_000, 4 * size)
        self._names = size + MOST_NAMES

    def of(self, value: Any, path: str = "", above: tuple[int, ...] = ()) -> Iterator[tuple[str, Any]]:
        """Path and value of each; raises CheckpointError if there are too many. What contains itself is not entered again."""
        self._left -= 1
        self._names -= len(path)
        if self._left < 0 or self._names < 0:
            raise CheckpointError("its lists and dicts refer to each other without end")
        if len(above) > _DEEPEST or id(value) in above:
            return
        inside = (*above, id(value))
        if isinstance(value, Record):
            value = vars(value) if len(vars(value)) > 1 else None
        if isinstance(value, dict):
            for key, item in value.items():
                name = str(key) if isinstance(key, _KEYS) else f"<{type(key).__name__}>"
                yield from self.of(item, f"{path}.{name}" if path else name, inside)
        elif isinstance(value, (list, tuple)) and any(isinstance(item, (Stored, dict, list, tuple)) for item in value):
            for index, item in enumerate(value):
                yield from self.of(item, f"{path}.{index}" if path else str(index), inside)
        else:
            yield path, value
