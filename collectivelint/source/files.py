"""The texts of a run by path: each file is read once, and the unsaved buffers of an editor override it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..reading import read_bytes
from .decode import read
from .excerpt import excerpt
from .text import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..ir.nodes import Span
    from .text import Source


class SourceFiles:
    """The texts of files, by path as findings name it."""

    def __init__(self, overrides: Mapping[str, Source] | None = None) -> None:
        """`overrides` are texts that stand for those on the disk."""
        #: The bytes of the overrides, which the cache compares with those of the last run.
        self.overridden = {path: source.encode(source.text) for path, source in (overrides or {}).items()}
        self._sources: dict[str, Source] = dict(overrides or {})

    def source(self, path: str) -> Source:
        """The text of a file; raise UnreadableError."""
        if path not in self._sources:
            self._sources[path] = read(Path(path), path)
        return self._sources[path]

    def loaded(self, path: str) -> Source | None:
        """The text of a file; None for one that cannot be read."""
        try:
            return self.source(path)
        except UnreadableError:
            return None

    def content(self, path: str) -> bytes:
        """The content of a file, overridden or on the disk; empty for one that cannot be read."""
        if path in self.overridden:
            return self.overridden[path]
        try:
            return read_bytes(path)
        except OSError:
            return b""

    def line(self, path: str, number: int) -> str:
        """Text of one line of a file; empty where the file cannot be read."""
        try:
            return self.source(path).line(number)
        except UnreadableError:
            return ""

    def text(self, path: str, span: Span) -> str:
        """The source at a span, on one line and shortened where it is long."""
        return excerpt(self.written(path, span))

    def written(self, path: str, span: Span) -> str:
        """The source at a span, unchanged."""
        source = self.source(path)
        start = source.offset(span.line, source.column(span.line, span.column))
        return source.text[start : source.offset(span.end_line, source.column(span.end_line, span.end_column))]
