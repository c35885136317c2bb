"""What follows from the answer of a look-up: which condition asks it, and where the path is known to be there."""

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
    """Whether a condition asks a look-up itself: it stands there, or in the function, in what a variable of it is assigned."""
    if guard.span.contains(site) or any(_both(head, site, guard.span) for head in _heads(facts.function.body)):
        return True
    is_direct = (look.cause.path, look.cause.span) == (facts.function.path, site)
    return is_direct and not any(cause.kind == "branch" for cause in guard.causes)


def is_found(facts: FunctionFacts, guard: Guard, site: Span) -> bool:
    """Whether a condition, or one around it, asks if a call has found anything: `path = newest(folder)`, `if path is None:`.

    An answer that is compared is an old one by then, and the path a means to it: the epoch to start with, the step to go on
    from.
    """
    tests = [branch.test for branch in branches(facts.function.body) if branch.span.contains(guard.span)]
    asked = {name for test in tests if (name := _whether(test)) is not None}
    kept = [item for item in assignments(facts.function.body) if item.span.contains(site)]
    return any(isinstance(target, Name) and target.id in asked for item in kept for target in item.targets)


def _whether(test: Expr) -> str | None:
    """The variable of which a condition asks whether it is there, or has anything in it."""
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
    """Whether what is looked for is there (or not) wherever a place is reached; None where the condition does not say."""
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
    """The conditions of a block, and what its loops run over."""
    loops = [statement.head for statement in statements(block) if isinstance(statement, Loop)]
    return [*loops, *(branch.test_span for branch in branches(block))]


def _leaves(block: Block) -> bool:
    return bool(block) and isinstance(block[-1], Exit)
