"""`make ecosystem`: findings on pinned repositories, compared with the accepted ones."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

from ecosystem.compare import differences, table
from ecosystem.findings import Finding, lint, read, write
from ecosystem.repositories import Pin, UnavailableError, export, find_or_clone, pins

ONE = Finding("lab/one", "train.py", 6, "CL201", "high", "save", "`barrier` is not reached by all")
PROGRAM = """\
import torch.distributed as dist

def save(path):
    if dist.get_rank() == 0:
        open(path, "w").close()
        dist.barrier()
"""


def _git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def upstream(tmp_path: Path) -> tuple[Path, Pin]:
    folder = tmp_path / "upstream" / "lab" / "one"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "träin.py").write_text(PROGRAM, encoding="utf-8")
    (folder / "picture.png").write_bytes(b"\0")
    (folder / "link.py").symlink_to("/etc/hostname")
    _git(folder, "init", "--quiet")
    _git(folder, "add", ".")
    _git(folder, "commit", "--quiet", "-m", "first")
    pin = Pin("lab/one", _git(folder, "rev-parse", "HEAD"))
    (folder / "src" / "träin.py").write_text("", encoding="utf-8")
    _git(folder, "commit", "--quiet", "-am", "second")
    return folder.parents[1], pin


def test_lints_the_pinned_commit_of_a_clone(upstream: tuple[Path, Pin], tmp_path: Path) -> None:
    prefix, pin = upstream
    git = find_or_clone(pin, tmp_path / "clones", f"{prefix}/")
    assert git == find_or_clone(pin, tmp_path / "clones", "nowhere/")
    tree = tmp_path / "tree"
    export(git, pin, tree)
    assert [file.name for file in tree.rglob("*.*")] == ["träin.py"]
    found = lint(pin.name, tree)
    assert [(one.path, one.line, one.code, one.function) for one in found if one.code == "CL201"] == [
        ("src/träin.py", 6, "CL201", "save")
    ]


def test_a_repository_that_is_nowhere_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError):
        find_or_clone(Pin("lab/two", "0" * 40), tmp_path, f"{tmp_path}/none/")


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ([ONE], []),
        ([], ["gone"]),
        ([ONE, ONE], ["new"]),
        ([replace(ONE, confidence="low")], ["confidence"]),
        ([replace(ONE, message="other")], ["message"]),
        ([replace(ONE, line=7)], ["gone", "new"]),
    ],
)
def test_says_what_differs(after: list[Finding], said: list[str]) -> None:
    assert [change.kind for change in differences([ONE], after)] == said


def test_two_of_a_rule_on_one_line_correspond_by_message() -> None:
    other = replace(ONE, message="another collective")
    assert [(c.kind, c.finding) for c in differences([ONE, other], [other])] == [("gone", ONE)]


def test_the_table_has_a_row_for_each_change() -> None:
    lines = table(differences([ONE], [replace(ONE, confidence="low", message="a | b")])).splitlines()
    assert lines[2:] == ["| lab/one | `train.py:6` | CL201 | high → low | a \\| b |"]
    assert table([]) == "No finding differs."


def test_findings_are_kept_in_order(tmp_path: Path) -> None:
    two = replace(ONE, path="a.py")
    write(tmp_path / "accepted.jsonl", [ONE, two])
    assert read(tmp_path / "accepted.jsonl") == [two, ONE]


def test_the_pinned_repositories_are_at_least_forty() -> None:
    from ecosystem.__main__ import HERE

    listed = pins(HERE / "repositories.toml")
    assert len({pin.name for pin in listed}) >= 40
    assert all(len(pin.commit) == 40 for pin in listed)
