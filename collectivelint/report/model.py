"""The interface of the output formats: what they are given, and the function that each of them has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..findings.result import Result
    from ..source.text import Source


class Sources(Protocol):
    """The texts that findings are about, by path as findings name it."""

    def source(self, path: str) -> Source:
        """The text of a file; raise UnreadableError."""

    def line(self, path: str, number: int) -> str:
        """Text of one line of a file; empty where the file cannot be read."""


@dataclass(frozen=True, slots=True)
class Document:
    """What a report shows: a result, the sources it quotes, whether it has colours, and how many findings were fixed.

    `links`: rule codes are links, for a terminal.
    """

    result: Result
    sources: Sources
    colour: bool = False
    fixed: int = 0
    links: bool = False


class Renderer(Protocol):
    """A format: a module of this package with this function."""

    def render(self, document: Document) -> str:
        """The text of the report."""
