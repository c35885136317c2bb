"""Which files fixes may be written to: those that were named, and those that lie where the run was asked to look."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


def leads_out(path: str, targets: Iterable[Path]) -> str | None:
    """The file that a symbolic link leads to if that must not be written: it lies outside of all targets.

    A link that is itself a target was named by hand and is followed.
    """
    real = os.path.realpath(path)
    absolute = os.path.abspath(path)
    for target in targets:
        if os.path.abspath(target) == absolute:
            return None
        folder = os.path.realpath(target)
        if real == folder or real.startswith(folder.rstrip(os.sep) + os.sep):
            return None
    return real


def outside(paths: Iterable[str], targets: Sequence[Path]) -> dict[str, str]:
    """A message for each file that must not be written, by its path."""
    found: dict[str, str] = {}
    for path in paths:
        real = leads_out(path, targets)
        if real is not None:
            found[path] = (
                f"{path}: not changed, it is a symbolic link to {real}, which lies outside of the given folders; "
                "name the link on the command line to change that file"
            )
    return found
