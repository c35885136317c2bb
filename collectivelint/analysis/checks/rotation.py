"""Checkpoints that are rotated: the previous one is removed before or after the new one is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.nodes import Assign, Attribute, Call, Constant, Name, expressions, walk
from .file_polling import statements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...ir.nodes import Block, Expr, Span
    from ..summary.facts import FunctionFacts
    from ..summary.observed import PathUse

#: What writes a checkpoint.
_SAVES: Final = frozenset({"write", "save", "checkpoint"})
_KEEPS: Final = frozenset({"append", "appendleft", "add", "insert"})


def removed_too_early(facts: FunctionFacts) -> Iterator[tuple[Span, PathUse, Span, PathUse]]:
    """Removals of what a method saved in its last run, each with the next call that writes state.

    Afterwards the method stores what it has written: `rmtree(self.last)`, `torch.save(state, path)`, `self.last =
    path`.
    """
    function = facts.function
    if function.owner is None or not function.params:
        return
    uses = list(facts.paths.values())
    if not any(use.use == "remove" for _, use in uses):
        return
    own, done = function.params[0].name, set[str]()
    for number, (site, removal) in enumerate(uses):
        saved = [(at, use) for at, use in uses[number + 1 :] if use.use in _SAVES and site < at]
        if removal.use != "remove" or not saved or any(use.use in _SAVES and at < site for at, use in uses[:number]):
            continue
        at, write = saved[0]
        for name in _attributes_at(function.body, site, own):
            if name not in done and _is_kept_after(function.body, at, own, name):
                done.add(name)
                yield site, removal, at, write


def _attributes_at(block: Block, site: Span, own: str) -> list[str]:
    """The attributes of the object in the call at a place."""
    call = next((expr for expr in expressions(block) if isinstance(expr, Call) and expr.span == site), None)
    parts = () if call is None else (part for arg in (*call.args, *dict(call.keywords).values()) for part in walk(arg))
    return [part.name for part in parts if isinstance(part, Attribute) and part.value == Name(own)]


def _is_kept_after(block: Block, site: Span, own: str, name: str) -> bool:
    """Whether an attribute is assigned a value that is no constant, or gets an element, after a place."""
    kept = Attribute(Name(own), name)
    for statement in statements(block):
        if isinstance(statement, Assign) and site < statement.span and kept in statement.targets:
            return not isinstance(statement.value, Constant)
    added = (expr for expr in expressions(block) if isinstance(expr, Call) and site < expr.span)
    return any(_adds_to(expr.function, kept) for expr in added)


def _adds_to(function: Expr, kept: Expr) -> bool:
    return isinstance(function, Attribute) and function.name in _KEEPS and function.value == kept
