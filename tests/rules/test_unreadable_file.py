"""CL000: the position and the reason, and the other files are still linted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Project

_GOOD = "import torch.distributed as dist\ndist.barrier()\n"


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [
        pytest.param(b"x = (\n", (1, 5), "never closed", id="open bracket"),
        pytest.param(b"x = 1\nif x\n    pass\n", (2, 5), "expected ':'", id="missing colon"),
        pytest.param(b"def f():\npass\n", (2, 1), "indented block", id="indentation"),
        pytest.param(b"x = 'a\n", (1, 5), "unterminated string", id="open string"),
        pytest.param(b"x = 1\n# caf\xe9\n", (2, 6), "0xe9", id="latin-1 without a declaration"),
        pytest.param("ä = 1\n'ö".encode() + b"\xff'\n", (2, 3), "0xff", id="columns count characters"),
        pytest.param(b"# -*- coding: nonsense -*-\n", (1, 1), "nonsense", id="unknown encoding"),
        pytest.param(b"# coding: ascii\nx = '\xc3\xa4'\n", (2, 6), "ascii", id="not what is declared"),
        pytest.param("import os\n".encode("utf-16"), (1, 1), "0xff", id="utf-16"),
        pytest.param(b"x = 1\nprint 'a'\n", (2, 1), "print", id="Python 2"),
    ],
)
def test_position_and_reason(project: Project, content: bytes, place: tuple[int, int], words: str) -> None:
    project.write({"bad.py": content, "good.py": _GOOD})
    result = project.lint()
    assert result.errors == []
    bad, good = result.findings
    assert (bad.path, bad.code, (bad.location.row, bad.location.column)) == ("bad.py", "CL000", place)
    assert words in bad.message
    assert (good.path, good.code) == ("good.py", "CL101")


@pytest.mark.parametrize(
    "content", [pytest.param(b"x = 1\0\n", id="NUL"), pytest.param(b"\0" * 100, id="NULs"), b"\x80\x02}q\x00."]
)
def test_junk_is_one_finding(project: Project, content: bytes) -> None:
    project.write({"bad.py": content, "good.py": _GOOD})
    assert project.found() == [("bad.py", 1, "CL000"), ("good.py", 2, "CL101")]


def test_expressions_that_are_too_deep(project: Project) -> None:
    project.write({"bad.py": f"x = {'(' * 5000}1{')' * 5000}\n", "good.py": _GOOD})
    assert project.found() == [("bad.py", 1, "CL000"), ("good.py", 2, "CL101")]


def test_dangling_link_is_a_finding_when_named(project: Project) -> None:
    project.write({"good.py": _GOOD})
    (project.root / "gone.py").symlink_to("nowhere.py")
    assert project.found("gone.py", "good.py") == [("gone.py", 1, "CL000"), ("good.py", 2, "CL101")]


def test_broken_files_around_the_given_ones_do_not_matter(project: Project) -> None:
    project.write({"bad.py": "x = (", "good.py": _GOOD})
    assert project.found("good.py") == [("good.py", 2, "CL101")]


def test_it_cannot_be_silenced_by_a_comment(project: Project) -> None:
    project.write("# collectivelint: ignore-file\nx = (\n")
    assert project.found() == [("main.py", 2, "CL000")]


@pytest.mark.parametrize(
    "options",
    [
        ["--ignore", "CL000"],
        ["--select", "CL201"],
        ["--ignore", "ALL"],
        ["--per-file-ignores", "*.py:CL000,CL2"],
        ["--per-file-ignores", "main.py:ALL", "--quiet"],
    ],
)
def test_it_cannot_be_switched_off(project: Project, options: list[str]) -> None:
    project.write("x = (\n")
    for cache in ([], [], ["--no-cache"]):
        ran = project.run("check", "--output-format", "concise", *cache, *options, "main.py")
        assert (ran.code, ran.err) == (1, "")
        assert ran.out.startswith("main.py:1:5: CL000 ")
        assert "No findings" not in ran.out


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--fix-only"], 1),
        (["--fix-only", "--exit-zero"], 0),
        (["--diff"], 1),
        (["--diff", "--exit-zero"], 0),
        (["--add-ignore"], 1),
        (["--write-baseline"], 1),
        (["--thread-groups", "--diff"], 1),
        (["--thread-groups", "--fix"], 1),
    ],
)
def test_it_is_named_where_no_findings_are_shown(project: Project, options: list[str], code: int) -> None:
    project.write({"bad.py": "x = (\n", "good.py": "x = 1\n"})
    (project.root / "loop.py").symlink_to("loop.py")
    ran = project.run("check", *options, ".")
    assert ran.code == code
    assert [line for line in ran.err.splitlines() if line.startswith("error: ")] == [
        "error: bad.py:1:5: " + project.lint("bad.py").findings[0].message,
        "error: loop.py:1:1: is a symbolic link that leads back to itself; not followed",
    ]
    assert project.text("bad.py") == "x = (\n"


def test_no_baseline_has_it(project: Project) -> None:
    project.write({"a.py": _GOOD, "b.py": _GOOD})
    assert project.run("--write-baseline", ".").code == 0
    known = project.text("collectivelint-baseline.json")
    project.write({"b.py": "x = (\n"})
    # What is known of the file stays known for the day it can be read again.
    assert project.run("--write-baseline", ".").code == 1
    assert project.text("collectivelint-baseline.json") == known
    ran = project.run("--output-format", "concise", "--baseline", "collectivelint-baseline.json", ".")
    assert (ran.code, ran.err) == (1, "")
    assert ran.out.startswith("b.py:1:5: CL000 ")
    # Earlier versions wrote it down.
    entry = {"path": "b.py", "code": "CL000", "function": "", "text": "x = ("}
    project.write({"old.json": json.dumps({"version": 1, "findings": [entry]})})
    ran = project.run("--output-format", "concise", "--baseline", "old.json", "b.py")
    assert (ran.code, ran.err) == (1, "")
    assert ran.out.startswith("b.py:1:5: CL000 ")


@pytest.mark.parametrize("name", ["bad.py", "{{name}}.py"])
def test_what_was_not_read_is_never_hidden(project: Project, name: str) -> None:
    project.write({name: "from helper import sync\nprint 'a'\n", "good.py": "x = 1\n"})
    ran = project.run("--min-confidence", "high", ".")
    assert (ran.code, "No findings" in ran.out) == (1, False)
    assert f"{name}:2:1: CL000" in ran.out


def test_an_exported_notebook_may_hold_magics(project: Project) -> None:
    cells = (
        "# Databricks notebook source\n%pip install torch\n\n# COMMAND ----------\n\n!nvidia-smi \\\n    -L\n" + _GOOD
    )
    project.write({"notebook.py": cells, "other.py": cells.replace("Databricks", "Some")})
    assert project.found() == [("notebook.py", 9, "CL101"), ("other.py", 2, "CL000")]
    (project.root / "notebook.py").write_bytes(cells.replace("\n", "\r\n").encode())
    assert project.found()[0] == ("notebook.py", 9, "CL101")
