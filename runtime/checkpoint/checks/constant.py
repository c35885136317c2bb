"""Chunks that repeat one number or one row, detected by both ends and the CRC-32, without reading the rest."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from ..files import BLOCK
from ..formats.crc import crc32
from ..model import CheckpointError, Piece, width

if TYPE_CHECKING:
    from ..files import Files
    from ..model import Values

#: So much of both ends of a chunk is looked at before anybody thinks that it may be constant.
ENDS: Final = 4096


def is_large(values: Values) -> bool:
    """Whether the chunk is longer than one end. Smaller ones are not checked."""
    return values.storage.length > ENDS


def is_constant(values: Values, files: Files) -> bool:
    """Whether the values repeat one number or one row. Both ends are read; the CRC-32, if known, confirms the rest."""
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
    """Whether the values are the same `size` bytes again and again."""
    piece = values.storage
    if piece.length < 2 * size:
        return piece.length <= size
    ends = min(max(ENDS, 2 * size), piece.length) // size * size
    first = files.read(Piece(piece.file, piece.offset, ends))
    pattern = first[:size]
    whole = pattern * (ends // size)
    if first != whole:
        return False
    last = files.read(Piece(piece.file, piece.offset + piece.length - ends, ends))
    return last == whole and (values.crc is None or values.crc == _crc_of(pattern, piece.length))


@lru_cache(maxsize=16)
def _crc_of(pattern: bytes, length: int) -> int:
    """The CRC-32 of a number repeated. Fresh states of an optimizer are the same zeros in many chunks."""
    block = pattern * max(1, BLOCK // len(pattern))
    crc = 0
    for _ in range(length // len(block)):
        crc = crc32(block, crc)
    return crc32(block[: length % len(block)], crc)
