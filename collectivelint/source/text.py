"""The text of one file and its positions; encoding, byte order mark and line endings survive a round trip."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

# The line ends of the Python tokenizer. str.splitlines() also breaks at form feeds and Unicode separators.
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_LINE: Final = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


class UnreadableError(Exception):
    """A file that cannot be read or decoded: `message` says why, `line` and `column` (from 1) where."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        """Keep what went wrong and where."""
        super().__init__(message)
        self.message, self.line, self.column = message, line, column


@dataclass(frozen=True)
class Source:
    """One file's text, decoded; `encode` gives back its bytes."""

    path: str
    text: str
    encoding: str
    bom: bool

    @cached_property
    def starts(self) -> list[int]:
        """Offset in `text` of the first character of each line."""
        return [0, *(match.end() for match in _LINE_END.finditer(self.text))]

    @cached_property
    def newline(self) -> str:
        """The line ending of the file, that of its first line."""
        match = _LINE_END.search(self.text)
        return match.group() if match else "\n"

    @property
    def code(self) -> str:
        """The text as Python, of the same length, if the file contains other syntax too."""
        return self.text

    def place(self, row: int) -> tuple[int | None, int]:
        """The (cell, row in it) that a row of `text` stands for in a notebook; in other files the cell is None."""
        return None, row

    def line(self, number: int) -> str:
        """Text of line `number` (from 1) without its line ending; empty past the end."""
        if not 1 <= number <= len(self.starts):
            return ""
        end = self.starts[number] if number < len(self.starts) else len(self.text)
        return self.text[self.starts[number - 1] : end].rstrip("\r\n")

    def column(self, line: int, byte_offset: int) -> int:
        """Character column (from 0) of a UTF-8 byte offset in a line, which is how `ast` counts."""
        text = self.line(line)
        if text.isascii():
            return byte_offset
        return len(text.encode()[:byte_offset].decode(errors="ignore"))

    def offset(self, line: int, column: int) -> int:
        """Offset in `text` of a line (from 1) and character column (from 0)."""
        return self.starts[line - 1] + column

    def position(self, offset: int) -> tuple[int, int]:
        """Line (from 1) and character column (from 0) of an offset in `text`."""
        from bisect import bisect_right

        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1]

    def encode(self, text: str) -> bytes:
        """`text` in the encoding of this file, with its byte order mark; raises UnicodeEncodeError."""
        return (codecs.BOM_UTF8 if self.bom else b"") + text.encode(self.encoding)


def lines(text: str) -> list[str]:
    """The lines of a text with their line endings, split as the Python tokenizer and patch do."""
    found = _LINE.findall(text)
    return [line for line in found if line]
