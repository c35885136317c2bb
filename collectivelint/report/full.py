"""`text` under the name that it has in ruff."""

from __future__ import annotations

from .text import render

__all__ = ["render"]
