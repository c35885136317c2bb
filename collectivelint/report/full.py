"""The `text` format under the name that ruff uses."""

from __future__ import annotations

from .text import render

__all__ = ["render"]
