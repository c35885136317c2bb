"""Findings as JSON, one object per line, for programs that read a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .json_ import as_dict
from .quote import dumps

if TYPE_CHECKING:
    from .model import Document


def render(document: Document) -> str:
    """The objects of the `json` format."""
    return "".join(dumps(as_dict(finding)) + "\n" for finding in document.result.findings)
