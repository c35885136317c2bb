"""Conditions that nothing in the program makes true.

A flag is False from the start and stays so (`if hooks.stop: return`), or no caller gives an optional parameter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ir.nodes import (
    Assign,
    Attribute,
    Branch,
    Call,
    Compare,
    Constant,
    Exit,
    Logical,
    Name,
    assignments,
    expressions,
    walk,
)
from ..ir.traversal import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..ir.nodes import Block, Expr
    from ..program.resolver import Program
    from ..program.target import Target
    from .texts import Texts
    from .unset_arguments import UnsetArguments


class UnsetFlags:
    """Code that only a user of the program can enable, through a flag or an optional parameter."""

    def __init__(self, program: Program, texts: Texts, arguments: UnsetArguments) -> None:
        """Nothing is read before it is asked for."""
        self._program, self._texts, self._arguments = program, texts, arguments
        self._known: dict[str, bool] = {}

    def close(self, function: Target, lines: Sequence[int]) -> bool:
        """Whether nothing makes the conditions at some lines true, or all exits in their arms are under unset flags."""
        user = self._program.functions(function.path).get(function.name)
        branches = [] if user is None else [*_branches(user.body, ())]
        asked = [(branch, tests) for branch, tests in branches if branch.test_span.line in lines]
        if asked and all(any(self._is_unset(function, test) for test in tests) for _, tests in asked):
            return True
        exits = [tests for branch, _ in asked for tests in _exits((*branch.then, *branch.orelse), ())]
        return bool(exits) and all(any(self._is_unset(function, test) for test in tests) for tests in exits)

    def _is_unset(self, function: Target, test: Expr) -> bool:
        match test:
            case Logical(op="and", values=parts, negated=False):
                return any(self._is_unset(function, part) for part in parts)
            case Compare(op="is not" | "!=", left=Name(id=name), right=Constant(value=None)):
                return self._arguments.is_unset(function, name, none=True)
            case Name(id=name):
                return self._arguments.is_unset(function, name, none=False)
            case Attribute(name=name):
                if name not in self._known:
                    self._known[name] = self._is_never_set(name)
                return self._known[name]
            case _:
                return False

    def _is_never_set(self, name: str) -> bool:
        """Whether only falsy constants are assigned to an attribute of this name, on any object."""
        values = [value for path in self._texts.files(name) for value in self._values(path, name)]
        return bool(values) and all(isinstance(value, Constant) and not value.value for value in values)

    def _values(self, path: str, name: str) -> Iterator[Expr | None]:
        for function in self._program.functions(path).values():
            for statement in assignments(function.body):
                yield from _assigned(statement, name)
            for expr in expressions(function.body):
                if isinstance(expr, Constant) and expr.value == name:
                    # `setattr(hooks, "stop", True)`, or a key that becomes an attribute.
                    yield None
                elif isinstance(expr, Call):
                    yield from (value for word, value in expr.keywords if word == name)


def _assigned(statement: Assign, name: str) -> Iterator[Expr | None]:
    """The values a statement assigns to an attribute of this name, or to a variable, which may be a class attribute."""
    for target in (part for whole in statement.targets for part in walk(whole)):
        if (isinstance(target, Attribute) and target.name == name) or target == Name(name):
            yield statement.value


def _branches(block: Block, tests: tuple[Expr, ...]) -> Iterator[tuple[Branch, tuple[Expr, ...]]]:
    """The branches of a block, each with the conditions that are true in its body; none if it has an `else`."""
    for statement in block:
        if isinstance(statement, Branch):
            inside = (*tests, statement.test)
            yield statement, () if statement.orelse else inside
            yield from _branches(statement.then, inside)
            yield from _branches(statement.orelse, tests)
        else:
            for inner in blocks(statement):
                yield from _branches(inner, tests)


def _exits(block: Block, tests: tuple[Expr, ...]) -> Iterator[tuple[Expr, ...]]:
    """For each exit of a block the conditions that are true on the path to it."""
    for statement in block:
        if isinstance(statement, Exit):
            yield tests
        elif isinstance(statement, Branch):
            yield from _exits(statement.then, (*tests, statement.test))
            yield from _exits(statement.orelse, tests)
        else:
            for inner in blocks(statement):
                yield from _exits(inner, tests)
