"""Patterns of paths, written as in a .gitignore."""

from __future__ import annotations

import re
import warnings
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pathspec

#: What can be compiled for sure: pathspec need not be imported for it.
_SIMPLE: Final = re.compile(r"[\w./*?-]+")


@cache
def spec(patterns: tuple[str, ...]) -> pathspec.GitIgnoreSpec:
    r"""The patterns combined; invalid ones (`!`, `a\`, `[z-a]`) are ignored, as git does."""
    import pathspec

    with warnings.catch_warnings():
        # `[[a]` may mean something else in a later version of `re`, which the user need not fix.
        warnings.simplefilter("ignore")
        try:
            return pathspec.GitIgnoreSpec.from_lines(patterns)
        except (ValueError, re.error):
            return pathspec.GitIgnoreSpec.from_lines(line for line in patterns if _compiles(line))


def unusable(patterns: Iterable[str]) -> list[str]:
    """The patterns that match nothing: in collectivelint's configuration they are errors."""
    return [pattern for pattern in patterns if not _SIMPLE.fullmatch(pattern) and not _compiles(pattern)]


def said(pattern: str) -> str:
    """The message for such a pattern."""
    return f"`{pattern}` is not a pattern that fits any path"


def _compiles(pattern: str) -> bool:
    import pathspec

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pathspec.GitIgnoreSpec.from_lines([pattern])
        except (ValueError, re.error):
            return False
    return True
