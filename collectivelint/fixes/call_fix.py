"""Fixes of one call or statement: located in the syntax tree when the fix is shown, and rewritten as edits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..finding import Fix

if TYPE_CHECKING:
    from collections.abc import Callable

    import libcst as cst

    from ..finding import Applicability, Edit
    from ..findings.anchor import Anchored
    from ..ir.nodes import Span
    from ..rule import FixBuilder, FixContext, Site


def call_fix(
    site: Site, applicability: Applicability, message: str, rewrite: Callable[[cst.Call], cst.CSTNode | None]
) -> FixBuilder:
    """Builds the fix that replaces the call at `site` with `rewrite(call)`; no fix if that is None or equal."""

    def build(context: FixContext) -> Fix | None:
        edits = call_edits(context, site.statement, site.span, rewrite)
        return Fix(applicability, message, edits) if edits else None

    return build


def call_edits(
    context: FixContext, statement: Span, span: Span, rewrite: Callable[[cst.Call], cst.CSTNode | None]
) -> tuple[Edit, ...]:
    """The edits that replace the call at `span` of a statement with `rewrite(call)`."""
    import libcst as cst

    anchored = context.anchor(statement)
    call = anchored.find(cst.Call, span) if anchored is not None else None
    if anchored is None or call is None:
        return ()
    new = rewrite(call)
    return anchored.replace(call, new) if new is not None else ()


def statement_fix(
    statement: Span,
    applicability: Applicability,
    message: str,
    rewrite: Callable[[Anchored], cst.BaseStatement | list[cst.BaseStatement] | None],
) -> FixBuilder:
    """Builds the fix that replaces a statement, which stands on lines of its own, with the result of `rewrite`."""

    def build(context: FixContext) -> Fix | None:
        import libcst as cst

        if context.source.text.startswith("elif", context.source.offset(statement.line, statement.column)):
            # What stands behind it would stand behind the whole chain, or end it.
            return None
        anchored = context.anchor(statement)
        new = rewrite(anchored) if anchored is not None and anchored.alone else None
        if anchored is None or new is None:
            return None
        edits = anchored.replace(anchored.statement, cst.FlattenSentinel(new) if isinstance(new, list) else new)
        return Fix(applicability, message, edits) if edits else None

    return build
