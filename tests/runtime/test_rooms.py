"""The rooms of the runtime: which may import which, and what a rank of a job has to load."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from collectivelint import runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME: Final = Path(runtime.__file__ or "").parent
#: From the bottom to the top; a module imports from the rooms in front of its own, and from its own.
ROOMS: Final = (
    ("environment", "operations", "options", "quantities", "say", "spark", "group_ops", "checkpoint.model"),
    ("traces", "checkpoint.sources"),
    ("checkpoint.stores",),
    ("checkpoint.files",),
    ("checkpoint.formats",),
    ("verdict", "inside", "checkpoint.checks"),
    ("beside", "afterwards", "checkpoint", "checkpoint.inside"),
    ("afterwards.picture",),
    ("of_tables", "large"),
    ("activate", "report"),
    ("cli",),
    ("", "__main__", "bootstrap", "testing"),
    ("pytest_plugin",),
)
FLOOR: Final = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}
MODULES: Final = {
    ".".join(file.relative_to(HOME).with_suffix("").parts).removesuffix("__init__").rstrip("."): file
    for file in sorted(HOME.rglob("*.py"))
}


def room(module: str) -> str:
    parts = module.split(".")
    return next(name for end in range(len(parts), -1, -1) if (name := ".".join(parts[:end])) in FLOOR)


def imported(module: str, file: Path) -> Iterator[str]:
    """Modules of the runtime, also those that only types are taken from."""
    package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            base = [part for part in base if part]
            for alias in node.names:
                whole = ".".join([*base, alias.name])
                yield whole if whole in MODULES else ".".join(base)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_from_below(module: str) -> None:
    here = room(module)
    wrong = [
        other
        for other in imported(module, MODULES[module])
        if room(other) != here and FLOOR[room(other)] >= FLOOR[here]
    ]
    assert not wrong


def test_no_circle() -> None:
    graph = {module: set(imported(module, file)) - {module} for module, file in MODULES.items()}
    while leaves := [module for module, others in graph.items() if not others & graph.keys()]:
        for module in leaves:
            del graph[module]
    assert not graph


def test_a_rank_loads_what_records_and_no_more(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    code = "import sys, torch.distributed, torch.distributed.checkpoint; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={
            **os.environ,
            "PYTHONPATH": str(HOME / "bootstrap"),
            "COLLECTIVELINT_TRACE": str(tmp_path),
            "COLLECTIVELINT_HOME": str(Path(sys.modules["collectivelint"].__file__ or "").parent),
            "COLLECTIVELINT_RUNTIME_HOME": str(HOME),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(ran.stdout.split())
    assert "collectivelint.runtime.inside.tracer" in loaded
    assert "collectivelint.runtime.checkpoint.inside.auditor" in loaded
    rooms = {
        room(name.removeprefix("collectivelint.runtime."))
        for name in loaded
        if ".runtime." in name and name.startswith("collectivelint")
    }
    assert not rooms & {"verdict", "beside", "afterwards", "cli"}
    assert not loaded & {"click", "libcst", "rich"}
