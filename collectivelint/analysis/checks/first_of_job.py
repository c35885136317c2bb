"""Preparation by one rank of the job before all others: without a shared disk it has no effect on other nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.nodes import Assign, Branch, Call, Compare, Not
from ..effects import events
from .file_polling import branches
from .file_races import names_in

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ...ir.nodes import Expr, Span
    from ..summary.facts import FunctionFacts


def first_of_job(
    facts: FunctionFacts, hints: Collection[str], own: Collection[str]
) -> Iterator[tuple[Span, Span, Span]]:
    """Calls that one rank of the job runs first and the others after a barrier: `if main: data = load()`.

    Yields the spans of the first call, of the barrier and of the second call. `hints` are parts of names for one rank,
    `own` those for one rank of each node.
    """
    barriers = [event.place[0] for event in events(facts.term) if event.kind == "collective"]
    asked = [branch for branch in branches(facts.function.body) if barriers and _is_of_job(branch.test, hints, own)]
    making = [(branch, made) for branch in asked if (made := _made(branch))]
    for first, mine in making[:_MOST]:
        for then, others in making[:_MOST]:
            if first.span.end >= then.span.start or not _are_opposite(first.test, then.test):
                continue
            barrier = next(
                (span for span in barriers if first.span.end < span.start and span.end < then.span.start), None
            )
            if barrier is None:
                continue
            for one, call in mine:
                again = next(
                    (found for made, found in others if made.targets == one.targets and _same(found, call)), None
                )
                if again is not None:
                    yield call.span, barrier, again.span


#: So many branches of a function are compared with one another.
_MOST: Final = 64


def _made(branch: Branch) -> list[tuple[Assign, Call]]:
    """The calls whose results a branch assigns where its condition holds."""
    return [(made, made.value) for made in branch.then if isinstance(made, Assign) and isinstance(made.value, Call)]


def _is_of_job(test: Expr, hints: Collection[str], own: Collection[str]) -> bool:
    """Whether a condition selects one rank of the job, not one of each node."""
    names = [name.lower() for name in names_in((test,))]
    of_node = [word for word in own if word not in hints]
    return any(hint in name for name in names for hint in hints) and not any(
        word in name for name in names for word in of_node
    )


def _are_opposite(one: Expr, other: Expr) -> bool:
    match one, other:
        case (Not(value=value), test) | (test, Not(value=value)):
            return _same(value, test)
        case Compare(), Compare():
            is_same = (one.left, one.right) == (other.left, other.right)
            return is_same and {one.op, other.op} == {"==", "!="}
        case _:
            return False


def _same(one: Expr, other: Expr) -> bool:
    """Whether two expressions are written alike, wherever they stand."""
    if isinstance(one, Call) and isinstance(other, Call):
        return (one.function, one.args, one.keywords) == (other.function, other.args, other.keywords)
    return one == other
