"""Chunks stored as zip archives of their own, as in a distributed checkpoint: where their values lie, and damage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from ..formats.crc import crc32
from ..formats.leaves import Leaves
from ..formats.unpickle import Calls
from ..formats.zip_directory import HEAD, TAIL, Archive
from ..model import CheckpointError, Piece

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..files import Files
    from ..model import Values

_T = TypeVar("_T")
#: A code, or that something was not read, and what is said of it.
Said: TypeAlias = "tuple[str, str]"
UNREAD: Final = "unread"
#: Of so many chunks the headers are read at once from a store: their pages, four at most, are kept until then.
_AT_ONCE: Final = 192


def described(files: Files, pieces: Sequence[Piece]) -> list[Values | str]:
    """The place of the values of each chunk, or the reason why it is unknown."""

    def one(piece: Piece) -> Values | str:
        try:
            return _described(files, piece)
        except CheckpointError as error:
            return str(error)

    return _each(files, pieces, one)


def entries(files: Files, pieces: Sequence[Piece], known: str) -> list[tuple[Said, ...]]:
    """The problems of each archive's entries except `known`, which is "" for objects; these are unpickled.

    If an archive with a `known` entry cannot be read, that has been reported already.
    """

    def one(piece: Piece) -> tuple[Said, ...]:
        wrong: list[Said] = []
        try:
            archive = Archive(files.open(piece.file), piece)
            for name, entry in archive.entries.items():
                if name != known and archive.has_checksums and crc32(archive.read(name)) != entry.crc:
                    wrong.append(("CK102", f"`{name}` does not have the CRC-32 it was written with"))
            wrong += [] if known else _object(archive)
        except CheckpointError as error:
            wrong += [] if known else [("CK102", str(error))]
        return tuple(wrong)

    return _each(files, pieces, one)


def _object(archive: Archive) -> Iterator[Said]:
    """The disallowed calls that loading an object makes, and what is not read. torch.load runs all calls."""
    calls = Calls()
    value = archive.pickled(calls)
    leaves = Leaves(archive.where("data.pkl").length)
    for _ in leaves.of(value):
        pass
    yield from (("CK104", text) for text in calls.refused)
    yield from ((UNREAD, text) for text in (*leaves.unread, *calls.doubtful))


def _each(files: Files, pieces: Sequence[Piece], function: Callable[[Piece], _T]) -> list[_T]:
    """The function's result for each piece, processed in file order: a store reads neighbours together."""
    order = sorted(range(len(pieces)), key=lambda n: (pieces[n].file, pieces[n].offset))
    found: dict[int, _T] = {}
    for begin in range(0, len(order), _AT_ONCE):
        some = order[begin : begin + _AT_ONCE]
        files.warm(end for n in some for end in _ends(pieces[n]))
        found.update((n, function(pieces[n])) for n in some)
    return [found[n] for n in range(len(pieces))]


def _ends(piece: Piece) -> Iterator[Piece]:
    yield Piece(piece.file, piece.offset, min(HEAD, piece.length))
    length = min(TAIL, piece.length)
    yield Piece(piece.file, piece.offset + piece.length - length, length)


def _described(files: Files, piece: Piece) -> Values:
    source = files.open(piece.file)
    if piece.offset + piece.length > source.size:
        end = piece.offset + piece.length
        raise CheckpointError(f"{piece.file}: has {source.size} bytes, this chunk ends at {end}")
    return Archive(source, piece).chunk()
