"""Conditions on the result of a file look-up, and the places where the path is known to exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.nodes import Call, Compare, Constant, Exit, Logical, Loop, Name, Not, assignments
from .file_polling import branches, holds, statements

if TYPE_CHECKING:
    from ...ir.nodes import Block, Expr, Span
    from ..effects import Guard
    from ..summary.facts import FunctionFacts
    from ..summary.observed import PathUse


def is_asked(facts: FunctionFacts, guard: Guard, site: Span, look: PathUse) -> bool:
    """Whether a condition depends on a look-up itself: it contains it, or a variable that is assigned from it."""
    if guard.span.contains(site) or any(_both(head, site, guard.span) for head in _heads(facts.function.body)):
        return True
    is_direct = (look.cause.path, look.cause.span) == (facts.function.path, site)
    return is_direct and not any(cause.kind == "branch" for cause in guard.causes)


def is_found(facts: FunctionFacts, guard: Guard, site: Span) -> bool:
    """Whether this or an enclosing condition tests the call's result: `path = newest(folder)`, `if path is None:`.

    A result that is only compared counts as outdated by then, and the path as a means to it, such as the epoch or step
    to resume from.
    """
    tests = [branch.test for branch in branches(facts.function.body) if branch.span.contains(guard.span)]
    asked = {name for test in tests if (name := _whether(test)) is not None}
    kept = [item for item in assignments(facts.function.body) if item.span.contains(site)]
    return any(isinstance(target, Name) and target.id in asked for item in kept for target in item.targets)


def _whether(test: Expr) -> str | None:
    """The variable that a condition tests for None or truth."""
    match test:
        case Not(value=value) | Compare(left=value, op="is" | "is not", right=Constant(value=None)):
            return _whether(value)
        case Name(id=name):
            return name
        case _:
            return None


def is_guarded(block: Block, guard: Guard, look: Span, site: Span) -> bool:
    """Whether a place is reached only for one of the answers to a look-up."""
    for statement in statements(block):
        if isinstance(statement, Loop) and holds(statement.body, site) and _of_answer(statement.head, guard, look):
            return True
    for branch in branches(block):
        if not _of_answer(branch.test_span, guard, look):
            continue
        if holds(branch.then, site) or holds(branch.orelse, site):
            return True
        if branch.span < site and _leaves(branch.then) is not _leaves(branch.orelse):
            return True
    return False


def is_present(block: Block, guard: Guard, look: Span, site: Span) -> bool | None:
    """Whether the looked-up path exists (or not) wherever a place is reached; None where the condition does not say."""
    found: bool | None = None
    for branch in branches(block):
        if not _of_answer(branch.test_span, guard, look):
            continue
        there = says(branch.test, look)
        if there is None:
            continue
        if holds(branch.then, site):
            found = there
        elif holds(branch.orelse, site) or (branch.span < site and _leaves(branch.then) and not _leaves(branch.orelse)):
            found = not there
    return found


def says(test: Expr, look: Span) -> bool | None:
    """Whether a condition holds where the path is there (or where it is not)."""
    match test:
        case Not(value=value):
            there = says(value, look)
            return None if there is None else not there
        case Logical(values=values):
            return next((there for value in values if (there := says(value, look)) is not None), None)
        case Call(span=span) if span == look:
            return True
        case _:
            return None


def _of_answer(test: Span, guard: Guard, look: Span) -> bool:
    return test.contains(look) or test.contains(guard.span)


def _both(head: Span, one: Span, other: Span) -> bool:
    return head.contains(one) and head.contains(other)


def _heads(block: Block) -> list[Span]:
    """The conditions of a block, and the iterables of its loops."""
    loops = [statement.head for statement in statements(block) if isinstance(statement, Loop)]
    return [*loops, *(branch.test_span for branch in branches(block))]


def _leaves(block: Block) -> bool:
    return bool(block) and isinstance(block[-1], Exit)
