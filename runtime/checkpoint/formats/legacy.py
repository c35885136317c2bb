"""Files of torch.save before torch 1.6, or with `_use_new_zipfile_serialization=False`: pickles, then the bytes of each storage."""

from __future__ import annotations

import struct
from typing import IO, TYPE_CHECKING, Final

from ..model import CheckpointError, Piece, Values, width
from .allowed import TENSOR_NAMES
from .unpickle import unpickle
from .zip_directory import placed

if TYPE_CHECKING:
    from .stand_ins import Stored
    from .unpickle import Calls

#: The first pickle: torch's magic number, as LONG1.
MAGIC: Final = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
_COUNT: Final = struct.Struct("<q")


class Legacy:
    """Such a file: what was saved, in stand-ins, and where the values of its tensors lie."""

    def __init__(self, stream: IO[bytes], name: str, size: int, calls: Calls) -> None:
        """Read the pickles, and where each storage begins; raises CheckpointError. `calls` as for `unpickle`."""
        self._name = name
        for _ in range(2):
            unpickle(stream, TENSOR_NAMES, name, calls)
        system = unpickle(stream, TENSOR_NAMES, name, calls)
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise CheckpointError(f"{name}: its numbers are big-endian; that is not read")
        self.storages: dict[str, Piece] = {}
        dtypes: dict[str, str] = {}
        self.value = unpickle(stream, TENSOR_NAMES, name, calls, dtypes)
        keys = unpickle(stream, TENSOR_NAMES, name, calls)
        self.pickled = position = stream.tell()
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise CheckpointError(f"{name}: damaged: the list of its storages is missing")
        for key in keys:
            stream.seek(position)
            head = stream.read(_COUNT.size)
            elements = _COUNT.unpack(head)[0] if len(head) == _COUNT.size else -1
            length = elements * width(dtypes.get(key) or "uint8")
            position += _COUNT.size
            if elements < 0 or position + length > size:
                raise CheckpointError(f"{name}: cut off: storage {key} ends behind the end of the file")
            self.storages[key] = Piece(name, position, length)
            position += length
        #: Bytes behind the last storage: another object that was saved into the same file.
        self.left = size - position

    def values(self, stored: Stored) -> Values:
        """Where the values of a tensor lie."""
        piece = self.storages.get(stored.storage.key) if hasattr(stored, "storage") else None
        if piece is None:
            raise CheckpointError(f"{self._name}: a tensor whose storage is missing")
        return placed(stored, piece, None)
