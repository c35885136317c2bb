"""Writes by one rank in one place of a function and by all ranks in another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.nodes import Branch, Exit, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...ir.nodes import Block, Span, Statement
    from ..summary.facts import FunctionFacts
    from ..summary.file_use import FileUse
    from ..summary.model import Note


def write_pairs(facts: FunctionFacts) -> Iterator[tuple[Note, Note]]:
    """Pairs of calls of one function: on all ranks, and on one rank."""
    writes = [note for note in facts.notes if note.kind == "write"]
    for note in writes:
        guarded = next((other for other in writes if other.alone and other.callee == note.callee), None)
        if not note.alone and guarded is not None:
            yield note, guarded


def saved_again(facts: FunctionFacts) -> Iterator[tuple[FileUse, FileUse]]:
    """Writes of state by all ranks, each with a write to the same path by one rank alone, on the same way through."""
    saves = [use for use in facts.files if use.use == "write" and use.state is not None]
    for use in saves:
        for other in saves:
            same = other.path.symbol is use.path.symbol and other.api == use.api
            if same and other.alone and not use.few and _passed_by(facts.function.body, other.span, use.span):
                yield use, other
                break


def _passed_by(block: Block, inner: Span, outer: Span) -> bool:
    """Whether a conditional place `inner` is in the same block as `outer`, with no exit that separates them."""
    for statement in block:
        if any(_passed_by(part, inner, outer) for part in blocks(statement)):
            return True
    found = next((statement for statement in block if statement.span.contains(inner)), None)
    beside = any(statement.span.contains(outer) and not list(blocks(statement)) for statement in block)
    return isinstance(found, Branch) and beside and not _leaves(found)


def _leaves(statement: Statement) -> bool:
    return isinstance(statement, Exit) or any(_leaves(inner) for block in blocks(statement) for inner in block)
