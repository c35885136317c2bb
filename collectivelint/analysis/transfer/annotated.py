"""The class that an annotation names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.names import plain
from ...ir.nodes import Attribute, Constant, Expr, Name, Subscript

if TYPE_CHECKING:
    from ...program.target import Target
    from .state import Frame


def annotated_target(frame: Frame, annotation: Expr) -> Target | None:
    """The class named by an annotation, also inside `Optional[...]` and `... | None`; None if it is not one class."""
    match annotation:
        case Constant(value=str(text)) if text.replace(".", "").isidentifier():
            name: str | None = text
        case Subscript(value=container, index=index) if (plain(container) or "").endswith("Optional"):
            return annotated_target(frame, index)
        case Name() | Attribute():
            name = plain(annotation)
        case _ if getattr(annotation, "kind", "") == "BitOr":
            parts = [annotated_target(frame, part) for part in annotation.parts]  # type: ignore[union-attr]
            known = [part for part in parts if part is not None]
            return known[0] if len(known) == 1 else None
        case _:
            return None
    if name is None:
        return None
    head, _, rest = name.partition(".")
    if head in frame.imports:
        return frame.context.program.absolute(frame.path, frame.imports[head] + (f".{rest}" if rest else ""))
    return frame.context.program.resolve(frame.path, name)
