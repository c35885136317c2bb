"""Every output format renders a result from the texts alone: no linter, no file, no configuration."""

from __future__ import annotations

from dataclasses import replace

import pytest

from collectivelint.finding import Edit, Finding, Fix, Location, Step
from collectivelint.findings.result import Result
from collectivelint.report import FORMATS, render
from collectivelint.report.model import Document
from collectivelint.source.text import Source, UnreadableError

_TEXT = "import torch.distributed as dist\nif rank == 0:\n    dist.barrier()\n"


class _Texts:
    """Sources of one file."""

    def source(self, path: str) -> Source:
        return Source(path, _TEXT, "utf-8", bom=False)

    def line(self, path: str, number: int) -> str:
        return self.source(path).line(number)


def _finding() -> Finding:
    edit = Edit(0, 0, "# first\n", Location(1, 1), Location(1, 1))
    return Finding(
        *("CL201", "rank-conditional", "only some ranks reach it", "error", "train.py"),
        *(Location(3, 5), Location(3, 19), "main"),
        trail=(Step("train.py", 2, "condition", "only rank 0"),),
        help="call it on every rank",
        fix=Fix("display", "Say so first", (edit,)),
    )


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_needs_only_a_result_and_its_sources(name: str) -> None:
    text = render(name, Document(Result([_finding()], files=1), _Texts()))
    assert "CL201" in text
    assert "only some ranks reach it" in text


@pytest.mark.parametrize("name", ["text", "html", "sarif"])
def test_a_format_that_quotes_lines_takes_them_from_the_sources(name: str) -> None:
    text = render(name, Document(Result([_finding()], files=1), _Texts()))
    assert "if rank == 0:" in text


@pytest.mark.parametrize("name", ["text", "concise", "sarif", "github", "junit", "html", "agent"])
def test_an_incomplete_run_does_not_look_like_a_clean_one(name: str) -> None:
    clean = render(name, Document(Result(files=1), _Texts()))
    failed = render(
        name, Document(Result(files=1, errors=["boom"], missed=1, incomplete="1 was not analysed"), _Texts())
    )
    assert clean != failed


def test_what_an_assistant_reads() -> None:
    """Each fact once, with the edit as lines of a diff."""
    text = render("agent", Document(Result([_finding()], files=1), _Texts()))
    assert text.splitlines() == [
        "CL201 high train.py:3 only some ranks reach it",
        " why :2 only rank 0",
        " by hand: Say so first",
        "@@ -0,0 +1 @@",
        "+# first",
        "1 finding, 1 file",
    ]


def test_a_finding_without_a_fix_needs_no_source() -> None:
    """Its file may be one that cannot be read."""

    class Unreadable(_Texts):
        def source(self, path: str) -> Source:
            raise UnreadableError(path)

    text = render("agent", Document(Result([replace(_finding(), fix=None)], files=1), Unreadable()))
    assert text.splitlines()[-1] == "1 finding, 1 file"
