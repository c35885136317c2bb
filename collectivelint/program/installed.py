"""Packages as they are installed in environments: found on the disk, without importing anything."""

from __future__ import annotations

import os
import re
import sys
from importlib.machinery import PathFinder
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..reading import read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Names of the environment of a project, in its folder.
ENVIRONMENTS: Final = (".venv", "venv")
_VERSION: Final = re.compile(r"""^__version__(?:\s*:\s*\w+)?\s*=\s*["']([\w.+-]+)["']""", re.MULTILINE)


def site_folders(roots: Iterable[Path]) -> list[str]:
    """The site-packages folders of the active environment, of those in these folders, and of this interpreter."""
    active = os.environ.get("VIRTUAL_ENV")
    environments = [Path(active)] if active else []
    environments += [root / name for root in roots for name in ENVIRONMENTS]
    found: dict[str, None] = {}
    for environment in environments:
        for folder in (*sorted(environment.glob("lib/python*/site-packages")), environment / "Lib/site-packages"):
            if folder.is_dir():
                found |= dict.fromkeys([str(folder), *_linked(folder)])
    # The first is the folder of the program that runs: this one.
    return list(found | dict.fromkeys(entry for entry in sys.path[1:] if entry and Path(entry).is_dir()))


def _linked(folder: Path) -> list[str]:
    """The folders that .pth files of an environment add, for packages installed in editable mode."""
    found = []
    for file in sorted(folder.glob("*.pth")):
        try:
            lines = read_text(file).splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        found += [line for line in lines if not line.startswith(("import ", "#")) and Path(line).is_dir()]
    return found


def package_folders(name: str, search: Sequence[str]) -> list[Path]:
    """The folders of a package by the first part of its dotted name; none if it is missing or a single file."""
    spec = PathFinder.find_spec(name, search)
    return [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec is not None else []


def version_of(folder: Path) -> str:
    """The version of the package in a folder: from its metadata, else from its source; empty if neither is known."""
    wanted = folder.name.replace("-", "_").lower()
    for known in distributions(path=[str(folder.parent)]):
        names = [known.metadata["Name"] or "", *(known.read_text("top_level.txt") or "").split()]
        if wanted in {name.replace("-", "_").lower() for name in names}:
            return known.version
    for name in ("version.py", "_version.py", "__version__.py", "__init__.py"):
        try:
            match = _VERSION.search(read_text(folder / name, errors="replace"))
        except OSError:
            continue
        if match is not None:
            return match[1]
    return ""
