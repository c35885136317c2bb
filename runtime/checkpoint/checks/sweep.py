"""A sweep over all bytes (CK102, CK204): every one is read once, in several threads, block by block.

Memory does not grow with the checkpoint; the system reads ahead while a block is digested.
"""

from __future__ import annotations

import os
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from ..files import BLOCK, no_progress
from ..formats.crc import crc32
from ..formats.zip_directory import Archive
from ..model import CheckpointError, Problem, width
from .constant import is_constant, is_large

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ..files import Files, Key, Progress
    from ..model import Checkpoint, Tensor, Values

#: Of each dtype: the integers that its numbers are seen as, the bits without the sign, and from where on they are no number.
_EXPONENTS: Final = {
    "float64": ("<u8", 0x7FFFFFFFFFFFFFFF, 0x7FF0000000000000),
    "float32": ("<u4", 0x7FFFFFFF, 0x7F800000),
    "bfloat16": ("<u2", 0x7FFF, 0x7F80),
    "float16": ("<u2", 0x7FFF, 0x7C00),
}
#: The entry with the values of a chunk's only tensor.
_VALUES: Final = "data/0"


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


class _Finite:
    """Whether there are NaN or Inf among floating-point values. Needs numpy; where that is missing, nobody looks."""

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
            if (tensor.name, index) in found and is_large(found[(tensor.name, index)])
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
