"""Findings as JSON, one object on each line: for programs that read while we write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import dumps
from .json_ import as_dict

if TYPE_CHECKING:
    from ..engine import Linter, Result


def render(result: Result, linter: Linter, *, colour: bool, fixed: int = 0) -> str:
    """The objects of the `json` format."""
    del linter, colour, fixed
    return "".join(dumps(as_dict(finding)) + "\n" for finding in result.findings)
