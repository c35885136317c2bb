"""What the files hold: headers of chunks (CK102, CK202, CK203), and a sweep over all bytes (CK102, CK204).

A header says where the values of a chunk lie, how, and which CRC-32 they should have: enough to tell which chunks are the same,
in any checkpoint of any size. The sweep reads every byte once, in several threads, block by block, so that memory does not grow
with the checkpoint; the system reads ahead while a block is digested.
"""

from __future__ import annotations

import math
import os
import stat
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ..formats.crc import crc32
from ..formats.zip_directory import Archive
from ..model import CheckpointError, Piece, Problem, width

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ..model import Checkpoint, Chunk, Tensor, Values

#: Name of a tensor, and which of its chunks.
Key: TypeAlias = "tuple[str, int]"
#: Told how many bytes, or chunks, have been done.
Progress: TypeAlias = "Callable[[int], object]"

BLOCK: Final = 1 << 20
_AHEAD: Final = 16 * BLOCK
#: So much of both ends of a chunk is looked at before anybody thinks that it may be constant.
_ENDS: Final = 4096


class Files:
    """The files of a checkpoint, each opened once; reading is by position, from any thread."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Nothing is opened yet."""
        self._folder = checkpoint.folder
        self._open: dict[str, int] = {}
        self._sizes: dict[str, int] = {}

    def close(self) -> None:
        """Close all."""
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()

    def open(self, name: str) -> int:
        """The descriptor of a file; raises CheckpointError if that is missing, or no regular file."""
        fd = self._open.get(name)
        if fd is None:
            try:
                fd = os.open(self._folder / name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
            except OSError as error:
                raise CheckpointError(f"{name}: {error.strerror}") from None
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                os.close(fd)
                raise CheckpointError(f"{name}: no regular file")
            self._open[name], self._sizes[name] = fd, info.st_size
        return fd

    def size(self, name: str) -> int:
        """Its size in bytes."""
        self.open(name)
        return self._sizes[name]

    def blocks(self, piece: Piece, buffer: bytearray | None = None) -> Iterator[memoryview]:
        """The bytes of a piece, block by block, all in the same buffer."""
        fd = self.open(piece.file)
        buffer = buffer if buffer is not None else bytearray(min(BLOCK, max(1, piece.length)))
        view = memoryview(buffer)
        position, end = piece.offset, piece.offset + piece.length
        ahead = position + len(buffer)
        while position < end:
            try:
                if ahead < min(end, position + _AHEAD) and hasattr(os, "posix_fadvise"):
                    # The system reads on while we digest. Asking costs, so it is not done for every block.
                    os.posix_fadvise(fd, ahead, min(_AHEAD, end - ahead), os.POSIX_FADV_WILLNEED)
                    ahead += _AHEAD
                got = os.preadv(fd, [view[: min(len(buffer), end - position)]], position)
            except OSError as error:
                raise CheckpointError(f"{piece.file}: {error.strerror} at byte {position}") from None
            if not got:
                raise CheckpointError(f"{piece.file}: ends at byte {position}, {end - position} bytes short")
            yield view[:got]
            position += got

    def read(self, piece: Piece) -> bytes:
        """All bytes of a piece."""
        return b"".join(map(bytes, self.blocks(piece)))


def no_progress(_: int) -> None:
    """Nobody wants to know."""


# --------------------------------------------------------------------------------------------------------- headers


def headers(
    checkpoint: Checkpoint, files: Files, progress: Progress = no_progress
) -> tuple[dict[Key, Values], list[Problem]]:
    """Where the values of each chunk lie. Chunks that cannot be read are left out, and told of."""
    found: dict[Key, Values] = {}
    problems: list[Problem] = []
    broken: defaultdict[str, list[tuple[Key, str]]] = defaultdict(list)
    for tensor in checkpoint.tensors.values():
        for index, chunk in enumerate(tensor.chunks):
            progress(1)
            if chunk.piece is not None and chunk.piece.packed:
                continue
            try:
                values = _header(chunk, files)
            except CheckpointError as error:
                broken[chunk.piece.file if chunk.piece is not None else ""].append(((tensor.name, index), str(error)))
                continue
            found[(tensor.name, index)] = values
            wrong = _differs(tensor, chunk, values)
            if wrong:
                problems.append(Problem("CK202", tensor.name, wrong, chunks=(index,)))
    problems += _unreadable(broken)
    problems += _aliased(checkpoint)
    return found, problems


def _header(chunk: Chunk, files: Files) -> Values:
    if chunk.values is not None:
        values = chunk.values
        if values.storage.offset + values.storage.length > files.size(values.storage.file):
            raise CheckpointError(f"{values.storage.file}: cut off")
        return values
    if chunk.piece is None:
        raise CheckpointError("the metadata do not say where it lies")
    size = files.size(chunk.piece.file)
    if chunk.piece.offset + chunk.piece.length > size:
        raise CheckpointError(
            f"{chunk.piece.file}: has {size} bytes, this chunk ends at {chunk.piece.offset + chunk.piece.length}"
        )
    return Archive(files.open(chunk.piece.file), chunk.piece).chunk()


def _differs(tensor: Tensor, chunk: Chunk, values: Values) -> str:
    if values.dtype != tensor.dtype:
        return f"the metadata say {tensor.dtype}, the file has {values.dtype}"
    if tuple(values.sizes) != tuple(chunk.sizes):
        return f"the metadata say {list(chunk.sizes)} at {list(chunk.offsets)}, the file has {list(values.sizes)}"
    return ""


def _unreadable(broken: Mapping[str, list[tuple[Key, str]]]) -> Iterator[Problem]:
    """One problem for a file, not one for each chunk that lies in it."""
    for file, chunks in broken.items():
        if not file:
            for (name, index), text in chunks:
                yield Problem("CK102", name, text, chunks=(index,))
            continue
        (name, _), text = chunks[0]
        text = text.removeprefix(f"{file}: ").removeprefix(f"{file} ")
        names = sorted({name for (name, _), _ in chunks})
        more = f" and {len(names) - 1} more tensors" if len(names) > 1 else ""
        yield Problem("CK102", file, f"{text}; `{name}`{more} cannot be read")


def _aliased(checkpoint: Checkpoint) -> Iterator[Problem]:
    """Two chunks that point at the same bytes: one of them is not what it says it is."""
    pieces = sorted(
        (
            (chunk.piece.file, chunk.piece.offset, chunk.piece.length, tensor.name, index)
            for tensor in checkpoint.tensors.values()
            for index, chunk in enumerate(tensor.chunks)
            if chunk.piece is not None and chunk.piece.length and not checkpoint.format.startswith(("torch", "rank"))
        ),
    )
    for (file, offset, length, name, index), (other, begin, _, second, _) in pairwise(pieces):
        if file == other and offset + length > begin:
            text = f"shares bytes of {file} with `{second}`: both point at byte {begin}"
            yield Problem("CK102", name, text, chunks=(index,))


# ----------------------------------------------------------------------------------------------------- equal chunks


def repeated(checkpoint: Checkpoint, found: Mapping[Key, Values], files: Files) -> Iterator[Problem]:
    """CK203: different chunks of one tensor that hold the same bytes, and not one number or one row throughout.

    Of a tensor or two that may be right: experts that begin alike, heads that are replicated. Of most it is one rank's data.
    """
    problems = []
    sharded = 0
    for tensor in checkpoint.tensors.values():
        same: defaultdict[object, list[int]] = defaultdict(list)
        for index, chunk in enumerate(tensor.chunks if len(tensor.chunks) > 1 else ()):
            values = found.get((tensor.name, index))
            if values is not None and values.crc is not None and values.is_whole and values.storage.length > _SMALL:
                same[(values.crc, chunk.sizes)].append(index)
        groups = [
            indices
            for indices in same.values()
            if len(indices) == 1 or not is_constant(found[(tensor.name, indices[0])], files)
        ]
        sharded += sum(map(len, groups)) > 1
        for indices in groups:
            if len(indices) > 1:
                places = " and ".join(str(list(tensor.chunks[index].offsets)) for index in indices[:3])
                size = found[(tensor.name, indices[0])].storage.length
                text = f"the chunks at {places} hold the same {size} bytes: one rank's data saved twice, or parts that are alike"
                problems.append(Problem("CK203", tensor.name, text, chunks=tuple(indices)))
    is_most = len(problems) > 1 and 2 * len({problem.where for problem in problems}) > sharded
    yield from (problem if is_most else replace(problem, severity="note") for problem in problems)


#: A few numbers may well be the same on two ranks.
_SMALL: Final = 64


def is_constant(values: Values, files: Files) -> bool:
    """Is one number all there is, or one row? Beginning and end are looked at, the CRC-32 says whether the rest is the same."""
    size = width(values.dtype) or 1
    row = math.prod(values.sizes[1:]) * size
    try:
        return _repeats(values, size, files) or (
            size < row <= BLOCK and values.sizes[0] > 1 and _repeats(values, row, files)
        )
    except CheckpointError:
        # Told by whoever reads all of it.
        return False


def _repeats(values: Values, size: int, files: Files) -> bool:
    """Are the values the same `size` bytes again and again?"""
    piece = values.storage
    if piece.length < 2 * size:
        return piece.length <= size
    ends = min(max(_ENDS, 2 * size), piece.length) // size * size
    first = files.read(Piece(piece.file, piece.offset, ends))
    pattern = first[:size]
    whole = pattern * (ends // size)
    if first != whole:
        return False
    last = files.read(Piece(piece.file, piece.offset + piece.length - ends, ends))
    return last == whole and (values.crc is None or values.crc == _crc_of(pattern, piece.length))


def _crc_of(pattern: bytes, length: int) -> int:
    """The CRC-32 of a number repeated."""
    block = pattern * max(1, BLOCK // len(pattern))
    crc = 0
    for _ in range(length // len(block)):
        crc = crc32(block, crc)
    return crc32(block[: length % len(block)], crc)


# ----------------------------------------------------------------------------------------------------------- sweep


def sweep(
    checkpoint: Checkpoint,
    found: Mapping[Key, Values],
    files: Files,
    progress: Progress = no_progress,
    threads: int = 0,
) -> tuple[dict[Key, int], list[Problem]]:
    """Read everything once; the CRC-32 of the values of each chunk, and CK102 and CK204."""
    threads = threads or min(8, (os.cpu_count() or 1) + 1)
    local: list[bytearray] = []
    finite = _Finite()

    @contextmanager
    def buffer() -> Iterator[bytearray]:
        try:
            mine = local.pop()
        except IndexError:
            mine = bytearray(BLOCK)
        yield mine
        local.append(mine)

    def one(values: Values) -> tuple[int | None, str, bool]:
        """Of a storage: its CRC-32, what kept it from being read, and are there NaN or Inf in it."""
        crc, strange = 0, False
        watch = finite.watches(values.dtype)
        try:
            with buffer() as mine:
                for block in files.blocks(values.storage, mine):
                    crc = crc32(block, crc)
                    if watch and not strange:
                        strange = not finite(block, values.dtype)
                    progress(len(block))
        except CheckpointError as error:
            return None, str(error), False
        return crc, "", strange

    # Several tensors may be views of one storage: it is read once.
    storages = {values.storage: values for values in found.values()}
    order = sorted(storages.values(), key=lambda values: (values.storage.file, values.storage.offset))
    with ThreadPoolExecutor(threads) as pool:
        read = dict(zip((values.storage for values in order), pool.map(one, order), strict=True))
    digests: dict[Key, int] = {}
    problems: list[Problem] = []
    strange: defaultdict[str, list[int]] = defaultdict(list)
    for (name, index), values in found.items():
        crc, error, is_strange = read[values.storage]
        if crc is None:
            problems.append(Problem("CK102", name, error, chunks=(index,)))
        elif values.crc is not None and values.crc != crc:
            text = (
                f"its bytes in {values.storage.file} have the CRC-32 {crc:08x}, they were written with {values.crc:08x}"
            )
            problems.append(Problem("CK102", name, f"{text}: flipped bits, or a torn write", chunks=(index,)))
        else:
            digests[(name, index)] = crc
        if is_strange:
            strange[name].append(index)
    for name, indices in strange.items():
        problems.append(
            Problem("CK204", name, _some("holds NaN or Inf", indices, checkpoint.tensors[name]), "note", tuple(indices))
        )
    problems += _constant(checkpoint, found, files)
    problems += _entries(checkpoint, files)
    return digests, problems


def _some(what: str, indices: Iterable[int], tensor: Tensor) -> str:
    places = [str(list(tensor.chunks[index].offsets)) for index in indices]
    if len(places) == len(tensor.chunks):
        return what
    return f"{what} in {len(places)} of {len(tensor.chunks)} chunks: at {', '.join(places[:4])}"


#: Of each dtype: the integers that its numbers are seen as, the bits without the sign, and from where on they are no number.
_EXPONENTS: Final = {
    "float64": ("<u8", 0x7FFFFFFFFFFFFFFF, 0x7FF0000000000000),
    "float32": ("<u4", 0x7FFFFFFF, 0x7F800000),
    "bfloat16": ("<u2", 0x7FFF, 0x7F80),
    "float16": ("<u2", 0x7FFF, 0x7C00),
}


class _Finite:
    """Are there NaN or Inf among floating-point values? Needs numpy; where that is missing, nobody looks."""

    def __init__(self) -> None:
        try:
            import numpy as np
        except ImportError:
            np = None  # type: ignore[assignment]
        self._numpy: Any = np

    def watches(self, dtype: str) -> bool:
        return self._numpy is not None and dtype in _EXPONENTS

    def __call__(self, block: memoryview, dtype: str) -> bool:
        kind, bits, first = _EXPONENTS[dtype]
        size = width(dtype)
        data = block[: len(block) // size * size]
        if dtype in ("float32", "float64"):
            # A NaN is in both of them, an Inf in one.
            floats = self._numpy.frombuffer(data, dtype=kind.replace("u", "f"))
            return not floats.size or bool(self._numpy.isfinite(floats.min()) and self._numpy.isfinite(floats.max()))
        found = self._numpy.frombuffer(data, dtype=kind) & bits
        return not found.size or bool(found.max() < first)


def _constant(checkpoint: Checkpoint, found: Mapping[Key, Values], files: Files) -> Iterator[Problem]:
    """Chunks that are one number throughout while others of the same tensor are not."""
    for tensor in checkpoint.tensors.values():
        large = [
            index
            for index in range(len(tensor.chunks))
            if (tensor.name, index) in found and found[(tensor.name, index)].storage.length > _ENDS
        ]
        if len(large) < 2:
            continue
        constant = [index for index in large if is_constant(found[(tensor.name, index)], files)]
        if 0 < len(constant) < len(large):
            text = _some("holds one number throughout", constant, tensor) + "; the others do not"
            yield Problem("CK204", tensor.name, text, "note", tuple(constant))


def _entries(checkpoint: Checkpoint, files: Files) -> Iterator[Problem]:
    """What stands in the archives beside the values of tensors, against its CRC-32; nothing of it is unpickled."""
    pieces = [(item.name, item.piece, "") for item in checkpoint.objects.values()]
    for tensor in checkpoint.tensors.values():
        pieces += [(tensor.name, chunk.piece, _VALUES) for chunk in tensor.chunks if chunk.values is None]
    for name, piece, known in pieces:
        if piece is None or piece.packed:
            continue
        try:
            archive = Archive(files.open(piece.file), piece)
            for entry_name, entry in archive.entries.items():
                wrong = entry_name != known and archive.has_checksums and crc32(archive.read(entry_name)) != entry.crc
                if wrong:
                    yield Problem("CK102", name, f"`{entry_name}` does not have the CRC-32 it was written with")
        except CheckpointError as error:
            if not known:
                # Of a tensor's chunk that has been said.
                yield Problem("CK102", name, str(error))


#: The entry with the values of a chunk's only tensor.
_VALUES: Final = "data/0"
