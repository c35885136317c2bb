"""Where headers and values are read: in this process, or on the machines of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from . import archived, digests

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..files import Files, Progress
    from ..model import Piece, Values
    from .archived import Said
    from .digests import Digest


class Engine(Protocol):
    """Reads many chunks. Methods return one result per chunk, in order, or raise CheckpointError for all."""

    def headers(self, files: Files, pieces: Sequence[Piece]) -> list[Values | str]:
        """The place of the values of each chunk, or the reason why it is unknown."""

    def entries(self, files: Files, pieces: Sequence[Piece], known: str) -> list[tuple[Said, ...]]:
        """The problems of each archive's entries, as (code, text); see `archived.entries`."""

    def digests(self, files: Files, storages: Sequence[Values], progress: Progress) -> list[Digest]:
        """The digest of each storage; storages have to be passed in file order."""


class Here:
    """The engine that reads in this process, with several threads."""

    def headers(self, files: Files, pieces: Sequence[Piece]) -> list[Values | str]:
        """See Engine."""
        return archived.described(files, pieces)

    def entries(self, files: Files, pieces: Sequence[Piece], known: str) -> list[tuple[Said, ...]]:
        """See Engine."""
        return archived.entries(files, pieces, known)

    def digests(self, files: Files, storages: Sequence[Values], progress: Progress) -> list[Digest]:
        """See Engine."""
        return digests.digests(files, storages, progress)


HERE: Final = Here()
