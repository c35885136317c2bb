"""Which files the tools may be asked about."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class RequestError(Exception):
    """A request that cannot be answered; the message is what the client reads."""


class Roots:
    """The files and folders that the user has named: a path outside of them is refused, also behind a link."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """`paths` exist."""
        self._roots = [path.resolve() for path in paths]

    def path(self, text: str) -> Path:
        """The path of a request; raise RequestError if it is outside, or nothing is there."""
        path = self.inside(text)
        if not os.path.exists(path):
            raise RequestError(f"{text}: no such file or folder")
        return path

    def inside(self, text: str) -> Path:
        """The same for a file that need not exist."""
        if not text or "\0" in text:
            raise RequestError("a path is empty or holds a null character")
        try:
            real = Path(text).resolve()
        except (OSError, RuntimeError) as error:
            raise RequestError(f"{text}: {error}") from None
        if not self._has(real):
            allowed = ", ".join(map(str, self._roots))
            raise RequestError(f"{text}: outside of what this server may read ({allowed})")
        return Path(text)

    def files(self, paths: Sequence[Path]) -> list[Path]:
        """Those of these files that are inside; a folder inside may hold links to others."""
        return [path for path in paths if self._has(path.resolve())]

    def _has(self, real: Path) -> bool:
        return any(real.is_relative_to(root) for root in self._roots)
