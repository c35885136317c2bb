"""What the linter imports: never torch, and libcst and rich only where they are needed."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from tests.conftest import Project

_RUN: Final = """
import json, sys
from collectivelint.cli import cli
try:
    cli.main(sys.argv[1:], prog_name="collectivelint")
except SystemExit:
    pass
print("\\n" + json.dumps(sorted(name for name in sys.modules if "." not in name)))
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
        (f"{_HEAD}dist.barrier()\n", [], {"rich"}),
        (f"{_HEAD}dist.barrier()\n", ["--output-format", "json", "--explicit-world"], {"libcst"}),
        (f"{_HEAD}dist.barrier()\n", ["--fix", "--explicit-world"], {"libcst"}),
        (f"{_HEAD}dist.barrier()\n", ["--explicit-world"], {"libcst", "rich"}),
    ],
)
def test_a_clean_run_does_not_pay_for_fixes(project: Project, code: str, args: list[str], needed: set[str]) -> None:
    project.write(code)
    imported = _imported("check", *args)
    assert imported & {"libcst", "rich", "torch", "numpy"} == needed
    assert "ast" in imported


@pytest.mark.parametrize("args", [["rules"], ["rule", "CL201"], ["--help"], ["--version"]])
def test_documentation_needs_neither(project: Project, args: list[str]) -> None:
    assert _imported(*args) & {"libcst", "torch", "rich"} == set()
