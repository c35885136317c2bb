"""Patterns that fit no path: passed over where git does so, and refused where they were written for us."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collectivelint.settings.config_file import read

if TYPE_CHECKING:
    from tests.conftest import Project

_CODE = "import torch.distributed as dist\n\ndist.barrier()\n"


@pytest.mark.parametrize("line", ["!", "\\", "a\\", "! ", "\\/a", "[z-a]"])
def test_git_passes_over_it(project: Project, line: str) -> None:
    project.write({"main.py": _CODE, "other.py": _CODE, ".gitignore": f"{line}\nother.py\n"})
    assert project.found() == [("main.py", 3, "CL101")]


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ('exclude = [\n  "a",\n  "!",\n]\n', 3, "exclude"),
        ('extend-exclude = ["a\\\\"]\n', 1, "extend-exclude"),
        ('[per-file-ignores]\n"a" = ["CL101"]\n"!" = ["CL101"]\n', 3, "per-file-ignores"),
    ],
)
def test_refused_in_the_configuration(project: Project, text: str, line: int, key: str) -> None:
    project.write({"main.py": _CODE, "collectivelint.toml": text})
    ran = project.run("check", "main.py")
    assert (ran.code, ran.out) == (2, "")
    assert f"collectivelint.toml:{line}: `{key}`: `" in ran.err
    assert "is not a pattern" in ran.err


@pytest.mark.parametrize("args", [["--exclude", "!"], ["--exclude", "a,b\\"], ["--per-file-ignores", "!:CL101"]])
def test_refused_on_the_command_line(project: Project, args: list[str]) -> None:
    project.write(_CODE)
    ran = project.run("check", *args, ".")
    assert (ran.code, ran.out) == (2, "")
    assert f"{args[0]}: `" in ran.err


def test_the_others_are_kept(project: Project) -> None:
    project.write({"collectivelint.toml": 'exclude = ["[[a]*", "!", "b*"]\n'})
    settings, problems = read(project.root / "collectivelint.toml")
    assert settings is not None
    assert settings.exclude == ("[[a]*", "b*")
    assert len(problems) == 1
