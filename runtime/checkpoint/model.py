"""What a checkpoint says it holds: plain data, the same for every format. Nothing here reads a file."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

#: "error": the checkpoint is damaged or lacks something. "note": worth a look.
Severity: TypeAlias = Literal["error", "note"]
Sizes: TypeAlias = "tuple[int, ...]"
Scalar: TypeAlias = "bool | int | float | str"


class CheckpointError(Exception):
    """A checkpoint or a file of one that cannot be read; the message names it and says what to do."""


class NoCheckpointError(CheckpointError):
    """A path at which there is nothing to check: it is missing, empty, or holds nothing of a format that is read."""


class NotReadError(CheckpointError):
    """A file whose format is known but not supported."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: `where` is a tensor's name or a file."""

    code: str
    where: str
    text: str
    severity: Severity = "error"
    #: The chunks it is about, as places in the tensor's list of chunks.
    chunks: Sizes = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of bytes in a file: its path relative to the checkpoint, offset and length.

    `packed`: the bytes are compressed or otherwise transformed, and are not read.
    """

    file: str
    offset: int
    length: int
    packed: bool = False


@dataclass(frozen=True, slots=True)
class Values:
    """Where the values of a tensor lie in a file, as torch lays them out.

    `storage` is the piece of the whole storage, `crc` its CRC-32 as stored in the file, if any. `sizes`, `strides` and
    `start` (in elements) select the tensor's elements in it.
    """

    storage: Piece
    crc: int | None
    dtype: str
    sizes: Sizes
    strides: Sizes
    start: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether the values are the whole storage, in row-major order. Then `crc` is that of the values."""
        return (
            self.start == 0
            and math.prod(self.sizes) * width(self.dtype) == self.storage.length
            and is_contiguous(self.sizes, self.strides)
        )


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a tensor: its offset and size in each dimension, and the rank that wrote it.

    `piece` is where the metadata say its bytes are, in a container if the format has one; None if they do not say.
    `values` is set where no container has to be read.
    """

    offsets: Sizes
    sizes: Sizes
    piece: Piece | None = None
    rank: int | None = None
    values: Values | None = None


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a checkpoint. `dtype` is torch's name without the module: `bfloat16`."""

    name: str
    dtype: str
    shape: Sizes
    chunks: tuple[Chunk, ...]

    @property
    def bytes(self) -> int:
        """Size of all of it."""
        return math.prod(self.shape) * width(self.dtype)

    @property
    def ranks(self) -> Sizes:
        """The ranks that wrote its chunks."""
        return tuple(sorted({chunk.rank for chunk in self.chunks if chunk.rank is not None}))


@dataclass(frozen=True, slots=True)
class Object:
    """A non-tensor value: a step, a learning rate, the state of a data loader.

    `piece` is its bytes if it is an entry of its own, which is then not read. For a torch.save file, `file` is its
    name, and `value` the value if it is a number, a short text, or a list of integers (the sizes of a tensor).
    """

    name: str
    piece: Piece | None
    value: Scalar | Sizes | None = None
    file: str = ""


@dataclass(frozen=True, slots=True)
class Unread:
    """What was not read: a file or folder, and why."""

    where: str
    why: str


@dataclass(frozen=True, slots=True)
class Content:
    """What one file holds: tensors and objects by name, what is wrong with it, and what of it was not read."""

    tensors: Mapping[str, Tensor]
    objects: Mapping[str, Object]
    problems: tuple[Problem, ...] = ()
    unread: tuple[Unread, ...] = ()


@dataclass(frozen=True, slots=True)
class Family:
    """Files whose names differ only in numbers: `zero_pp_rank_*_mp_rank_*_model_states.pt`.

    `labels` are the words before the numbers that vary or are ranks; `members` maps these numbers to the file; `counts`
    gives the number of files per label if the names say so.
    """

    form: str
    labels: tuple[str, ...]
    members: Mapping[Sizes, str]
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of a checkpoint, as its structure shows: `DeepSpeed ZeRO-3`, and the number of ranks if recorded."""

    name: str
    world_size: int | None = None

    def __str__(self) -> str:
        """`DeepSpeed ZeRO-3 (world size 4)`."""
        return f"{self.name} (world size {self.world_size})" if self.world_size else self.name


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The checkpoint at `path`. `files` are its data files, `problems` the faults found while reading it.

    `local`: each tensor belongs to one rank (`rank_0_model.pt`) and is named `NAME@RANK`. `written` is the time of the
    metadata in seconds since the epoch, 0 if there are none. `families` are the rank files among `files`. `beside` are
    the other parts of the same checkpoint: optimizer, random states. `unread` belongs to it and was not read; `apart`
    are separate checkpoints in folders below.
    """

    path: Path
    format: str
    tensors: Mapping[str, Tensor]
    objects: Mapping[str, Object] = field(default_factory=dict)
    files: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    save_id: str = ""
    local: bool = False
    written: float = 0.0
    families: tuple[Family, ...] = ()
    beside: tuple[Checkpoint, ...] = ()
    unread: tuple[Unread, ...] = ()
    apart: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The folder that file names are relative to."""
        return self.path if self.path.is_dir() else self.path.parent

    @property
    def bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.bytes for tensor in self.tensors.values())


def missing_ranks(ranks: Collection[int]) -> str:
    """The ranks that are missing between 0 and the highest, as `1, 4, ... (7 in all)`; "" if none is."""
    count = max(ranks, default=-1) + 1 - len(set(ranks))
    if count <= 0:
        return ""
    known = set(ranks)
    first = list(itertools.islice((rank for rank in itertools.count() if rank not in known), min(count, 4)))
    return ", ".join(map(str, first)) + (f", ... ({count} in all)" if count > len(first) else "")


_BITS: Final = re.compile(r"(?:bfloat|float|int|uint|complex|qint|quint|bits)(\d+)")


def width(dtype: str) -> int:
    """Bytes of one element: bfloat16 2, float8_e4m3fn 1, complex64 8, bool 1. 0 if the dtype is not known."""
    if dtype == "bool":
        return 1
    bits = _BITS.match(dtype)
    # Smaller ones are packed, by two or more in a byte.
    return max(1, int(bits[1]) // 8) if bits is not None else 0


def is_contiguous(sizes: Sizes, strides: Sizes) -> bool:
    """Whether that is row-major order without gaps. Strides of dimensions of one element mean nothing."""
    expected = 1
    for size, stride in zip(reversed(sizes), reversed(strides), strict=True):
        if size == 0:
            return True
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


def row_major(sizes: Sizes) -> Sizes:
    """The row-major strides of a tensor, in elements."""
    strides = [1] * len(sizes)
    for index in range(len(sizes) - 2, -1, -1):
        strides[index] = strides[index + 1] * max(1, sizes[index + 1])
    return tuple(strides)
