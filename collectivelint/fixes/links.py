"""Which files fixes must not be written to: those reached only through a symbolic link."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


def outside(paths: Iterable[str], targets: Sequence[Path]) -> dict[str, str]:
    """A message for each file outside of all targets, by its path.

    A link that is itself a target was named by the user and is followed.
    """
    named = {os.path.abspath(target) for target in targets}
    folders = tuple(f"{os.path.realpath(target).rstrip(os.sep)}{os.sep}" for target in targets if target.is_dir())
    found: dict[str, str] = {}
    for path in paths:
        real = os.path.realpath(path)
        if os.path.abspath(path) not in named and not real.startswith(folders):
            found[path] = (
                f"{path}: not changed, it is a symbolic link to {real}, which lies outside of the given folders; "
                "name the link on the command line to change that file"
            )
    return found
