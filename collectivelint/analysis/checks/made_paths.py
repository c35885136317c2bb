"""Paths that exist before they are looked up: each rank has made them, or one rank before a collective of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.nodes import Branch, Call, Logical, Loop, blocks, expressions, walk
from ..calls.path_uses import LOOKS
from ..domain.paths import parts
from ..domain.symbol import WORLD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ...ir.nodes import Block, Expr, Span
    from ..summary.facts import FunctionFacts
    from ..summary.file_use import FileUse
    from ..summary.observed import PathUse


def made_before(facts: FunctionFacts, look: FileUse, is_harmless: Callable[[Expr], bool]) -> bool:
    """Whether a function has made a path wherever it, or one of its callees, looks it up.

    `is_harmless` says whether a condition only tests for ranks or for the absence of the path: after the call under it,
    all ranks find the path.
    """
    uses = list(facts.paths.values())
    # The path is kept under the name of the variable that holds it, and under what that was assigned.
    return any(
        asked.use in LOOKS
        and (asked.cause.path, asked.cause.span) == (look.function.path, look.span)
        and any(
            _makes(facts, use, asked, uses[index:number])
            and (use.cause.path, use.cause.span) == (facts.function.path, made)
            and _is_passed(facts.function.body, made, site, is_harmless)
            for index, (made, use) in enumerate(uses[:number])
        )
        for number, (site, asked) in enumerate(uses)
    )


def _makes(facts: FunctionFacts, use: PathUse, asked: PathUse, between: list[tuple[Span, PathUse]]) -> bool:
    """Whether every rank that comes from a call which makes the path finds it."""
    path = parts(asked.path, {})
    if use.use != "make" or parts(use.path, {}) != path:
        return False
    if any(other.use in ("remove", "move") and parts(other.path, {}) == path for _, other in between):
        return False
    meetings = facts.meetings[use.met : asked.met]
    return not use.alone or any(met.group is WORLD and set(met.when) <= set(asked.when) for met in meetings)


def _is_passed(block: Block, made: Span, site: Span, is_harmless: Callable[[Expr], bool]) -> bool:
    """Whether the ranks that reach a site have run an earlier call, apart from harmless conditions on it."""
    for statement in _around(block, made):
        if statement.span.contains(site) and (not isinstance(statement, Branch) or _same_arm(statement, made, site)):
            continue
        if isinstance(statement, Loop):
            return False
        if statement.test_span.contains(made):
            continue
        test = statement.test
        operands = test.values if isinstance(test, Logical) and test.op == "and" else (test,)
        given = _given(statement.then, made)
        if not any(part.span.contains(made) for part in statement.then):
            return False
        # `if folder: makedirs(folder)`: where no path was asked for, none is looked for.
        if not all(operand in given or is_harmless(operand) for operand in operands):
            return False
    return True


def _given(block: Block, site: Span) -> list[Expr]:
    """The expressions in the call at a site."""
    return [part for expr in expressions(block) if isinstance(expr, Call) and expr.span == site for part in walk(expr)]


def _same_arm(branch: Branch, one: Span, other: Span) -> bool:
    arms = [branch.then, branch.orelse]
    return any(all(any(part.span.contains(span) for part in arm) for span in (one, other)) for arm in arms)


def _around(block: Block, span: Span) -> Iterator[Branch | Loop]:
    """The conditions and the loops around a place."""
    for statement in block:
        if statement.span.contains(span):
            if isinstance(statement, (Branch, Loop)):
                yield statement
            for inner in blocks(statement):
                yield from _around(inner, span)
