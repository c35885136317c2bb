"""Jupyter notebooks: their code cells as one module, one after the other, and edits of it back in the file's JSON.

Everything but the changed lines of changed cells stays as it is in the file, byte for byte.
"""

from __future__ import annotations

import codecs
import json
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from .magics import is_python, plain
from .text import Source, UnreadableError, lines

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A line between cells: a comment that no notebook contains.
_MARK: Final = "# \ue0f0"
_SPACE: Final = " \t\r\n"
_DECODER: Final = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Cell:
    """A code cell: its number among all cells, from 1, and where its source stands in the JSON of the file."""

    number: int
    start: int
    end: int


@dataclass(frozen=True)
class Notebook(Source):
    """The code cells of a notebook; `text` has a separator line, `mark`, between cells."""

    raw: str
    cells: tuple[Cell, ...]
    mark: str

    @property
    def code(self) -> str:
        """The text as Python: IPython syntax is replaced by a constant and spaces."""
        return self._code

    @cached_property
    def _code(self) -> str:
        return self._join(plain(part) for part in self.parts(self.text))

    def parts(self, text: str) -> list[str]:
        """Split a text of this notebook into cells; raise ValueError if their number differs from the notebook's."""
        found: list[list[str]] = [[]]
        for line in lines(text):
            if line.rstrip("\n") == self.mark:
                found.append([])
            else:
                found[-1].append(line)
        if len(found) != max(1, len(self.cells)):
            raise ValueError("the cells of the notebook would not stay apart")
        # The line end before a mark belongs to the mark.
        return ["".join(part).removesuffix("\n") for part in found[:-1]] + ["".join(found[-1])]

    def _join(self, parts: Iterator[str]) -> str:
        return f"\n{self.mark}\n".join(parts)

    @cached_property
    def _firsts(self) -> list[int]:
        """The first row of each cell in `text`."""
        rows = [number + 1 for number, line in enumerate(lines(self.text), 1) if line.rstrip("\n") == self.mark]
        return [1, *rows]

    def place(self, row: int) -> tuple[int | None, int]:
        """The (cell number, row in it from 1) of a row of `text`."""
        if not self.cells:
            return None, row
        index = bisect_right(self._firsts, row) - 1
        return self.cells[index].number, row - self._firsts[index] + 1

    def row(self, cell: int, row: int) -> int:
        """The row of `text` for a row in a cell."""
        index = [item.number for item in self.cells].index(cell)
        return self._firsts[index] + row - 1

    def line(self, number: int) -> str:
        """Text of a line; empty between the cells."""
        text = super().line(number)
        return "" if text == self.mark else text

    def file_row(self, row: int) -> int:
        """The line of the file whose JSON contains a row of `text`."""
        if not self.cells:
            return 1
        index = bisect_right(self._firsts, row) - 1
        inside, at = row - self._firsts[index], self.cells[index].start
        for start, end in _strings(self.raw, at):
            at = start
            count = _DECODER.raw_decode(self.raw, start)[0].count("\n") if end > start else 0
            if inside < max(1, count):
                break
            inside -= max(1, count)
        return self.raw.count("\n", 0, at) + 1

    def encode(self, text: str) -> bytes:
        """The file with `text` in its cells; raise ValueError if the separators no longer match the cells."""
        if not self.cells:
            found = self.raw
        else:
            pieces, done = [], 0
            before = self.parts(self._original)
            for cell, old, new in zip(self.cells, before, self.parts(text), strict=True):
                if old != new:
                    pieces += [self.raw[done : cell.start], self._written(cell, new)]
                    done = cell.end
            found = "".join([*pieces, self.raw[done:]])
        return (codecs.BOM_UTF8 if self.bom else b"") + found.encode(self.encoding)

    @cached_property
    def _original(self) -> str:
        """The text as the file has it."""
        return self._join(_source(json.loads(self.raw[cell.start : cell.end])) for cell in self.cells)

    def _written(self, cell: Cell, text: str) -> str:
        """The source of a cell as JSON, in its original layout; unchanged lines keep their original escapes."""
        ascii_only = self.raw.isascii()
        if self.raw[cell.start] == '"':
            return json.dumps(text, ensure_ascii=ascii_only)
        spans = list(_strings(self.raw, cell.start))
        known = {_DECODER.raw_decode(self.raw, start)[0]: self.raw[start:end] for start, end in spans}
        written = [known.get(line) or json.dumps(line, ensure_ascii=ascii_only) for line in lines(text)]
        if not spans:
            return f"[{', '.join(written)}]"
        opening, closing = self.raw[cell.start : spans[0][0]], self.raw[spans[-1][1] : cell.end]
        between = self.raw[spans[0][1] : spans[1][0]] if len(spans) > 1 else f",{opening[1:] or ' '}"
        return f"{opening}{between.join(written)}{closing}"


def notebook(data: bytes, path: str) -> Notebook:
    """Read a notebook; raise UnreadableError if it is not a notebook, or not one in Python."""
    bom = data.startswith(codecs.BOM_UTF8)
    try:
        raw = data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UnreadableError("is not a notebook: it is not valid UTF-8", line) from None
    content = _content(raw)
    language = _language(content)
    if language is not None and not is_python_kernel(language):
        raise UnreadableError(f"is a notebook for {language}, not for Python")
    cells: list[Cell] = []
    texts: list[str] = []
    for number, (cell, start, end) in enumerate(_cells(raw, content), 1):
        if cell.get("cell_type") != "code" or not _is_python_cell(cell):
            continue
        try:
            text = _source(json.loads(raw[start:end]))
        except TypeError:
            row = raw.count("\n", 0, start) + 1
            raise UnreadableError(f"is not a notebook: the source of cell {number} is not text", row) from None
        if is_python(text):
            cells.append(Cell(number, start, end))
            texts.append(text)
    mark = _MARK
    while any(mark in text for text in texts):
        mark += _MARK[-1]
    return Notebook(path, f"\n{mark}\n".join(texts), "utf-8", bom, raw, tuple(cells), mark)


def is_python_kernel(language: str) -> bool:
    """Whether this is a kernel language of Python notebooks."""
    return language.lower().startswith(("python", "ipython", "xpython"))


def is_foreign(data: bytes) -> bool:
    """Whether a notebook declares a language other than Python."""
    if b'"python"' in data:
        return False
    try:
        language = _language(json.loads(data))
    except (ValueError, RecursionError):
        return False
    return language is not None and not is_python_kernel(language)


def _content(raw: str) -> dict[str, Any]:
    try:
        content: Any = json.loads(raw)
    except json.JSONDecodeError as error:
        reason = f"is not a notebook: its JSON is broken: {error.msg}"
        raise UnreadableError(reason, error.lineno, error.colno) from None
    except RecursionError:
        raise UnreadableError("is not a notebook: its JSON is nested too deeply") from None
    if isinstance(content, dict) and "worksheets" in content:
        raise UnreadableError("is a notebook of an old format; `jupyter nbconvert --to notebook --inplace` converts it")
    cells = content.get("cells") if isinstance(content, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise UnreadableError("is not a notebook: it has no list of `cells`")
    return dict(content)


def _language(content: Any) -> str | None:
    """The language that a notebook declares, if any."""
    metadata = content.get("metadata") if isinstance(content, dict) else None
    for table, key in (("language_info", "name"), ("kernelspec", "language")):
        found = metadata.get(table) if isinstance(metadata, dict) else None
        if isinstance(found, dict) and isinstance(found.get(key), str):
            return str(found[key])
    return None


def _is_python_cell(cell: dict[str, Any]) -> bool:
    """Whether a cell is in the notebook's language; editors record another one in the cell's metadata."""
    metadata = cell.get("metadata")
    editor = metadata.get("vscode") if isinstance(metadata, dict) else None
    return not isinstance(editor, dict) or editor.get("languageId", "python") == "python"


def _source(value: Any) -> str:
    """The text of a cell, which the format allows to be in pieces."""
    return value if isinstance(value, str) else "".join(value)


def _cells(raw: str, content: dict[str, Any]) -> Iterator[tuple[dict[str, Any], int, int]]:
    """Each cell, with where its source begins and ends in the JSON."""
    top = {key: start for key, start, _ in _members(raw, _skip(raw, 0))}
    for cell, (begin, _) in zip(content["cells"], _elements(raw, top["cells"]), strict=True):
        spans = {key: (start, end) for key, start, end in _members(raw, begin)}
        yield (cell, *spans.get("source", (begin, begin))) if "source" in spans else ({}, begin, begin)


def _members(raw: str, at: int) -> Iterator[tuple[str, int, int]]:
    """Key, begin and end of the value of each member of the JSON object at a position; it is known to be valid."""
    at = _skip(raw, at + 1)
    while raw[at] != "}":
        key, at = _DECODER.raw_decode(raw, at)
        start = _skip(raw, _skip(raw, at) + 1)
        end = _DECODER.raw_decode(raw, start)[1]
        yield key, start, end
        at = _next(raw, end)


def _elements(raw: str, at: int) -> Iterator[tuple[int, int]]:
    """Begin and end of each element of the JSON list at a position."""
    at = _skip(raw, at + 1)
    while raw[at] != "]":
        end = _DECODER.raw_decode(raw, at)[1]
        yield at, end
        at = _next(raw, end)


def _strings(raw: str, at: int) -> Iterator[tuple[int, int]]:
    """Begin and end of the strings of a cell's source: one, or a list of them."""
    if raw[at] == "[":
        yield from _elements(raw, at)
    else:
        yield at, _DECODER.raw_decode(raw, at)[1]


def _skip(raw: str, at: int) -> int:
    while raw[at] in _SPACE:
        at += 1
    return at


def _next(raw: str, at: int) -> int:
    at = _skip(raw, at)
    return _skip(raw, at + 1) if raw[at] == "," else at
