"""Paths as findings name them."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def shown(path: Path) -> str:
    """A path as reports show it: relative to the current folder where it lies below."""
    folder, name = os.path.split(path)
    relative = _relative(folder or os.curdir, os.getcwd())
    if relative.startswith(os.pardir):
        return str(path)
    return name if relative == os.curdir else os.path.join(relative, name)


@cache
def _relative(folder: str, _: str) -> str:
    """A folder relative to the current one, which is an argument so that the cache notices a change of it."""
    return os.path.relpath(folder)
