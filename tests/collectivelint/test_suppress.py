"""Comments that silence findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collectivelint.findings import suppress
from collectivelint.findings.suppress import ignores
from collectivelint.source.text import Source

if TYPE_CHECKING:
    import tokenize
    from collections.abc import Iterable

    from tests.conftest import Project

_HEAD = "import torch.distributed as dist\n"


@pytest.mark.parametrize(
    "comment",
    [
        "# collectivelint: ignore[CL101]",
        "# collectivelint: ignore[CL101] the whole job waits here",
        "# collectivelint: ignore[missing-group]",
        "# collectivelint: ignore",
        "#collectivelint:ignore[CL101]",
        "#  collectivelint:  ignore[ CL101 ]",
        "# collectivelint: ignore[CL201,CL101]",
        "# collectivelint: ignore[rank-conditional missing-group]",
        "# type: ignore  # collectivelint: ignore[CL101]",
        "# collectivelint: ignore[CL101]  # noqa: E501",
        "# noqa: CL101",
        "# noqa:CL101",
        "# NOQA: cl101",
        "# noqa: E501, CL101",
        "# noqa: E501 CL101",
        "# noqa: CL101 because",
        "# noqa : CL101",
        "# noqa",
        "# NoQA",
        "# noqa - the whole job waits here",
        "# type: ignore  # noqa",
    ],
)
def test_silences_its_line(project: Project, comment: str) -> None:
    project.write(f"{_HEAD}dist.barrier()  {comment}\ndist.barrier()\n")
    assert project.found(select=["CL101"]) == [("main.py", 3, "CL101")]


@pytest.mark.parametrize(
    "comment",
    [
        "# collectivelint: ignore[CL201]",
        "# collectivelint: ignore[CL1]",
        "# collectivelint: ignore[]",
        "# collectivelint ignore[CL101]",
        "# collectivelint: ignored",
        "# collectivelint: ignore-line",
        "# collectivelint: uniform",
        "# noqa: E501",
        "# noqa: CL201",
        "# noqa: XCL101",
        "# noqa: the whole job",
        "# noqa:",
        "# noqa-file",
        "# noqaCL101",
        "# ruff: noqa",
        "# flake8: noqa: CL101",
        "# type: ignore[CL101]",
    ],
)
def test_does_not_silence(project: Project, comment: str) -> None:
    project.write(f"{_HEAD}dist.barrier()  {comment}\n")
    assert project.found(select=["CL101"]) == [("main.py", 2, "CL101")]


@pytest.mark.parametrize("line", [2, 3, 5])
def test_a_statement_of_several_lines(project: Project, line: int) -> None:
    lines = ["import torch.distributed as dist", "x = [", "    dist.barrier(", "    )", "]"]
    lines[line - 1] += "  # collectivelint: ignore[CL101]"
    project.write("\n".join(lines) + "\n")
    assert project.found(select=["CL101"]) == []


def test_another_line_of_the_statement_does_not_count(project: Project) -> None:
    project.write(f"{_HEAD}x = [\n    dist.barrier(),\n    0,  # collectivelint: ignore[CL101]\n    1,\n]\n")
    assert project.found(select=["CL101"]) == [("main.py", 3, "CL101")]


def test_a_comment_on_a_line_of_its_own_means_that_line_alone(project: Project) -> None:
    project.write(f"{_HEAD}# collectivelint: ignore[CL101]\ndist.barrier()\n")
    assert project.found(select=["CL101"]) == [("main.py", 3, "CL101")]


def test_the_last_line_of_a_block_is_not_that_of_its_head(project: Project) -> None:
    project.write(f"{_HEAD}if dist.barrier():\n    print(1)\n    print(2)  # collectivelint: ignore[CL101]\n")
    assert project.found(select=["CL101"]) == [("main.py", 2, "CL101")]


@pytest.mark.parametrize("place", ["first", "last"])
def test_a_whole_file(project: Project, place: str) -> None:
    comment = "# collectivelint: ignore-file[CL101]\n"
    code = f"{_HEAD}dist.barrier()\ndist.barrier()\n"
    project.write({"a.py": comment + code if place == "first" else code + comment, "b.py": code})
    assert project.found(select=["CL101"]) == [("b.py", 2, "CL101"), ("b.py", 3, "CL101")]


def test_a_whole_file_one_rule(project: Project) -> None:
    code = f"{_HEAD}dist.barrier()\nif dist.get_rank() == 0:\n    dist.broadcast([], 0)\n"
    project.write(f"# collectivelint: ignore-file[missing-group]\n{code}")
    assert project.found(select=["CL101", "CL201"]) == [("main.py", 5, "CL201")]


@pytest.mark.parametrize(
    ("comment", "left"),
    [
        ("# ruff: noqa", []),
        ("# flake8: noqa", []),
        ("#ruff:noqa: generated", [3, 4]),
        ("# ruff: noqa: CL101", []),
        ("# flake8: NOQA: E501, CL101", []),
        ("# ruff: noqa: E501", [3, 4]),
        ("if True:  # ruff: noqa\n    pass", [4, 5]),
        ("'# ruff: noqa'", [3, 4]),
    ],
)
def test_a_whole_file_as_other_linters_write_it(project: Project, comment: str, left: list[int]) -> None:
    project.write(f"{comment}\n{_HEAD}dist.barrier()\ndist.barrier()\n")
    assert [line for _, line, _ in project.found(select=["CL101"])] == left


def test_one_of_ours_counts_before_the_others(project: Project) -> None:
    # Neither is reported as unused: without the other one it would be needed.
    project.write(f"# ruff: noqa: CL101\n{_HEAD}dist.barrier()  # noqa: CL101  # collectivelint: ignore[CL101]\n")
    assert project.found() == []
    project.write(f"{_HEAD}x = 1  # noqa: CL101  # collectivelint: ignore[CL101]\n")
    assert project.found() == [("main.py", 2, "CL001")]
    project.write(f"{_HEAD}x = 1  # noqa  # collectivelint: ignore[CL101]\n")
    assert project.found() == []


def test_several_rules_on_a_line(project: Project) -> None:
    code = "import torch.distributed as dist\nif dist.get_rank() == 0:\n    dist.barrier()"
    for comment, left in {
        "": ["CL101", "CL201"],
        "  # collectivelint: ignore[CL101]": ["CL201"],
        "  # collectivelint: ignore[CL201]": ["CL101"],
        "  # collectivelint: ignore[CL101, CL201]": [],
        "  # collectivelint: ignore": [],
        "  # collectivelint: ignore[CL101]  # collectivelint: ignore[CL201]": [],
        "  # noqa: CL101  # collectivelint: ignore[CL201]": [],
    }.items():
        project.write(f"{code}{comment}\n")
        assert [code for _, _, code in project.found(select=["CL1", "CL2"])] == left, comment


@pytest.mark.parametrize(
    "text",
    [
        '"# collectivelint: ignore[CL101]"\n',
        '"""\n# collectivelint: ignore[CL101]\n"""\n',
        "f'# collectivelint: ignore[CL101] {x}'\n",
        "x = 1  # collectivelint\n",
        "# collectivelint: ignorance\n",
        "# noqa:\n",
        "# pylint: noqa\n",
    ],
)
def test_no_suppression(text: str) -> None:
    assert ignores(Source("f.py", text, "utf-8", bom=False)) == []


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_lines_are_counted_as_python_counts(newline: str) -> None:
    text = newline.join(["x = '\x0c'", "", "y = 'ä'  # collectivelint: ignore[CL101]", ""])
    (found,) = ignores(Source("f.py", text, "utf-8", bom=False))
    assert (found.line, found.column, found.codes) == (3, 9, ("CL101",))


def test_comments_before_an_error_count() -> None:
    text = "x = 1  # collectivelint: ignore[CL101]\ny = (\n"
    assert [item.line for item in ignores(Source("f.py", text, "utf-8", bom=False))] == [1]


# ------------------------------------------------------------------------------------------------------- ranges


def test_a_range(project: Project) -> None:
    project.write(
        _HEAD
        + "dist.barrier()  # CL101\n# collectivelint: disable[CL101] these wait for everybody\ndist.barrier()\n"
        + "def f():\n    dist.barrier()\n\n# collectivelint: enable[CL101]\ndist.barrier()  # CL101\n"
    )
    assert project.found() == [("main.py", 2, "CL101"), ("main.py", 9, "CL101")]


@pytest.mark.parametrize(
    ("disable", "enable", "silent"),
    [
        ("disable", "enable", True),
        ("disable", "enable[CL101]", True),
        ("disable[CL101]", "enable", True),
        ("disable[missing-group, CL201]", "enable[missing-group]", True),
        ("disable[CL101]", "enable[CL201]", False),
    ],
)
def test_ends_of_a_range(project: Project, disable: str, enable: str, *, silent: bool) -> None:
    text = f"{_HEAD}# collectivelint: {disable}\ndist.barrier()\n# collectivelint: {enable}\ndist.barrier()\n"
    project.write(text)
    found = [line for _, line, code in project.found(select=["CL101"])]
    assert found == ([5] if silent else [])


def test_a_range_without_an_end_goes_to_the_end_of_the_file(project: Project) -> None:
    project.write(f"{_HEAD}# collectivelint: disable[CL101]\ndist.barrier()\n\n\ndist.barrier()\n")
    assert project.found() == []


def test_a_range_that_silences_nothing_is_reported_and_removed(project: Project) -> None:
    code = "# collectivelint: disable[CL101]\nx = 1\n# collectivelint: enable[CL101]\n"
    project.write(_HEAD + code)
    assert project.found() == [("main.py", 2, "CL001")]
    project.fix()
    assert project.text() == f"{_HEAD}x = 1\n"


def test_an_end_of_nothing_is_reported(project: Project) -> None:
    project.write(f"{_HEAD}# collectivelint: enable[CL101]\nx = 1\n")
    assert project.found() == [("main.py", 2, "CL001")]


# ------------------------------------------------------------------------------------------ lists of codes, misspelt


@pytest.mark.parametrize("kind", ["ignore", "ignore-file", "disable"])
@pytest.mark.parametrize(
    "codes", [" [CL999]", "  [CL201]", "[CL101", " [CL101, CL201", "[", "[]", " [ ]", "[CL101 # x]"]
)
def test_a_list_without_the_rule_or_without_its_end_silences_nothing(project: Project, kind: str, codes: str) -> None:
    project.write(f"{_HEAD}dist.barrier()  # collectivelint: {kind}{codes}\n")
    assert project.found() == [("main.py", 2, "CL001"), ("main.py", 2, "CL101")]


@pytest.mark.parametrize("kind", ["ignore", "ignore-file", "disable"])
def test_a_space_before_the_list(project: Project, kind: str) -> None:
    project.write(f"{_HEAD}dist.barrier()  # collectivelint: {kind} [CL101] the whole job\n")
    assert project.found() == []


def test_an_end_without_a_rule_ends_nothing(project: Project) -> None:
    project.write(f"{_HEAD}# collectivelint: disable\n# collectivelint: enable[CL101\ndist.barrier()\n")
    assert project.found() == [("main.py", 3, "CL001")]


def test_an_unclosed_list_is_named_and_stays(project: Project) -> None:
    project.write(f"{_HEAD}dist.barrier()  # collectivelint: ignore[CL101 the whole job\n")
    (finding, _) = sorted(project.lint().findings, key=lambda finding: finding.code)
    assert finding.message == "nothing is silenced by `ignore`: the list behind it has no `]`"
    assert finding.fix is None


# ------------------------------------------------------------------------------------------------ newer f-strings

#: No tokenizer before that of Python 3.12 reads it.
_NEWER = 'x = f"ä{\n    a["b"] + c["#"]\n} {a["c"]}"\n'


@pytest.mark.parametrize(
    "comment", ["# collectivelint: ignore[CL101]", "# noqa: CL101", "# collectivelint: ignore-file", "# noqa"]
)
@pytest.mark.parametrize("inside", [_NEWER, 'try:\n    x = t"{a["b"]}"\nexcept A, B:\n    pass\n'])
def test_beside_newer_strings(project: Project, comment: str, inside: str) -> None:
    project.write(f"{_HEAD}a, c = {{}}, {{}}\n{inside}dist.barrier()  {comment}\n")
    assert project.found() == []


def test_on_the_line_of_a_newer_string(project: Project) -> None:
    comment = "# collectivelint: ignore[CL101]"
    project.write(f'{_HEAD}x = f"{{\n  a["b"]\n}}"\ny = f"ö{{a["ä"]}}"  {comment}\n')
    (finding,) = project.lint().findings
    assert (finding.code, finding.location.row, finding.location.column) == ("CL001", 5, 19)
    assert project.run("check", "--fix", "main.py").code == 0
    assert project.text().endswith('y = f"ö{a["ä"]}"\n')


def test_an_annotation_behind_a_newer_string(project: Project) -> None:
    project.write(
        f'{_HEAD}\n\ndef f(group, a):\n    x = f"{{\n        a[\'b\'] + a["c"]\n    }}"\n'
        "    mine = a.x  # collectivelint: rank-local\n    if mine:\n        dist.barrier(group=group)\n"
    )
    assert project.found() == [("main.py", 10, "CL203")]


def test_files_without_findings_and_comments_of_ours_are_not_tokenized(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    tokens = suppress.tokens

    def note(source: Source) -> Iterable[tokenize.TokenInfo]:
        read.append(source.path)
        return tokens(source)

    monkeypatch.setattr(suppress, "tokens", note)
    clean = "x = 1  # noqa: E501\n"
    silenced = "import torch.distributed as dist\nif dist.get_rank() == 0:\n    dist.barrier()  # noqa\n"
    project.write({"clean.py": clean, "silenced.py": silenced, "own.py": "x = 1  # collectivelint: ignore\n"})
    assert project.found() == [("own.py", 1, "CL001")]
    assert sorted(read) == ["own.py", "silenced.py"]
