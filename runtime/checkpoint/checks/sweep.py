"""The full read of a checkpoint (CK102, CK204): every byte is read once and checked against the stored checksums."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from ..files import no_progress
from ..model import Problem, Unread
from .archived import UNREAD
from .constant import is_large
from .engine import HERE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ..files import Files, Key, Progress
    from ..model import Checkpoint, Piece, Tensor, Values
    from .digests import Digest
    from .engine import Engine

#: The entry with the values of a chunk's only tensor.
_VALUES: Final = "data/0"


class Swept(NamedTuple):
    """The CRC-32 of the values of each chunk, what is wrong, and what was not read."""

    digests: dict[Key, int]
    problems: list[Problem]
    unread: list[Unread]


def sweep(
    checkpoint: Checkpoint,
    found: Mapping[Key, Values],
    files: Files,
    progress: Progress = no_progress,
    engine: Engine = HERE,
) -> Swept:
    """Read every value once; report CK102, CK104 and CK204."""
    # Several tensors may be views of one storage: it is read once.
    storages = {values.storage: values for values in found.values()}
    order = sorted(storages.values(), key=lambda values: (values.storage.file, values.storage.offset))
    read = dict(zip((values.storage for values in order), engine.digests(files, order, progress), strict=True))
    digests: dict[Key, int] = {}
    problems: list[Problem] = []
    strange: defaultdict[str, list[int]] = defaultdict(list)
    for (name, index), values in found.items():
        crc = read[values.storage].crc
        if crc is None:
            problems.append(Problem("CK102", name, read[values.storage].error, chunks=(index,)))
        elif values.crc is not None and values.crc != crc:
            text = (
                f"its bytes in {values.storage.file} have the CRC-32 {crc:08x}, but were written with {values.crc:08x}"
            )
            problems.append(Problem("CK102", name, f"{text}: flipped bits, or a torn write", chunks=(index,)))
        else:
            digests[(name, index)] = crc
        if read[values.storage].is_strange:
            strange[name].append(index)
    for name, indices in strange.items():
        problems.append(
            Problem("CK204", name, _some("holds NaN or Inf", indices, checkpoint.tensors[name]), "note", tuple(indices))
        )
    problems += _constant(checkpoint, found, read)
    said = list(_entries(checkpoint, files, engine))
    problems += [Problem(code, name, text) for name, code, text in said if code != UNREAD]
    return Swept(digests, problems, [Unread(name, text) for name, code, text in said if code == UNREAD])


def _some(what: str, indices: Iterable[int], tensor: Tensor) -> str:
    places = [str(list(tensor.chunks[index].offsets)) for index in indices]
    if len(places) == len(tensor.chunks):
        return what
    return f"{what} in {len(places)} of {len(tensor.chunks)} chunks: at {', '.join(places[:4])}"


def _constant(checkpoint: Checkpoint, found: Mapping[Key, Values], read: Mapping[Piece, Digest]) -> Iterator[Problem]:
    """Chunks that are one number throughout while others of the same tensor are not."""
    for tensor in checkpoint.tensors.values():
        large = [
            index
            for index in range(len(tensor.chunks))
            if (tensor.name, index) in found and is_large(found[(tensor.name, index)])
        ]
        if len(large) < 2:
            continue
        constant = [index for index in large if read[found[(tensor.name, index)].storage].is_constant]
        if 0 < len(constant) < len(large):
            text = _some("holds one number throughout", constant, tensor) + "; the others do not"
            yield Problem("CK204", tensor.name, text, "note", tuple(constant))


def _entries(checkpoint: Checkpoint, files: Files, engine: Engine) -> Iterator[tuple[str, str, str]]:
    """Name, code and text of each fault in the archives: entries besides the values of tensors, and objects."""
    pieces = [(item.name, item.piece) for item in checkpoint.objects.values()]
    chunks = [(t.name, c.piece) for t in checkpoint.tensors.values() for c in t.chunks if c.values is None]
    for some, known in ((pieces, ""), (chunks, _VALUES)):
        # A piece that is listed many times is read once.
        readable: dict[Piece, str] = {}
        for name, piece in some:
            if piece is not None and not piece.packed:
                readable.setdefault(piece, name)
        found = engine.entries(files, list(readable), known)
        for name, said in zip(readable.values(), found, strict=True):
            yield from ((name, code, text) for code, text in said)
