"""A checkpoint as one self-contained HTML page: each tensor as a map of its chunks, with damaged ones highlighted."""

from __future__ import annotations

import html
import json
from collections import defaultdict
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from collectivelint import palette

from . import show
from .checks.diff import described

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from .audit import Report
    from .files import Key
    from .model import Checkpoint, Problem, Tensor

#: What a chunk is drawn as. "missing": its file is not there. "unreadable": the file has no such chunk. "error": its bytes are others.
Mark: TypeAlias = Literal["", "missing", "unreadable", "error", "note"]
#: So many tensors are drawn, those with problems first; a page of all of a large model would not open.
_DRAWN: Final = 1500


def of_report(report: Report, checkpoint: Checkpoint) -> str:
    """The page of an audit."""
    return _page(checkpoint, report.problems, report.unreadable, show.verdict(report))


def of_listing(checkpoint: Checkpoint) -> str:
    """The page of a checkpoint whose values were not read."""
    return _page(checkpoint, checkpoint.problems, (), "")


def _page(
    checkpoint: Checkpoint, problems: Sequence[Problem], unreadable: Sequence[Collection[Key]], verdict: str
) -> str:
    by_name: defaultdict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        by_name[problem.where].append(problem)
    parts = (checkpoint, *checkpoint.beside)
    drawn = [
        _drawn(tensor, part, by_name.get(name, ()), unreadable[n] if n < len(unreadable) else ())
        for n, part in enumerate(parts)
        for name, tensor in part.tensors.items()
    ]
    drawn.sort(key=lambda tensor: not (tensor["problems"] or tensor["marks"]))
    names = {name for part in parts for name in part.tensors}
    data = {
        "tensors": drawn[:_DRAWN],
        "general": [[p.code, p.severity, p.where, p.text] for p in problems if p.where not in names],
        "left": max(0, len(drawn) - _DRAWN),
    }
    template = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    # No `<` in the data may end the script it stands in.
    packed = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    errors = sum(problem.severity == "error" for problem in problems)
    texts = {
        "@VERDICT@": verdict or f"{errors or 'No'} error{'s' * (errors != 1)} in the headers; values were not read",
        "@KIND@": "error" if errors else "",
        "@SUMMARY@": show.headline(checkpoint),
    }
    for place, text in texts.items():
        template = template.replace(place, html.escape(text))
    return template.replace("@PALETTE@", palette.of_page()).replace("@DATA@", packed)


def _drawn(
    tensor: Tensor, part: Checkpoint, problems: Sequence[Problem], unreadable: Collection[Key]
) -> dict[str, Any]:
    marks = _marks(tensor, part.files, problems, unreadable)
    return {
        "name": tensor.name,
        "what": described(tensor),
        "shape": list(tensor.shape),
        "problems": [[problem.code, problem.severity, problem.text] for problem in problems],
        "marks": sorted({mark for mark in marks if mark}),
        "chunks": [
            [list(chunk.offsets), list(chunk.sizes), chunk.rank, chunk.piece.file if chunk.piece else "", mark]
            for chunk, mark in zip(tensor.chunks, marks, strict=True)
        ],
    }


def _marks(
    tensor: Tensor, files: Mapping[str, int], problems: Sequence[Problem], unreadable: Collection[Key]
) -> list[Mark]:
    """The mark of each chunk: the most severe problem known for it."""
    marks: list[Mark] = [""] * len(tensor.chunks)
    for problem in sorted(problems, key=lambda problem: problem.severity == "error"):
        for index in problem.chunks:
            marks[index] = problem.severity
    for index, chunk in enumerate(tensor.chunks):
        if chunk.piece is not None and chunk.piece.file not in files:
            marks[index] = "missing"
        elif (tensor.name, index) in unreadable and not (chunk.piece is not None and chunk.piece.packed):
            marks[index] = "unreadable"
    return marks
