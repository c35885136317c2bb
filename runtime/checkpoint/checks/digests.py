"""One pass over values, in file order and several threads: CRC-32, NaN and Inf, constant chunks.

Memory use does not grow with the checkpoint; the system, or the store, reads ahead while a block is digested.
"""

from __future__ import annotations

import math
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from ..files import BLOCK, no_progress
from ..formats.crc import crc32
from ..model import CheckpointError, width
from ..stores.objects import SMALL
from ..stores.path import StorePath
from .constant import is_constant, is_large

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..files import Files, Progress
    from ..model import Values

#: Of each dtype: the integers that its numbers are seen as, the bits without the sign, and from where on they are no number.
_EXPONENTS: Final = {
    "float64": ("<u8", 0x7FFFFFFFFFFFFFFF, 0x7FF0000000000000),
    "float32": ("<u4", 0x7FFFFFFF, 0x7F800000),
    "bfloat16": ("<u2", 0x7FFF, 0x7F80),
    "float16": ("<u2", 0x7FFF, 0x7C00),
}
#: Values that are digested at a time where they come from a store: each has requests of its own under way.
_FROM_STORE: Final = 2
#: Small values of a store are read together: so many bytes, so many values.
_TOGETHER: Final = 1 << 20
_MOST: Final = 512


@dataclass(frozen=True, slots=True)
class Digest:
    """The digest of a storage's bytes; `crc` is None if it could not be read, and `error` says why."""

    crc: int | None
    error: str = ""
    is_strange: bool = False
    is_constant: bool = False


class _Finite:
    """Whether floating-point values are all finite. Needs numpy; without it NaN and Inf are not searched for."""

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


class _Reader:
    """Digests storages; called from several threads."""

    def __init__(self, files: Files, progress: Progress) -> None:
        self._files, self._progress = files, progress
        self._finite = _Finite()
        self._buffers: deque[bytearray] = deque()
        #: A store brings its own.
        self._size = 0 if isinstance(files.folder, StorePath) else BLOCK

    def run(self, run: Sequence[Values]) -> list[Digest]:
        """The digests of storages that are adjacent in their file."""
        if len(run) > 1:
            self._files.warm(values.storage for values in run)
        try:
            buffer = self._buffers.pop()
        except IndexError:
            buffer = bytearray(self._size)
        found = [self._one(values, buffer) for values in run]
        self._buffers.append(buffer)
        return found

    def _one(self, values: Values, buffer: bytearray) -> Digest:
        crc, is_strange = 0, False
        watch = self._finite.watches(values.dtype)
        may_be_constant = is_large(values)
        try:
            for number, block in enumerate(self._files.blocks(values.storage, buffer)):
                crc = crc32(block, crc)
                if watch and not is_strange:
                    is_strange = not self._finite(block, values.dtype)
                if number == 0 and may_be_constant:
                    may_be_constant = _begins_constant(values, block)
                self._progress(len(block))
        except CheckpointError as error:
            return Digest(None, str(error))
        return Digest(crc, "", is_strange, may_be_constant and is_constant(replace(values, crc=crc), self._files))


def _begins_constant(values: Values, block: memoryview) -> bool:
    """Whether the second row equals the first in the first block; if not, the values are not constant."""
    row = math.prod(values.sizes[1:]) * (width(values.dtype) or 1)
    return not 0 < 2 * row <= len(block) or block[:row] == block[row : 2 * row]


def digests(
    files: Files, storages: Sequence[Values], progress: Progress = no_progress, threads: int = 0
) -> list[Digest]:
    """The digest of each storage. Pass them in file order. `progress` gets the number of bytes read."""
    is_far = isinstance(files.folder, StorePath)
    threads = threads or (_FROM_STORE if is_far else min(8, (os.cpu_count() or 1) + 1))
    reader = _Reader(files, progress)
    runs = _runs(storages) if is_far else ((values,) for values in storages)
    with ThreadPoolExecutor(threads) as pool:
        return [digest for some in pool.map(reader.run, runs) for digest in some]


def _runs(storages: Iterable[Values]) -> Iterator[list[Values]]:
    """Groups of small storages that are adjacent in a file, and large ones alone."""
    run: list[Values] = []
    for values in storages:
        begin = run[0].storage if run else values.storage
        span = values.storage.offset + values.storage.length - begin.offset
        apart = values.storage.file != begin.file or span > _TOGETHER or len(run) == _MOST
        if run and (apart or max(values.storage.length, begin.length) > SMALL):
            yield run
            run = []
        run.append(values)
    if run:
        yield run
