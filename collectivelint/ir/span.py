"""Positions: those of `ast`, lines from 1, columns in UTF-8 bytes from 0."""

from __future__ import annotations

from typing import Final


class Span:
    """Start (included) and end (excluded) of a piece of source; ordered by position."""

    __slots__ = ("column", "end_column", "end_line", "line")

    def __init__(self, line: int, column: int, end_line: int, end_column: int) -> None:
        """From `line` and `column` to before `end_line` and `end_column`."""
        self.line: Final = line
        self.column: Final = column
        self.end_line: Final = end_line
        self.end_column: Final = end_column

    @property
    def start(self) -> tuple[int, int]:
        """Line and column of the first character."""
        return self.line, self.column

    @property
    def end(self) -> tuple[int, int]:
        """Line and column behind the last character."""
        return self.end_line, self.end_column

    @property
    def numbers(self) -> tuple[int, int, int, int]:
        """The four fields in order."""
        return self.line, self.column, self.end_line, self.end_column

    def contains(self, other: Span) -> bool:
        """Whether all of `other` lies in this span."""
        return self.start <= other.start and other.end <= self.end

    def contains_position(self, line: int, column: int) -> bool:
        """Whether a position lies in this span or right behind it, as a cursor does."""
        return self.start <= (line, column) <= self.end

    def contains_line(self, line: int) -> bool:
        """Whether this span has a part of a line."""
        return self.line <= line <= self.end_line

    def __eq__(self, other: object) -> bool:
        """Equal positions."""
        if not isinstance(other, Span):
            return NotImplemented
        return (
            self.line == other.line
            and self.column == other.column
            and self.end_line == other.end_line
            and self.end_column == other.end_column
        )

    def __hash__(self) -> int:
        """Of the four fields."""
        return hash((self.line, self.column, self.end_line, self.end_column))

    def __lt__(self, other: Span) -> bool:
        """By start, then by end."""
        return self.numbers < other.numbers

    def __le__(self, other: Span) -> bool:
        """By start, then by end."""
        return self.numbers <= other.numbers

    def __gt__(self, other: Span) -> bool:
        """By start, then by end."""
        return self.numbers > other.numbers

    def __ge__(self, other: Span) -> bool:
        """By start, then by end."""
        return self.numbers >= other.numbers

    def __reduce__(self) -> tuple[type[Span], tuple[int, int, int, int]]:
        """Pickled and copied through the constructor: compiled, it has no state that `pickle` can read."""
        return Span, self.numbers

    def __repr__(self) -> str:
        """As it is constructed."""
        return f"Span{self.numbers!r}"


def between(first: Span, last: Span) -> Span:
    """From the start of `first` to the end of `last`."""
    return Span(first.line, first.column, last.end_line, last.end_column)
