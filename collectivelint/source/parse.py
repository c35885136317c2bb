"""Parses the text of a file, or reports why it cannot be parsed."""

from __future__ import annotations

import ast
import sys
import warnings
from typing import TYPE_CHECKING, Final

from .text import UnreadableError

if TYPE_CHECKING:
    from .text import Source

#: Newer syntax is an error to an older interpreter; the message says which one read the file.
_VERSION: Final = f"{sys.version_info.major}.{sys.version_info.minor}"

#: How a notebook begins that Databricks has written as a module: its cells may hold magics.
_EXPORTED: Final = "# Databricks notebook source\n"


def parse(source: Source) -> ast.Module:
    """The tree of a file, its positions those of the text; raise UnreadableError where it cannot be parsed."""
    try:
        code = source.code
    except ValueError as error:
        raise UnreadableError(str(error)) from None
    try:
        return _tree(code)
    except SyntaxError as error:
        return _newer(source, code, error)
    except ValueError as error:
        raise UnreadableError(f"cannot be parsed: {error}") from None
    except (RecursionError, MemoryError):
        raise UnreadableError("cannot be parsed: it is nested too deeply") from None


def _newer(source: Source, code: str, error: SyntaxError) -> ast.Module:
    """The tree of a text for a newer Python; raise UnreadableError if it is invalid or cannot be rewritten."""
    from .magics import plain
    from .newer import TooLongError, lowered

    # With one character at the end of a line every position stays what it is.
    lines = code.replace("\r\n", "\n")
    if lines.startswith(_EXPORTED) and parses(without := plain(lines)):
        return _tree(without)
    found, row = _earliest(source, error)
    place = row + (found.lineno or 1), max(found.offset or 1, 1)
    try:
        other = lowered(code, parses)
    except TooLongError:
        reason = f"is not valid Python {_VERSION}: {found.msg}; it is too deeply nested, or too long, to be read as a newer one"
        raise UnreadableError(reason, *place) from None
    if other is None:
        raise UnreadableError(f"is not valid Python {_VERSION}: {found.msg}", *place) from None
    try:
        return other.restore(_tree(other.code))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        needed = ".".join(map(str, other.needs))
        reason = f"needs Python {needed}, and this is {_VERSION}: run collectivelint with a newer Python to lint it"
        raise UnreadableError(reason, *place) from None


def parses(code: str) -> bool:
    """Whether this Python can read the code."""
    try:
        _tree(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _tree(code: str) -> ast.Module:
    with warnings.catch_warnings():
        # Invalid escapes in other people's strings are not our topic.
        warnings.simplefilter("ignore")
        return ast.parse(code)


def _earliest(source: Source, error: SyntaxError) -> tuple[SyntaxError, int]:
    """The first syntax error and its row offset; in a notebook, that of the first cell that does not parse."""
    from .notebook import Notebook

    if isinstance(source, Notebook):
        row = 0
        for part in source.parts(source.code):
            try:
                _tree(part)
            except SyntaxError as own:
                return own, row
            row += part.count("\n") + 2
    return error, 0
