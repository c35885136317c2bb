"""The parts of a checkpoint: a DCP folder, the files of an index, a family of rank files, or a single file."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ..model import Checkpoint, CheckpointError, NotReadError, Problem, Unread
from ..stores.path import each
from . import gguf, safetensors, torch_save
from .index import Index
from .names import is_of_rank, numbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from ..model import Content, Family, Object, Tensor

TORCH: Final = "torch.save"


def read(file: Path, name: str, rank: int | None = None) -> Content:
    """The content of one file. Raises CheckpointError. `name` is the file's in the checkpoint."""
    if not name.endswith((safetensors.SUFFIX, gguf.SUFFIX)):
        return torch_save.read(file, name, rank)
    try:
        return gguf.read(file, name, rank) if name.endswith(gguf.SUFFIX) else safetensors.read(file, name, rank)
    except OSError as error:
        raise CheckpointError(f"{file}: {error.strerror or error}") from None


def format_of(name: str) -> str:
    """`safetensors`, `GGUF` or `torch.save`."""
    if name.endswith(gguf.SUFFIX):
        return "GGUF"
    return "safetensors" if name.endswith(safetensors.SUFFIX) else TORCH


def single(file: Path) -> Checkpoint:
    """Read a single file. Raises CheckpointError."""
    content = read(file, file.name)
    sizes = {file.name: file.stat().st_size}
    return Checkpoint(
        file, format_of(file.name), content.tensors, content.objects, sizes, content.problems, unread=content.unread
    )


class Read:
    """The content of several files, without those that cannot be read."""

    def __init__(self, folder: Path, ranks: Mapping[str, int | None]) -> None:
        """Read them, each with the rank that it is of; raises OSError."""
        self.contents: dict[str, Content] = {}
        self.problems: list[Problem] = []
        self.unread: list[Unread] = []
        self.sizes = {name: (folder / name).stat().st_size for name in ranks}

        def one(name: str) -> Content | CheckpointError:
            try:
                return read(folder / name, name, ranks[name])
            except CheckpointError as error:
                return error

        for name, content in zip(ranks, each(folder, one, ranks), strict=True):
            if isinstance(content, NotReadError):
                self.unread.append(Unread(name, _without(content, folder / name, name)))
            elif isinstance(content, CheckpointError):
                self.problems.append(Problem("CK102", name, _without(content, folder / name, name)))
            else:
                self.contents[name] = content
                self.problems += content.problems
                self.unread += content.unread

    @property
    def objects(self) -> dict[str, Object]:
        """The non-tensor objects of all files."""
        return {name: item for content in self.contents.values() for name, item in content.objects.items()}


def _without(error: CheckpointError, file: Path, name: str) -> str:
    """The text of an error without its leading file name, where that is shown anyway."""
    return str(error).removeprefix(f"{file}: ").removeprefix(f"{name}: ")


def indexed(file: Path, folder: Path, siblings: Iterable[str]) -> Checkpoint:
    """The files that an index names; raises CheckpointError if it cannot be read. `siblings` are the files beside it, by name."""
    index = Index(file)
    there = set(siblings)
    base = file.parent.relative_to(folder).as_posix()
    head = "" if base == "." else f"{base}/"
    missing = [name for name in index.files if name not in there]
    # Files of the same numbered form are its own too, also those that it does not name.
    forms = {re.sub(r"\d+", "*", name) for name in index.files if re.search(r"-\d+-of-\d+", name)}
    own = sorted({name for name in there if name in index.files or re.sub(r"\d+", "*", name) in forms})
    found = Read(folder, {f"{head}{name}": None for name in own})
    contents = {name.removeprefix(head): content for name, content in found.contents.items()}
    problems = [*found.problems, *index.check(contents, missing)]
    # Where each tensor is whole; a second copy elsewhere is a problem that the index has named.
    tensors: dict[str, Tensor] = {}
    for name, content in contents.items():
        tensors.update(
            {
                key: t
                for key, t in content.tensors.items()
                if index.weight_map.get(key, name) == name or key not in tensors
            }
        )
    form = format_of(next(iter(index.files), "")) + " with index"
    return Checkpoint(folder, form, tensors, found.objects, found.sizes, tuple(problems), unread=tuple(found.unread))


def parts(folder: Path, names: Iterable[str]) -> Checkpoint:
    """Files with parts of the same tensors, as DCP writes them for Hugging Face."""
    found = Read(folder, dict.fromkeys(names))
    problems = [*found.problems, *safetensors.gaps(found.sizes)]
    tensors = safetensors.joined((content.tensors for content in found.contents.values()), problems)
    return Checkpoint(folder, "safetensors", tensors, {}, found.sizes, tuple(problems), unread=tuple(found.unread))


def kin(folder: Path, family: Family) -> Checkpoint:
    """A family of files: each rank's own tensors as `NAME@RANK`, or tensors that are in one file each."""
    ranks = numbers(family)
    is_single = len(family.labels) == 1
    found = Read(folder, {name: rank if is_single else None for name, rank in ranks.items()})
    names = [name for content in found.contents.values() for name in content.tensors]
    is_local = any(map(is_of_rank, family.labels)) or len(set(names)) < len(names)
    tensors: dict[str, Tensor] = {}
    objects: dict[str, Object] = {}
    for file, content in found.contents.items():
        tail = f"@{ranks[file]}" if is_local else ""
        tensors |= {name + tail: replace(tensor, name=name + tail) for name, tensor in content.tensors.items()}
        objects |= {name + tail: replace(item, name=name + tail) for name, item in content.objects.items()}
    form = "rank files" if is_local else f"{format_of(family.form)} in several files"
    return Checkpoint(
        folder, form, tensors, objects, found.sizes, tuple(found.problems), local=is_local, families=(family,),
        unread=tuple(found.unread),
    )  # fmt: skip
