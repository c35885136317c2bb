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
    """What reads many chunks. All methods give an answer for each, in order, and raise CheckpointError if none can be had at all."""

    def headers(self, files: Files, pieces: Sequence[Piece]) -> list[Values | str]:
        """The place of the values of each chunk, or the reason why it is unknown."""

    def entries(self, files: Files, pieces: Sequence[Piece], known: str) -> list[tuple[Said, ...]]:
        """What is wrong with the entries of each archive, by code; see `archived.entries`."""

    def digests(self, files: Files, storages: Sequence[Values], progress: Progress) -> list[Digest]:
        """The digest of each storage; they come in the order in which they lie in their files."""


class Here:
    """This process, with some threads."""

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
