"""Names as they are written."""

from __future__ import annotations

from .nodes import Attribute, Expr, Name


def plain(expr: Expr) -> str | None:
    """`a.b.c` as text for a plain chain of names, else None."""
    match expr:
        case Name(id=name):
            return name
        case Attribute(value=value, name=name):
            base = plain(value)
            return None if base is None else f"{base}.{name}"
        case _:
            return None
