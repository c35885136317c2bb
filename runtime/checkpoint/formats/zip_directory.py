"""The zip archives written by torch.save, also one for each chunk of a distributed checkpoint: places and checksums.

Only the directory at the end is read, and the header of an entry. `zipfile` would take five times as long, and there
may be 100,000 chunks. Entries are stored, not compressed: one that claims to be compressed is never unpacked, so a zip
bomb has no effect.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from ..model import CheckpointError, NotReadError, Piece, Values, is_contiguous, width
from .allowed import TENSOR_NAMES
from .crc import crc32
from .stand_ins import Stored
from .unpickle import unpickle

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..sources import Source
    from .unpickle import Calls

_END: Final = struct.Struct("<IHHHHIIH")
_END64_LOCATOR: Final = struct.Struct("<IIQI")
_END64: Final = struct.Struct("<IQHHIIQQQQ")
_ENTRY: Final = struct.Struct("<IHHHHHHIIIHHHHHII")
_LOCAL: Final = struct.Struct("<IHHHHHIIIHH")
#: Read at once: before a chunk's values lie its pickle and what is small, behind them the whole directory.
HEAD: Final = 1024
TAIL: Final = 1536
#: Bytes of the name of an entry and what fills its header up to 64 bytes, mostly.
_NAME: Final = 128
#: No directory of torch's is longer; a longer one asks for memory.
_LONGEST: Final = 256 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the archive: its size in bytes, its CRC-32, and the offset of its header in the archive."""

    size: int
    crc: int
    header: int


class Archive:
    """A zip archive at `piece` of an open file."""

    def __init__(self, source: Source, piece: Piece) -> None:
        """Read the directory. Raises CheckpointError if it is missing or damaged."""
        self._source, self._piece = source, piece
        self._head = b""
        self._head = self._bytes(0, min(HEAD, piece.length))
        listed = list(self._directory())
        self.entries: Mapping[str, Entry] = dict(listed)
        if len(self.entries) < len(listed):
            raise self._error("damaged: two entries have one name")
        self._check_places()
        pickled = self.entries.get("data.pkl")
        if pickled is None:
            raise self._error("not an archive of torch.save: no `data.pkl` is in it")
        #: torch can be told to leave them out (`set_crc32_options`), of all entries then.
        self.has_checksums = any(entry.crc for entry in self.entries.values())

    def _error(self, text: str) -> CheckpointError:
        return CheckpointError(f"{self._piece.file} at byte {self._piece.offset}: {text}")

    def _check_places(self) -> None:
        """Reject entries that share bytes: one of them is damaged."""
        places = sorted((entry.header, entry.header + _LOCAL.size + entry.size) for entry in self.entries.values())
        if any(end > begin for (_, end), (begin, _) in pairwise(places)):
            raise self._error("damaged: two entries share bytes")

    def _bytes(self, offset: int, length: int) -> bytes:
        if not (offset >= 0 and 0 <= length <= _LONGEST and offset + length <= self._piece.length):
            raise self._error("damaged: its directory points outside")
        if offset + length <= len(self._head):
            return self._head[offset : offset + length]
        return self._source.read(self._piece.offset + offset, length)

    def _directory(self) -> Iterator[tuple[str, Entry]]:
        length = self._piece.length
        start = max(0, length - TAIL)
        tail = self._bytes(start, length - start)
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or at + _END.size > len(tail):
            raise self._error("not an archive of torch.save, or cut off")
        *_, count, size, offset, _comment = _END.unpack_from(tail, at)
        if offset == 0xFFFFFFFF or size == 0xFFFFFFFF or count == 0xFFFF:
            locator = at - _END64_LOCATOR.size
            if locator < 0 or tail[locator : locator + 4] != b"PK\x06\x07":
                raise self._error("damaged: the directory is missing")
            _, _, at64, _ = _END64_LOCATOR.unpack_from(tail, locator)
            *_, count, size, offset = _END64.unpack(self._bytes(at64, _END64.size))
        if offset + size > length:
            raise self._error("damaged: its directory points outside")
        directory = tail[offset - start : offset - start + size] if offset >= start else self._bytes(offset, size)
        position = 0
        for _ in range(count):
            if position + _ENTRY.size > len(directory) or directory[position : position + 4] != b"PK\x01\x02":
                raise self._error("damaged: the directory breaks off")
            (_, _, _, flags, method, _, _, crc, packed, plain, name_size, extra_size, comment_size, _, _, _, header) = (
                _ENTRY.unpack_from(directory, position)
            )
            position += _ENTRY.size
            name = directory[position : position + name_size].decode("utf-8", "replace")
            extra = directory[position + name_size : position + name_size + extra_size]
            position += name_size + extra_size + comment_size
            if 0xFFFFFFFF in (packed, plain, header):
                plain, packed, header = self._large(extra, plain, packed, header)
            if flags & 1:
                raise self._error(f"`{name}` is encrypted; torch never does that")
            if method != 0 or packed != plain:
                if "/code/" in name:
                    raise NotReadError(
                        f"{self._piece.file}: an archive of TorchScript, whose code and weights are not read"
                    )
                raise self._error(f"`{name}` is compressed; torch never does that")
            yield name.partition("/")[2] or name, Entry(plain, crc, header)

    def _large(self, extra: bytes, *values: int) -> list[int]:
        """Numbers beyond 4 GiB, read from the extra field, in the order of the fields marked as such."""
        while len(extra) >= 4:
            kind, size = struct.unpack_from("<HH", extra)
            if kind == 1:
                body = iter(struct.iter_unpack("<Q", extra[4 : 4 + size // 8 * 8]))
                try:
                    return [next(body)[0] if value == 0xFFFFFFFF else value for value in values]
                except StopIteration:
                    break
            extra = extra[4 + size :]
        raise self._error("damaged: the directory is missing a size")

    def where(self, name: str) -> Piece:
        """The bytes of an entry in the file."""
        entry = self._entry(name)
        header = self._bytes(entry.header, _LOCAL.size)
        if header[:4] != b"PK\x03\x04":
            raise self._error(f"damaged: `{name}` is not where the directory says")
        *_, name_size, extra_size = _LOCAL.unpack(header)
        begin = entry.header + _LOCAL.size + name_size + extra_size
        if begin + entry.size > self._piece.length:
            raise self._error(f"damaged: `{name}` ends outside of the archive")
        return Piece(self._piece.file, self._piece.offset + begin, entry.size)

    def read(self, name: str) -> bytes:
        """A small entry."""
        piece = self.where(name)
        if piece.length > _LONGEST:
            raise self._error(f"`{name}` has {piece.length} bytes, which nothing needs")
        data = self._bytes(piece.offset - self._piece.offset, piece.length)
        if self.has_checksums and crc32(data) != self.entries[name].crc:
            raise self._error(f"`{name}` does not have the CRC-32 it was written with")
        return data

    def check(self) -> None:
        """Whether all entries but storages have the CRC-32 they were written with; raises CheckpointError."""
        begin = self._piece.offset
        self._source.warm((begin + entry.header, _LOCAL.size + _NAME) for entry in self.entries.values())
        for name, entry in self.entries.items():
            if not name.startswith("data/") and entry.size:
                self.read(name)

    def _entry(self, name: str) -> Entry:
        if name not in self.entries:
            raise self._error(f"`{name}` is missing")
        return self.entries[name]

    def pickled(self, calls: Calls | None = None, storages: dict[str, str] | None = None) -> object:
        """The saved object as stand-ins; `calls` and `storages` as for `unpickle`."""
        if self.entries.get("byteorder") is not None and self.read("byteorder") != b"little":
            raise self._error("its numbers are big-endian; that is not read")
        return unpickle(self.read("data.pkl"), TENSOR_NAMES, self._piece.file, calls, storages)

    def values(self, stored: Stored) -> Values:
        """Where the values of a tensor of this archive lie."""
        if not hasattr(stored, "storage"):
            raise self._error("a tensor that was not made as torch makes them")
        name = f"data/{stored.storage.key}"
        piece = self.where(name)
        needed = stored.storage.elements * (width(stored.storage.dtype) if stored.storage.dtype else 1)
        if needed and piece.length > needed:
            # torch refuses it. One that is too short is found where the tensor is placed.
            raise self._error(f"`{name}` has {piece.length} bytes, and its storage {needed}")
        return placed(stored, piece, self._entry(name).crc if self.has_checksums else None)

    def chunk(self) -> Values:
        """The only tensor of this archive, as in each chunk of a distributed checkpoint."""
        stored = self.pickled()
        if not isinstance(stored, Stored):
            raise self._error("no tensor is in it")
        values = self.values(stored)
        if not is_contiguous(values.sizes, values.strides) and values.storage.length > 1 << 40:
            raise self._error("its strides make no sense")
        return values


def placed(stored: Stored, piece: Piece, crc: int | None) -> Values:
    """A tensor in the bytes of its storage; raises CheckpointError if it does not fit."""
    found = Values(piece, crc, stored.dtype, stored.sizes, stored.strides, stored.start)
    size = width(found.dtype)
    if not size:
        raise CheckpointError(f"{piece.file}: a tensor of an unknown dtype `{found.dtype}`")
    last = stored.start + sum((n - 1) * stride for n, stride in zip(found.sizes, found.strides, strict=False))
    if len(found.sizes) != len(found.strides) or (0 not in found.sizes and (last + 1) * size > piece.length):
        raise CheckpointError(f"{piece.file}: a tensor {list(found.sizes)} of {found.dtype} in {piece.length} bytes")
    return found
