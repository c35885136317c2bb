"""Nested functions that the enclosing function uses in two ways, split by the condition that they test themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.nodes import Branch, Name, Not, assignments, blocks, parts, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...ir.nodes import Block, Expr, Function, Statement
    from ..effects import Guard


def is_told_apart(outer: Function, function: Function, guard: Guard) -> bool:
    """Whether the enclosing function uses a nested one in both arms of the condition that the nested one tests.

    `if rank == 0: optimizer.step(closure)`, `else: while ...: closure()`: what one side skips inside, it runs where it
    calls the function. The difference between the arms is judged in the enclosing function.
    """
    asked = _asked(function.body, guard)
    if not asked or not _are_kept(asked, outer, function):
        return False
    *around, test = asked
    name = function.qualname.rpartition(".")[2]
    return set(_uses(outer.body, name, test, around)) == {True, False}


def _asked(block: Block, guard: Guard) -> list[Expr]:
    """The enclosing conditions as they hold there, followed by the condition at the place of a guard."""
    for statement in block:
        if isinstance(statement, Branch) and statement.test_span == guard.span:
            return [statement.test]
        for number, inner in enumerate(blocks(statement)):
            found = _asked(inner, guard)
            if found:
                return [*_holding(statement, number), *found]
    return []


def _holding(statement: Statement, number: int) -> list[Expr]:
    """The condition that holds in a block of a statement."""
    if not isinstance(statement, Branch):
        return []
    return [statement.test if number == 0 else _opposite(statement.test)]


def _opposite(test: Expr) -> Expr:
    return test.value if isinstance(test, Not) else Not(test)


def _are_kept(asked: list[Expr], outer: Function, function: Function) -> bool:
    """Whether conditions depend only on variables of the enclosing function that neither function reassigns."""
    read = {part.id for test in asked for part in walk(test) if isinstance(part, Name)}
    given = {parameter.name for parameter in outer.params}
    own = {parameter.name for parameter in function.params}
    assigned = [target for body in (outer.body, function.body) for item in assignments(body) for target in item.targets]
    written = {part.id for target in assigned for part in walk(target) if isinstance(part, Name)}
    return bool(read) and read <= given and read.isdisjoint(own | written)


def _uses(
    block: Block, name: str, test: Expr, around: Sequence[Expr], side: bool | None = None
) -> Iterator[bool | None]:
    """For each use of a function's name: whether the condition is true there; None where that is not known.

    Places where one of the conditions `around` it is false are skipped.
    """
    for statement in block:
        yield from (side for expr in parts(statement) for part in walk(expr) if part == Name(name))
        for number, inner in enumerate(blocks(statement)):
            known = _holding(statement, number)
            if any(_opposite(condition) in known for condition in around):
                continue
            here = True if test in known else False if _opposite(test) in known else side
            yield from _uses(inner, name, test, around, here)
