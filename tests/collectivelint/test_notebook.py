"""Notebooks: positions, magics, fixes that change nothing else, and files that are none."""

from __future__ import annotations

import ast
import json
from typing import TYPE_CHECKING, Any

import pytest

from collectivelint.source.magics import is_python, plain
from collectivelint.source.notebook import notebook

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Project

_HEAD = "%matplotlib inline\n!pip install torch\nimport torch.distributed as dist\nfiles = !ls"
_MEET = "def meet(tensor):\n    if dist.get_rank() == 0:\n        dist.barrier(group=dist.group.WORLD)\n"
_CELLS = ["# Title é\n\nText", _HEAD, "%%bash\nls | wc", _MEET, "%%time\nmeet(1)\ndist.barrier()"]


def _cell(source: Any, kind: str = "code", **more: Any) -> dict[str, Any]:
    if isinstance(source, str):
        source = source.splitlines(keepends=True)
    outputs = {"execution_count": 1, "outputs": [{"text": ["dist.barrier()\n"]}]} if kind == "code" else {}
    return {"cell_type": kind, "metadata": {}, "source": source, **outputs, **more}


def _content(cells: list[str] = _CELLS, language: str = "python") -> dict[str, Any]:
    kinds = ["markdown" if text.startswith("#") else "code" for text in cells]
    return {
        "cells": [_cell(text, kind) for text, kind in zip(cells, kinds, strict=True)],
        "metadata": {"kernelspec": {"language": language, "name": "k"}, "language_info": {"name": language}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _text(cells: list[str] = _CELLS, language: str = "python") -> str:
    return json.dumps(_content(cells, language), indent=1, ensure_ascii=False) + "\n"


def _sources(text: str) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(text)["cells"]]


# ------------------------------------------------------------------------------------------------------ positions


@pytest.mark.parametrize("output_format", ["text", "concise"])
def test_findings_name_cell_row_and_column(project: Project, output_format: str) -> None:
    project.write({"train.ipynb": _text()})
    for _ in range(2):  # read anew, and from the cache
        ran = project.run("check", "--output-format", output_format, ".")
        assert ran.code == 1
        places = [line.split(" [")[0] for line in ran.out.splitlines() if line.startswith("train")]
        assert places == ["train.ipynb:cell 4:3:9: CL201", "train.ipynb:cell 5:3:1: CL101"]
        assert "Found 2 findings in 1 file." in ran.out
        assert ("  2 |     if dist.get_rank() == 0:   <- condition" in ran.out) == (output_format == "text")


def test_json_has_the_cell(project: Project) -> None:
    project.write({"train.ipynb": _text(), "main.py": "import torch.distributed as dist\ndist.barrier()\n"})
    found = json.loads(project.run("--explicit-world", "--no-cache", "--output-format", "json", ".").out)
    assert [(item["filename"], item["cell"], item["location"]["row"]) for item in found] == [
        ("main.py", None, 2),
        ("train.ipynb", 4, 3),
        ("train.ipynb", 5, 3),
    ]
    assert [(step["path"], step["cell"], step["line"]) for step in found[1]["trail"]][-1] == ("train.ipynb", 4, 3)
    assert found[2]["fix"]["edits"][0]["location"] == {"row": 3, "column": 14}


@pytest.mark.parametrize("output_format", ["sarif", "github", "gitlab"])
def test_services_get_the_line_of_the_file(project: Project, output_format: str) -> None:
    project.write({"train.ipynb": _text()})
    row = 1 + next(number for number, line in enumerate(_text().splitlines()) if '"dist.barrier()"' in line)
    out = project.run("--select", "CL101", "--explicit-world", "--output-format", output_format, ".").out
    assert "cell 5:3:1: `barrier` has no `group` argument" in out
    assert {"sarif": f'"startLine": {row}', "github": f",line={row},", "gitlab": f'"line": {row}'}[output_format] in out
    assert "train.ipynb:cell" not in out


@pytest.mark.parametrize("output_format", ["junit", "html", "json-lines"])
def test_other_formats_name_the_cell(project: Project, output_format: str) -> None:
    project.write({"train.ipynb": _text()})
    out = project.run("--output-format", output_format, ".").out
    assert ("train.ipynb:cell 5" in out) or ('"cell": 5' in out)


def test_messages_and_trails_name_cells_too(project: Project) -> None:
    groups = "import torch.distributed as dist\n\nteam = dist.new_group([0, 1])"
    project.write({"a.ipynb": _text([groups, "def meet():\n    dist.barrier(group=team)", "dist.barrier()"])})
    out = project.run("--output-format", "text", "a.ipynb").out
    assert "(new_group at a.ipynb:cell 1:3)" in out
    assert "--> a.ipynb:cell 1\n" in out


def test_a_notebook_is_one_module_of_the_program(project: Project) -> None:
    project.write(
        {
            "a.ipynb": _text(
                ["import torch.distributed as dist\nfrom helper import sync", "if dist.get_rank():\n    sync()"]
            ),
            "helper.py": "import torch.distributed as dist\n\n\ndef sync():\n    dist.barrier(group=dist.group.WORLD)\n",
        }
    )
    assert project.run("--output-format", "concise", "a.ipynb").out.startswith("a.ipynb:cell 2:2:5: CL201 ")
    known = project.run("--show-analysis", "<module>", "a.ipynb").out
    assert known.startswith("a.ipynb:cell 1:1: <module>\n")
    assert "cell 2 line 2: barrier" in known


# --------------------------------------------------------------------------------------------------------- magics


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("%time f()", "0        "),
        ("x = !ls", "x = 0  "),
        ("a, b = %sql", "a, b = 0   "),
        ("dist.barrier?\ny", "0            \ny"),
        ("f??", "0  "),
        ("?f", "0 "),
        ("pip install torch", "0                "),
        ("/f 1 2", "0     "),
        ("!ls \\\n  -l\ny = 1", "0    \n    \ny = 1"),
        ("if x:\n    %cd a\n    y = 1", "if x:\n    0    \n    y = 1"),
        ("x = (a\n  %b)\n!ls", "x = (a\n  %b)\n0  "),
        ("x = '''\n%time\n'''\n!ls", "x = '''\n%time\n'''\n0  "),
        ("# (\n!ls '\ny", "# (\n0    \ny"),
        ("x = a \\\n  % b\n!ls", "x = a \\\n  % b\n0  "),
        ("x = a\\\n%b", "x = a\\\n%b"),
        ("time = 1\nrun = time if x else 2", "time = 1\nrun = time if x else 2"),
        ("x = '?' # why?", "x = '?' # why?"),
    ],
)
def test_magics_become_constants_of_the_same_length(text: str, code: str) -> None:
    assert plain(text) == code
    ast.parse(code)


@pytest.mark.parametrize(
    ("cell", "python"),
    [
        ("x", True),
        ("%time x", True),
        ("%%time\nx", True),
        ("\n%%capture out\nx", True),
        ("%%timeit -n 1\nx", True),
        ("%%bash\nls", False),
        ("%%python\nx", False),
        ("%%python3 --bg\nx", False),
        ("%%pypy\nx", False),
        ("%%writefile a.py\nx", False),
        ("%%html\n<p>", False),
        ("%%!\nls", False),
    ],
)
def test_cells_of_other_languages(cell: str, *, python: bool) -> None:
    assert is_python(cell) == python


def test_a_cell_may_have_a_language_of_its_own(project: Project) -> None:
    content = _content(["import torch.distributed as dist", "select * from x", "dist.barrier()"])
    content["cells"][1]["metadata"] = {"vscode": {"languageId": "sql"}}
    project.write({"a.ipynb": json.dumps(content)})
    assert project.run("--output-format", "concise", ".").out.startswith("a.ipynb:cell 3:1:1: CL101")


def test_comments_in_cells(project: Project) -> None:
    cells = [*_CELLS[:4], "!ls\ndist.barrier()  # noqa: CL101", "dist.barrier()  # collectivelint: ignore[CL101]"]
    project.write({"a.ipynb": _text([*cells, "x = 1  # collectivelint: ignore[CL101]"])})
    out = project.run("--select", "CL0,CL1", "--output-format", "concise", ".").out
    assert out.splitlines()[:-1] == [
        "a.ipynb:cell 7:1:8: CL001 [unused-ignore] nothing is silenced by `ignore[CL101]`: remove it"
    ]
    project.run("--select", "CL0,CL1", "--fix", ".")
    assert _sources(project.text("a.ipynb"))[4:] == [*cells[4:], "x = 1"]
    project.write({"a.ipynb": _text(["# ruff: noqa\n%pylab", *_CELLS[1:]])})
    content = json.loads(project.text("a.ipynb"))
    content["cells"][0] = _cell("# ruff: noqa\n%pylab")
    project.write({"a.ipynb": json.dumps(content)})
    assert project.run(".").code == 0


# ---------------------------------------------------------------------------------------------------------- fixes


def _escaped(text: str) -> str:
    return json.dumps(json.loads(text), indent=1) + "\n"


_LAYOUTS: dict[str, Callable[[str], str]] = {
    "jupyter": str,
    "no final newline": str.rstrip,
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "BOM": lambda text: f"\ufeff{text}",
    "escaped": _escaped,
    "one line": lambda text: json.dumps(json.loads(text)),
    "tabs": lambda text: json.dumps(json.loads(text), indent="\t", separators=(" , ", " : ")),
    "one string": lambda text: json.dumps(
        {
            **(content := json.loads(text)),
            "cells": [{**cell, "source": "".join(cell["source"])} for cell in content["cells"]],
        }
    ),
    "oddly spelt": lambda text: text.replace("torch.distributed as", "torch\\u002edistributed as"),
}


@pytest.mark.parametrize("layout", _LAYOUTS)
def test_a_fix_changes_nothing_else(project: Project, layout: str) -> None:
    text = _LAYOUTS[layout](_text())
    project.write({"a.ipynb": text})
    ran = project.fix("--explicit-world", "--select", "CL101")
    assert "Fixed 1 finding. None left." in ran.out
    fixed = "dist.barrier(group=dist.group.WORLD)"
    before, old, after = text.rpartition("dist.barrier()" if layout == "one string" else '"dist.barrier()"')
    if layout == "one string":
        # The output of the last cell shows the call as well.
        start = text.rindex("meet(1)\\ndist.barrier()")
        before, after = text[: start + len("meet(1)\\n")], text[start + len("meet(1)\\ndist.barrier()") :]
        assert project.text("a.ipynb") == f"{before}{fixed}{after}"
    else:
        assert old
        assert project.text("a.ipynb") == f'{before}"{fixed}"{after}'


def test_lines_that_come_and_go(project: Project) -> None:
    data = _text().encode()
    source = notebook(data, "a.ipynb")
    assert source.encode(source.text) == data
    changed = source.text.replace("meet(1)\n", "meet(1)\nä = 1\n\n").replace("files = !ls", "")
    cells = _sources(source.encode(changed).decode())
    assert cells == [
        *_CELLS[:1],
        _HEAD.removesuffix("files = !ls"),
        *_CELLS[2:4],
        "%%time\nmeet(1)\nä = 1\n\ndist.barrier()",
    ]
    assert (
        source.encode(changed).replace(b'    "\xc3\xa4 = 1\\n",\n    "\\n",\n', b"").count(b"\n")
        == data.count(b"\n") - 1
    )
    with pytest.raises(ValueError, match="stay apart"):
        source.encode(source.text.replace(source.mark, "x"))


def test_the_mark_between_cells_is_unique(project: Project) -> None:
    first = notebook(_text().encode(), "a.ipynb").mark
    source = notebook(_text([f"x = '''\n{first}\n'''", "y = 1"]).encode(), "a.ipynb")
    assert source.mark != first
    assert source.parts(source.text) == [f"x = '''\n{first}\n'''", "y = 1"]


def test_diff_is_by_cell_and_changes_nothing(project: Project) -> None:
    project.write({"a.ipynb": _text()})
    ran = project.run("--diff", "--explicit-world", ".")
    assert ran.out == (
        "--- a.ipynb:cell 5\n+++ a.ipynb:cell 5\n@@ -1,3 +1,3 @@\n %%time\n meet(1)\n"
        "-dist.barrier()\n+dist.barrier(group=dist.group.WORLD)\n"
    )
    assert project.text("a.ipynb") == _text()


def test_baselines_and_comments_for_what_is_known(project: Project) -> None:
    project.write({"a.ipynb": _text()})
    project.run("--write-baseline", ".")
    baseline = ("--baseline", "collectivelint-baseline.json")
    assert project.run(*baseline, ".").code == 0
    project.write({"a.ipynb": _text([*_CELLS[:1], "# more", "x = 1", *_CELLS[1:], "dist.barrier(async_op=False)"])})
    ran = project.run(*baseline, "--output-format", "concise", ".")
    assert (ran.out.split(" [")[0], ran.err) == ("a.ipynb:cell 8:1:1: CL101", "")
    assert "Silenced 3 findings." in project.run("--add-ignore=known", ".").out
    assert project.run(".").code == 0
    assert (
        _sources(project.text("a.ipynb"))[-1] == "dist.barrier(async_op=False)  # collectivelint: ignore[CL101] known"
    )


def test_a_group_handed_down_in_a_notebook(project: Project) -> None:
    call = "def inner():\n    dist.barrier()\n\n\ndef outer(group: dist.ProcessGroup):\n    inner()"
    project.write({"a.ipynb": _text(["import torch.distributed as dist", call])})
    assert project.run("--thread-groups", "--fix", ".").code == 0
    assert "dist.barrier(group=group)" in _sources(project.text("a.ipynb"))[1]


# ---------------------------------------------------------------------------------------------- what cannot be used


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("", ":1:1", "is not a notebook: its JSON is broken: Expecting value"),
        (_text()[:-20], ":", "is not a notebook: its JSON is broken"),
        ('{\n "cells": [,]}', ":2:", "is not a notebook: its JSON is broken"),
        ("[" * 100_000, ":1:1", "nested too deeply"),
        ("[]", ":1:1", "has no list of `cells`"),
        ('{"cells": [1]}', ":1:1", "has no list of `cells`"),
        ('{"worksheets": []}', ":1:1", "is a notebook of an old format"),
        (json.dumps({"cells": [_cell([1])]}, indent=1), ":6:1", "the source of cell 1 is not text"),
        (json.dumps({"cells": [_cell(None)]}), ":1:1", "the source of cell 1 is not text"),
        (_text(["x = 1", "y = (\n", "z = 1"]), ":cell 2:1:5", "'(' was never closed"),
        (_text(["x = 1", "# text", "!ls\ny = = 1\n", "z = ("]), ":cell 3:2:5", "invalid syntax"),
        (_text(["x"], "julia"), ":1:1", "is a notebook for julia, not for Python"),
        ("\udcff", ":1:1", "is not valid UTF-8"),
    ],
)
def test_what_is_no_notebook_is_one_finding(project: Project, text: str, place: str, words: str) -> None:
    project.write(
        {
            "a.ipynb": text.encode(errors="surrogateescape"),
            "main.py": "import torch.distributed as dist\ndist.barrier()\n",
        }
    )
    ran = project.run("--output-format", "concise", "a.ipynb", "main.py")
    lines = ran.out.splitlines()
    assert lines[0].startswith(f"a.ipynb{place}")
    assert "CL000 [unreadable-file]" in lines[0]
    assert words in lines[0]
    assert lines[1].startswith("main.py:2:1: CL101")
    assert len(lines) == 3
    assert ran.err == ""


def test_json_is_no_python(project: Project) -> None:
    project.write({"a.json": _text()})
    ran = project.run("--output-format", "concise", "a.json")
    assert (ran.code, ran.out.splitlines()[0]) == (1, "a.json:1:1: CL000 [unreadable-file] is JSON, not Python")


@pytest.mark.parametrize("content", [{"cells": []}, {"cells": [{"cell_type": "code"}, {}, _cell("%%html\n<p>")]}])
def test_a_notebook_without_code(project: Project, content: dict[str, Any]) -> None:
    project.write({"a.ipynb": json.dumps(content)})
    assert project.run("--output-format", "concise", "a.ipynb").out == "No findings in 1 file.\n"


def test_folders_are_searched_for_notebooks_of_python(project: Project) -> None:
    project.write(
        {"a.ipynb": _text(), "r.ipynb": _text(["x <- 1"], "R"), ".ipynb_checkpoints/a-checkpoint.ipynb": _text()}
    )
    assert "in 1 file." in project.run(".").out


def test_a_notebook_on_the_standard_input(project: Project) -> None:
    import subprocess
    import sys

    command = [
        sys.executable,
        "-m",
        "collectivelint",
        "--min-confidence",
        "low",
        "--isolated",
        "--stdin-filename",
        "new.ipynb",
        "-",
    ]
    ran = subprocess.run(
        [*command, "--fix", "--explicit-world"], input=_text().encode(), capture_output=True, check=False
    )
    assert ran.stdout.decode() == _text(
        [*_CELLS[:4], _CELLS[4].replace("barrier()", "barrier(group=dist.group.WORLD)")]
    )
    assert b"new.ipynb:cell 4:3:9: CL201" in ran.stderr


def test_steps_quote_the_row_of_a_cell_where_the_file_is_one_line(project: Project) -> None:
    project.write({"train.ipynb": json.dumps(json.loads(_text()))})
    report = json.loads(project.run("--select", "CL201", "--no-cache", "--output-format", "sarif", ".").out)
    (found,) = report["runs"][0]["results"]
    steps = [step["location"]["physicalLocation"] for step in found["codeFlows"][0]["threadFlows"][0]["locations"]]
    assert {step["region"]["startLine"] for step in steps} == {1}
    assert [step["region"]["snippet"]["text"].strip() for step in steps][-2:] == [
        "if dist.get_rank() == 0:",
        "dist.barrier(group=dist.group.WORLD)",
    ]


@pytest.mark.parametrize("output_format", ["sarif", "text", "html"])
def test_lines_as_long_as_files_are_cut(project: Project, output_format: str) -> None:
    project.write(f"import torch.distributed as dist\ndist.barrier(); x = '{'a' * 100_000}'\n")
    ran = project.run("--no-cache", "--output-format", output_format, "--select", "CL101", "main.py")
    assert "aaa..." in ran.out
    assert len(ran.out) < 50_000
