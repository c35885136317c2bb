"""Files that `torch.save` wrote, and plain pickles: tensors and values by their path in what was saved."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ...quantities import and_more
from ..files import open_source
from ..model import CheckpointError, Chunk, Content, Object, Piece, Problem, Tensor, Unread, Values
from . import legacy
from .allowed import TENSOR_NAMES
from .leaves import Leaves
from .stand_ins import Stored
from .unpickle import Calls, unpickle
from .zip_directory import Archive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from ..model import Scalar, Sizes

SUFFIXES: Final = (".pt", ".pth", ".pt.tar", ".pth.tar", ".bin", ".ckpt", ".pkl")
#: Of these a file that does not begin as one of torch.save is damaged.
CERTAIN: Final = (".pt", ".pth", ".pt.tar", ".pth.tar")
#: Where the archive has its storages.
_DATA: Final = "data/"
_ZIP: Final = b"PK\x03\x04"
#: A text, beside weights, that is worth keeping.
_LONGEST: Final = 200
#: As many as a group of an optimizer has parameters.
_MOST_NUMBERS: Final = 1 << 16


def kind_of(file: Path) -> str:
    """How a file begins: "zip", "legacy" (torch before 1.6), "pickle", or ""; raises OSError."""
    with file.open("rb") as stream:
        begin = stream.read(64)
    if begin.startswith(_ZIP):
        return "zip"
    if legacy.MAGIC in begin:
        return "legacy"
    return "pickle" if begin[:1] == b"\x80" and begin[1:2] in b"\2\3\4\5" else ""


def is_begun(begin: bytes) -> bool:
    """Whether the first bytes are those of torch.save: its archive with the pickle, or its magic number."""
    return legacy.MAGIC in begin[:64] or (begin.startswith(_ZIP) and b"/data.pkl" in begin[30:512])


def read(file: Path, name: str, rank: int | None) -> Content:
    """Tensors and other values by their path in the saved object; raises CheckpointError. `name` is the file's in the checkpoint."""
    try:
        kind = kind_of(file) if file.is_file() else ""
        calls = Calls()
        if kind == "zip":
            with closing(open_source(file, name)) as source:
                archive = Archive(source, Piece(name, 0, source.size))
                archive.check()
                storages: dict[str, str] = {}
                value = archive.pickled(calls, storages)
                found = _content(value, name, rank, archive.values, archive.where("data.pkl").length, calls)
                return replace(found, problems=(*found.problems, *_unused(archive, storages, name)))
        with file.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(0)
            if kind == "legacy":
                old = legacy.Legacy(stream, name, size, calls)
                found = _content(old.value, name, rank, old.values, old.pickled, calls)
                left = Unread(name, f"{old.left} bytes behind the first object that was saved into it")
                return replace(found, unread=(*found.unread, left)) if old.left else found
            if kind == "pickle":
                return _content(unpickle(stream, TENSOR_NAMES, name, calls), name, rank, _nowhere, size, calls)
    except OSError as error:
        raise CheckpointError(f"{file}: {error.strerror}") from None
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{file}: damaged: {error}") from None
    raise CheckpointError(
        f"{file}: {'is empty' if not size else 'not a file of torch.save, or damaged at its beginning'}"
    )


def _unused(archive: Archive, storages: Mapping[str, str], name: str) -> Iterator[Problem]:
    """Storages in the archive that nothing which was saved refers to."""
    keys = (entry.removeprefix(_DATA) for entry in archive.entries if entry.startswith(_DATA))
    if left := [key for key in keys if key and key not in storages]:
        text = f"nothing that was saved refers to `{_DATA}{left[0]:.40}`{and_more(len(left) - 1, 'storage')}"
        yield Problem("CK103", name, text, "note")


def _nowhere(_: Stored) -> Values:
    raise CheckpointError("a tensor without a storage")


def _plain(leaf: object) -> Scalar | Sizes | None:
    """A leaf that is worth keeping: a number, a short text, a list of whole numbers. None otherwise."""
    match leaf:
        case bool() | int() | float():
            return leaf
        case str() if len(leaf) <= _LONGEST:
            return leaf
        case list() | tuple() if len(leaf) <= _MOST_NUMBERS and all(type(item) is int for item in leaf):
            return tuple(leaf)
    return None


def _content(
    value: Any, name: str, rank: int | None, where: Callable[[Stored], Values], size: int, calls: Calls
) -> Content:
    tensors: dict[str, Tensor] = {}
    objects: dict[str, Object] = {}
    leaves = Leaves(size)
    for path, leaf in leaves.of(value):
        if isinstance(leaf, Stored):
            values = where(leaf)
            chunk = Chunk((0,) * len(values.sizes), values.sizes, values.storage, rank, values)
            tensors[path] = Tensor(path, values.dtype, values.sizes, (chunk,))
        else:
            objects[path] = Object(path, None, _plain(leaf), name)
    problems = tuple(Problem("CK104", name, text) for text in calls.refused)
    return Content(tensors, objects, problems, tuple(Unread(name, text) for text in (*leaves.unread, *calls.doubtful)))
