"""Where a section, a table or a row of a catalogue file stands in its text."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECTION: Final = re.compile(r"\s*\[\[\s*section\s*\]\]")
#: The keys by which a row is known, the first that it has.
NAMES: Final = ("name", "names", "prefix")


def named(row: Mapping[str, object], table: str) -> str:
    """What messages call a row of a table."""
    return next((str(row[key]) for key in NAMES if row.get(key)), f"a row of {table}")


class Places:
    """The lines of a catalogue file."""

    def __init__(self, where: str, text: str) -> None:
        """`where` is the name of the file."""
        self._where, self._text = where, text

    @cached_property
    def _rows(self) -> list[str]:
        return self._text.split("\n")

    @cached_property
    def _spans(self) -> list[tuple[int, int]]:
        """The lines of each section; computed only when an error is reported."""
        starts = [number for number, row in enumerate(self._rows) if _SECTION.match(row)]
        return list(zip(starts, [*starts[1:], len(self._rows)], strict=False))

    def line(self, section: int, table: str = "", row: Mapping[str, object] | None = None) -> int:
        """The line of row `number` of a section's table; that of the table or the section if the row is not found."""
        if section >= len(self._spans):
            return 1
        begin, end = self._spans[section]
        if not table:
            return begin + 1
        head = re.compile(rf"\s*(?:{re.escape(table)}\s*=|\[\[\s*section\s*\.\s*{re.escape(table)}\s*\]\])")
        at = next((number for number in range(begin, end) if head.match(self._rows[number])), begin)
        if row is not None:
            known = re.compile("|".join(rf"""\b{key}\s*=\s*["']{re.escape(named(row, table))}["']""" for key in NAMES))
            at = next((number for number in range(at, end) if known.search(self._rows[number])), at)
        return at + 1

    def place(self, section: int, table: str = "", row: Mapping[str, object] | None = None) -> str:
        """The same as `file:line`."""
        return f"{self._where}:{self.line(section, table, row)}"
