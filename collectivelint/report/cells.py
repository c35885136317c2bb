"""Findings in notebooks, with positions as a format needs them: cell and row, or the line of the file's JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ..finding import Location, Step
from ..reading import NOTEBOOK, is_notebook
from ..source.text import UnreadableError
from .quote import LONGEST_LINE

if TYPE_CHECKING:
    from ..finding import Finding, Fix
    from ..findings.result import Result
    from ..source.notebook import Notebook
    from ..source.text import Source
    from .model import Sources

_CELL: Final = re.compile(rf"(?P<file>.*{re.escape(NOTEBOOK)}):cell (?P<number>\d+)", re.IGNORECASE)
#: A place in a message or in a line of what is known of a function.
_PLACE: Final = re.compile(rf"(?P<file>[^\s()`:]*{re.escape(NOTEBOOK)}):(?P<row>\d+)", re.IGNORECASE)
_LINE: Final = re.compile(r"\bline (?P<row>\d+)")


@dataclass(frozen=True, slots=True)
class FileStep(Step):
    """A step whose line is one of a notebook's JSON, which may hold the whole cell; `code` is the row in the cell."""

    code: str = ""


class Cells:
    """Sources in which each cell of a notebook is a file of its own: `train.ipynb:cell 3`.

    With `as_file` a notebook is a single file, as on the disk, for services that annotate the lines of files.
    """

    def __init__(self, sources: Sources, *, as_file: bool = False) -> None:
        """`sources` are those that the findings are about."""
        self._sources, self._as_file = sources, as_file
        self._lines: dict[str, list[str]] = {}

    def source(self, path: str) -> Source:
        """The text that the edits of a finding are about."""
        match = _CELL.fullmatch(path)
        return self._sources.source(match["file"] if match else path)

    def line(self, path: str, number: int) -> str:
        """Text of one line of a file or cell."""
        match = _CELL.fullmatch(path)
        if match is not None:
            notebook = self._notebook(match["file"])
            row = notebook.row(int(match["number"]), number) if notebook is not None else 0
            inside = notebook is not None and number > 0 and notebook.place(row) == (int(match["number"]), number)
            return self._sources.line(match["file"], row) if inside else ""
        if self._as_file and (notebook := self._notebook(path)) is not None:
            # All of the file may stand in one line, and it is asked for once for each finding.
            found = self._file_lines(notebook)
            return found[number - 1][:LONGEST_LINE].strip() if 0 < number <= len(found) else ""
        return self._sources.line(path, number)

    def finding(self, finding: Finding) -> Finding:
        """A finding with the places that are shown."""
        changed = replace(
            finding,
            message=self.words(finding.message),
            help=self.words(finding.help),
            trail=tuple(self.step(step) for step in finding.trail),
        )
        notebook = self._notebook(finding.path)
        if notebook is None:
            return changed
        cell, row = notebook.place(finding.location.row)
        if self._as_file:
            line = notebook.file_row(finding.location.row)
            width = len(self._file_lines(notebook)[line - 1])
            where = "" if cell is None else f"cell {cell}:{row}:{finding.location.column}: "
            return replace(
                changed,
                message=f"{where}{changed.message}",
                location=Location(line, 1),
                end_location=Location(line, width + 1),
                # What would be replaced is no piece of the file.
                fix=None,
            )
        return replace(
            changed,
            path=f"{finding.path}:cell {cell}" if cell is not None else finding.path,
            location=_inside(notebook, finding.location),
            end_location=_inside(notebook, finding.end_location),
            fix=_fix(notebook, finding.fix),
        )

    def step(self, step: Step) -> Step:
        """A step of a trail with the place that is shown."""
        notebook = self._notebook(step.path)
        text = self.words(step.text)
        if notebook is None:
            return replace(step, text=text)
        if self._as_file:
            return FileStep(step.path, notebook.file_row(step.line), step.kind, text, notebook.line(step.line))
        cell, row = notebook.place(step.line)
        return replace(step, path=f"{step.path}:cell {cell}" if cell is not None else step.path, line=row, text=text)

    def words(self, text: str) -> str:
        """A text whose positions in notebooks are replaced by those that are shown."""
        return _PLACE.sub(self._place, text) if NOTEBOOK in text.lower() else text

    def analysis(self, text: str) -> str:
        """The analysis of a function, with its lines as they are shown."""
        match = _PLACE.match(text)
        notebook = self._notebook(match["file"]) if match else None
        if notebook is None:
            return text

        def line(match: re.Match[str]) -> str:
            cell, row = notebook.place(int(match["row"]))
            return f"cell {cell} line {row}" if cell is not None else match.group()

        return _LINE.sub(line, self.words(text))

    def _place(self, match: re.Match[str]) -> str:
        notebook = self._notebook(match["file"])
        cell, row = notebook.place(int(match["row"])) if notebook is not None else (None, match["row"])
        return f"{match['file']}:cell {cell}:{row}" if cell is not None else match.group()

    def _file_lines(self, notebook: Notebook) -> list[str]:
        """The lines of the file's JSON."""
        if notebook.path not in self._lines:
            self._lines[notebook.path] = notebook.raw.split("\n")
        return self._lines[notebook.path]

    def _notebook(self, path: str) -> Notebook | None:
        if not is_notebook(path):
            return None
        try:
            source = self._sources.source(path)
        except UnreadableError:
            return None
        from ..source.notebook import Notebook

        return source if isinstance(source, Notebook) else None


def placed(result: Result, sources: Sources, *, as_file: bool = False) -> tuple[Result, Sources]:
    """The result with positions as they are shown, and the sources that have the lines for them."""
    if not any(NOTEBOOK in text.lower() for finding in result.findings for text in _texts(finding)):
        return result, sources
    cells = Cells(sources, as_file=as_file)
    return replace(result, findings=[cells.finding(finding) for finding in result.findings]), cells


def file_and_cell(path: str) -> tuple[str, int | None]:
    """`train.ipynb:cell 3` as its file and the number of the cell; None as the number for other paths."""
    match = _CELL.fullmatch(path)
    return (match["file"], int(match["number"])) if match else (path, None)


def _texts(finding: Finding) -> list[str]:
    return [
        finding.path,
        finding.message,
        *(step.path for step in finding.trail),
        *(step.text for step in finding.trail),
    ]


def _inside(notebook: Notebook, location: Location) -> Location:
    return Location(notebook.place(location.row)[1], location.column)


def _fix(notebook: Notebook, fix: Fix | None) -> Fix | None:
    if fix is None:
        return None
    return replace(
        fix,
        edits=tuple(
            replace(edit, location=_inside(notebook, edit.location), end_location=_inside(notebook, edit.end_location))
            for edit in fix.edits
        ),
    )
