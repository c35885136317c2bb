"""Fixes of one call or of one statement: found on its syntax tree when the fix is shown, rewritten, and turned into edits."""

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
    """Builds the fix that puts `rewrite(call)` in the place of the call at `site`; none where that is None or no change."""

    def build(context: FixContext) -> Fix | None:
        edits = call_edits(context, site.statement, site.span, rewrite)
        return Fix(applicability, message, edits) if edits else None

    return build


def call_edits(
    context: FixContext, statement: Span, span: Span, rewrite: Callable[[cst.Call], cst.CSTNode | None]
) -> tuple[Edit, ...]:
    """The edits that put `rewrite(call)` in the place of the call at `span` of a statement."""
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
    """Builds the fix that puts what `rewrite` returns in the place of a statement which stands on lines of its own."""

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
