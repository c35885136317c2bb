"""What a run costs: never torch, libcst only for fixes, the analysis only where something has changed, and no more turns
than a program has functions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from collectivelint.engine import Linter
from collectivelint.incremental.store import FOLDER
from collectivelint.settings import Resolver

if TYPE_CHECKING:
    from collectivelint.settings import Settings
    from tests.conftest import Project

_RUN: Final = """
import json, sys
from collectivelint.cli import cli
try:
    cli.main(sys.argv[1:], prog_name="collectivelint")
except SystemExit:
    pass
print("\\n" + json.dumps(sorted(sys.modules)))
"""
_HEAD: Final = "import torch.distributed as dist\n"


def _imported(*args: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", _RUN, *args], check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("code", "args", "needed"),
    [
        ("x = 1\n", [], set()),
        (f"{_HEAD}dist.barrier(group=dist.group.WORLD)\n", [], set()),
        (f"{_HEAD}dist.barrier()\n", ["--output-format", "concise"], set()),
        (f"{_HEAD}dist.barrier()\n", ["--output-format", "json"], set()),
        (f"{_HEAD}dist.barrier()\n", [], set()),
        (f"{_HEAD}dist.barrier()\n", ["--output-format", "json", "--explicit-world"], {"libcst"}),
        (f"{_HEAD}dist.barrier()\n", ["--fix", "--explicit-world"], {"libcst"}),
        (f"{_HEAD}dist.barrier()\n", ["--explicit-world"], {"libcst"}),
    ],
)
def test_a_clean_run_does_not_pay_for_fixes(project: Project, code: str, args: list[str], needed: set[str]) -> None:
    project.write(code)
    imported = _imported("check", *args)
    assert imported & {"libcst", "torch", "numpy"} == needed
    assert "ast" in imported


@pytest.mark.parametrize("args", [["rules"], ["rule", "CL201"], ["--help"], ["--version"]])
def test_documentation_needs_neither(project: Project, args: list[str]) -> None:
    assert _imported(*args) & {"libcst", "torch"} == set()


def test_a_second_run_does_not_pay_for_the_analysis(project: Project) -> None:
    project.write({"a.py": f"{_HEAD}dist.barrier()\n", "b.py": "import a\n"})
    assert "collectivelint.analysis.transfer.statements" in _imported("check", "--output-format", "concise")
    again = _imported("check", "--output-format", "concise")
    assert "collectivelint.analysis.transfer.statements" not in again
    # Of the rules only the catalogue.
    assert {name for name in again if name.startswith("collectivelint.rules.")} <= {"collectivelint.rules.catalog"}


def test_a_chain_of_many_calls(project: Project) -> None:
    """Each function calls the next one; the last one has the collective."""
    deepest = 10_000
    chain = "".join(f"def f{number}():\n    f{number + 1}()\n\n" for number in range(deepest))
    head = f"def start():\n    if dist.get_rank() == 0:\n        f0()\n\ndef f{deepest}():\n    dist.barrier()\n\n"
    project.write(_HEAD + head + chain)
    assert project.found(select=["CL201"]) == [("main.py", 4, "CL201")]


@pytest.mark.slow
def test_a_circle_of_many_functions(project: Project) -> None:
    """Each function calls the next one and the last one the first."""
    many = 500
    calls = "".join(
        f"def f{number}(n):\n    if n:\n        f{(number + 1) % many}(n - 1)\n    dist.all_reduce(n)\n\n"
        for number in range(many)
    )
    project.write(f"{_HEAD}{calls}def start(n):\n    if dist.get_rank() == 0:\n        f0(n)\n")
    assert project.found(select=["CL201"]) == [("main.py", 5 * many + 4, "CL201")]


def test_a_circle_in_which_everybody_calls_everybody(project: Project) -> None:
    many = 40
    calls = "".join(
        f"def f{number}(n):\n" + "".join(f"    f{other}(n)\n" for other in range(many)) + "    dist.barrier()\n\n"
        for number in range(many)
    )
    project.write(f"{_HEAD}{calls}def start(n):\n    if dist.get_rank() == 0:\n        f0(n)\n")
    assert [code for _, _, code in project.found(select=["CL201"])] == ["CL201"]


def test_settings_are_looked_up_for_each_file_and_not_for_each_finding(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write({"a.py": _HEAD + "if dist.get_rank() == 0:\n    dist.barrier()\n" * 40, "b.py": "import a\n"})
    folder = Path(FOLDER)
    assert len(Linter(Resolver({}, isolated=True), cache_folder=folder).run([Path()]).findings) >= 40
    asked: list[Path] = []
    settings = Resolver.settings

    def counted(self: Resolver, path: Path) -> Settings:
        asked.append(path)
        return settings(self, path)

    monkeypatch.setattr(Resolver, "settings", counted)
    again = Linter(Resolver({}, isolated=True), cache_folder=folder).run([Path()])
    assert (len(again.findings) >= 40, again.analysed) == (True, 0)
    assert len(asked) < 20
