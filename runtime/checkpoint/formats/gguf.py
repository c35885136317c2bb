"""GGUF files: names, shapes and types of tensors, and whether their bytes lie where the header says.

Quantized types that pack numbers in blocks (`Q4_K`) are not decoded; their bytes are checked.
"""

from __future__ import annotations

import math
import os
import struct
from typing import IO, TYPE_CHECKING, Final, NoReturn

from ..model import CheckpointError, Chunk, Content, NotReadError, Object, Piece, Problem, Tensor, Values, row_major
from .limits import MOST_DIMENSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIX: Final = ".gguf"
_MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
_ALIGNMENT: Final = "general.alignment"
#: Types of values in the header: their struct codes. 8 is a text, 9 an array.
_VALUES: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT: Final = 8
_ARRAY: Final = 9
_DEEPEST: Final = 4
#: Longer texts are not kept.
_LONGEST: Final = 200
#: Types of tensors: their name, numbers in a block, and bytes of a block (ggml.h).
_TYPES: Final = {
    0: ("float32", 1, 4), 1: ("float16", 1, 2), 24: ("int8", 1, 1), 25: ("int16", 1, 2), 26: ("int32", 1, 4),
    27: ("int64", 1, 8), 28: ("float64", 1, 8), 30: ("bfloat16", 1, 2),
    2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 29: ("IQ1_M", 256, 56),
    34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip


def read(file: Path, name: str, rank: int | None) -> Content:
    """The tensors of one file; raises CheckpointError and OSError. `name` is the file's in the checkpoint."""
    with file.open("rb") as stream:
        header = _Header(stream, file)
        tensors = {item.name: item for item in header.tensors(name, rank)}
    return Content(tensors, header.objects, tuple(header.problems))


class _Header:
    """The header, read from its beginning to the bytes of the first tensor."""

    def __init__(self, stream: IO[bytes], file: Path) -> None:
        self._stream, self._file = stream, file
        self._size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        if self._bytes(4) != _MAGIC:
            self._refuse("not a GGUF file")
        (version,) = self._numbers("I")
        if version not in _VERSIONS:
            raise NotReadError(f"{file}: version {version} of GGUF: not read")
        self._count, pairs = self._numbers("QQ")
        # A tensor has at least 24 bytes in the header, a pair 13.
        if 24 * self._count + 13 * pairs > self._size:
            self._refuse(f"says that it has {self._count} tensors and {pairs} values, in {self._size} bytes")
        self.problems: list[Problem] = []
        self.objects: dict[str, Object] = {}
        for _ in range(pairs):
            key = self._text()
            if key in self.objects:
                self._refuse(f"`{key:.80}` occurs twice")
            value = self._value(*self._numbers("I"))
            self.objects[key] = Object(
                key, None, value if not isinstance(value, str) or len(value) <= _LONGEST else None, file.name
            )

    def tensors(self, name: str, rank: int | None) -> Iterator[Tensor]:
        """Each tensor, whose bytes have to follow one another, aligned, to the end of the file."""
        found = [self._described() for _ in range(self._count)]
        alignment = self.objects[_ALIGNMENT].value if _ALIGNMENT in self.objects else 32
        if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1):
            self._refuse(f"an alignment of {alignment} bytes")
        begin = -(-self._stream.tell() // alignment) * alignment
        expected = 0
        known: set[str] = set()
        for key, shape, dtype, length, offset in found:
            if key in known:
                self._refuse(f"`{key:.80}` occurs twice")
            known.add(key)
            if offset != expected:
                what = "bytes of no tensor lie before" if offset > expected else "bytes of another tensor are those of"
                self._refuse(f"{abs(offset - expected)} {what} `{key:.80}`")
            if begin + offset + length > self._size:
                self._refuse(f"cut off: `{key:.80}` ends at byte {begin + offset + length} of {self._size}")
            expected = -(-(offset + length) // alignment) * alignment
            values = Values(Piece(name, begin + offset, length), None, dtype, shape, row_major(shape))
            yield Tensor(key, dtype, shape, (Chunk((0,) * len(shape), shape, values.storage, rank, values),))
        if self._size > begin + expected:
            text = f"{self._size - begin - expected} bytes of no tensor lie behind the last"
            # Room for alignment is nothing; more may be a tensor that the header does not count.
            is_room = self._size - begin - expected < alignment
            self.problems.append(Problem("CK102", name, text, "note" if is_room else "error"))

    def _described(self) -> tuple[str, tuple[int, ...], str, int, int]:
        """Name, shape, type, bytes and offset of a tensor."""
        key = self._text()
        (dimensions,) = self._numbers("I")
        if dimensions > MOST_DIMENSIONS:
            self._refuse(f"`{key:.80}` has {dimensions} dimensions")
        # The fastest dimension comes first.
        shape = tuple(reversed(self._numbers("Q" * dimensions)))
        kind, offset = self._numbers("IQ")
        if kind not in _TYPES:
            raise NotReadError(f"{self._file}: `{key:.80}` is of type {kind}, which is not known here")
        dtype, block, size = _TYPES[kind]
        elements = math.prod(shape)
        if elements % block or (shape and shape[-1] % block) or elements * size // block > self._size:
            self._refuse(f"`{key:.80}` {list(shape)} of {dtype} does not fit into blocks of {block}, or into the file")
        return key, shape, dtype, elements // block * size, offset

    def _value(self, kind: int, depth: int = 0) -> bool | int | float | str | None:
        """A value; None for an array, which is passed over."""
        if kind == _TEXT:
            return self._text()
        if kind in _VALUES:
            value: bool | int | float = self._numbers(_VALUES[kind])[0]
            return value
        if kind != _ARRAY or depth > _DEEPEST:
            self._refuse(f"a value of type {kind}")
        inside, count = self._numbers("IQ")
        if inside in _VALUES:
            self._skip(count * struct.calcsize(_VALUES[inside]))
            return None
        if count > self._size:
            self._refuse(f"an array of {count} values")
        for _ in range(count):
            if inside == _TEXT:
                self._skip(self._numbers("Q")[0])
            else:
                self._value(inside, depth + 1)
        return None

    def _text(self) -> str:
        (length,) = self._numbers("Q")
        return self._bytes(length).decode("utf-8", "replace")

    def _numbers(self, code: str) -> tuple[int, ...]:
        return struct.unpack(f"<{code}", self._bytes(struct.calcsize(f"<{code}")))

    def _skip(self, length: int) -> None:
        if length > self._size - self._stream.tell():
            self._refuse("cut off in its header")
        self._stream.seek(length, os.SEEK_CUR)

    def _bytes(self, length: int) -> bytes:
        if length > self._size - self._stream.tell():
            self._refuse("cut off in its header")
        return self._stream.read(length)

    def _refuse(self, text: str) -> NoReturn:
        raise CheckpointError(f"{self._file}: {text}")
