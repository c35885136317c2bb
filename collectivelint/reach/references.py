"""The references of a file: which names its functions use, under which conditions, and passed to which calls."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from ..ir.names import plain
from ..ir.nodes import (
    Attribute,
    Branch,
    Call,
    Compare,
    Conditional,
    Constant,
    Exit,
    Lambda,
    Logical,
    Loop,
    Name,
    Not,
    Try,
    With,
)
from ..ir.traversal import blocks, children, parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..ir.nodes import Block, Expr, Function, Statement

#: A condition that holds (True) or does not (False) where something stands.
Condition: TypeAlias = "tuple[Expr, bool]"

#: Calls that return a function which calls their first argument.
_PARTIAL: Final = frozenset({"partial", "partialmethod"})


@dataclass(frozen=True, slots=True)
class Passed:
    """The call that takes something as an argument, and the argument's position or keyword."""

    call: Call
    slot: int | str


@dataclass(frozen=True, slots=True)
class Reference:
    """A use of a name in a function: dotted as written, with a leading dot if it follows another expression.

    `parts` are those of the name; an alias from an import is replaced by the name it has where it is defined.
    """

    function: Function
    name: str
    parts: tuple[str, ...]
    conditions: tuple[Condition, ...]
    #: The arguments it is part of, the innermost last; a function that is passed by `partial` or in a `lambda` is passed itself.
    passed: Passed | None
    is_called: bool
    #: Whether it is only compared with something, or is a condition itself.
    is_tested: bool = False

    @property
    def last(self) -> str:
        """The last part of the name."""
        return self.parts[-1]

    def upto(self, part: str) -> str:
        """The name as written, up to and including one of its parts."""
        return ".".join(self.name.split(".")[: self.parts.index(part) + 1])


def references(
    functions: Mapping[str, Function], imports: Mapping[str, tuple[str, ...]] = MappingProxyType({})
) -> Mapping[str, list[Reference]]:
    """By each part of their names, the references of all functions of a file; `imports` are those of its module."""
    found: defaultdict[str, list[Reference]] = defaultdict(list)
    bound = [(own, target) for own, targets in imports.items() for target in targets]
    for function in functions.values():
        renamed = _renamed([*bound, *_imports_around(function, functions)])
        for reference in _of_function(function, _scope(function, functions), renamed):
            for part in dict.fromkeys(reference.parts):
                if part:
                    found[part].append(reference)
    return found


def _imports_around(function: Function, functions: Mapping[str, Function]) -> Iterator[tuple[str, str]]:
    """The imports of a function and of its enclosing functions, innermost last."""
    outer = functions.get(function.qualname.rpartition(".<locals>.")[0])
    if outer is not None:
        yield from _imports_around(outer, functions)
    yield from function.imports


def _renamed(bound: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The aliases among imports, with the names that they have where they are defined."""
    return {own: last for own, target in bound if (last := target.rpartition(".")[2]) not in ("", own)}


def _scope(function: Function, functions: Mapping[str, Function]) -> Function:
    """The body that contains a function's definition: its decorators and parameter defaults are evaluated there."""
    outer, nested, _ = function.qualname.rpartition(".<locals>.")
    scope = outer if nested else f"{function.owner}.<class>" if function.owner is not None else "<module>"
    return functions.get(scope, function)


def _of_function(function: Function, around: Function, renamed: Mapping[str, str]) -> Iterator[Reference]:
    walker = _Walker(around, renamed)
    for decorator in function.decorators:
        yield from walker.expression(decorator, (), None)
    for parameter in function.params:
        if parameter.default is not None:
            yield from walker.expression(parameter.default, (), None)
    walker = _Walker(function, renamed)
    yield from walker.block(function.body, ())


class _Walker:
    """Walks one function, tracking the conditions that hold."""

    def __init__(self, function: Function, renamed: Mapping[str, str]) -> None:
        self._function, self._names = function, renamed

    def _reference(
        self,
        name: str,
        conditions: tuple[Condition, ...],
        passed: Passed | None,
        *,
        is_called: bool = False,
        is_tested: bool = False,
    ) -> Reference:
        head, *rest = name.split(".")
        parts = (self._names.get(head, head), *rest)
        return Reference(self._function, name, parts, conditions, passed, is_called, is_tested)

    def block(self, block: Block, conditions: tuple[Condition, ...]) -> Iterator[Reference]:
        for statement in block:
            yield from self._statement(statement, conditions)
            if isinstance(statement, Branch):
                # Behind `if rank != 0: return` only rank 0 goes on.
                if leaves(statement.then):
                    conditions = (*conditions, (statement.test, False))
                if leaves(statement.orelse):
                    conditions = (*conditions, (statement.test, True))

    def _statement(self, statement: Statement, conditions: tuple[Condition, ...]) -> Iterator[Reference]:
        for expr in parts(statement):
            if isinstance(statement, Branch):
                yield from self._tested(expr, conditions)
            else:
                yield from self.expression(expr, conditions, None)
        match statement:
            case Branch(test=test, then=then, orelse=orelse):
                yield from self.block(then, (*conditions, (test, True)))
                yield from self.block(orelse, (*conditions, (test, False)))
            case Loop() | With() | Try():
                for inner in blocks(statement):
                    yield from self.block(inner, conditions)

    def expression(self, expr: Expr, conditions: tuple[Condition, ...], passed: Passed | None) -> Iterator[Reference]:
        match expr:
            case Name() | Attribute():
                yield from self._name(expr, conditions, passed, is_called=False)
            case Call(function=function, args=args, keywords=keywords):
                if isinstance(function, (Name, Attribute)):
                    yield from self._name(function, conditions, None, is_called=True)
                else:
                    yield from self.expression(function, conditions, None)
                is_partial = (plain(function) or "").rpartition(".")[2] in _PARTIAL
                for position, arg in enumerate(args):
                    hand_on = is_partial and position == 0
                    # Behind `*args` no position is known.
                    slot = "*" if expr.spread else position
                    yield from self.expression(arg, conditions, passed if hand_on else Passed(expr, slot))
                for word, value in keywords:
                    yield from self.expression(value, conditions, Passed(expr, word))
            case Lambda(body=Call(function=Name() | Attribute() as function) as body):
                yield from self._name(function, conditions, passed, is_called=False)
                for part in children(body)[1:]:
                    yield from self.expression(part, conditions, None)
            case Lambda(body=body):
                yield from self.expression(body, conditions, None)
            case Conditional(test=test, then=then, orelse=orelse):
                yield from self._tested(test, conditions)
                yield from self.expression(then, (*conditions, (test, True)), passed)
                yield from self.expression(orelse, (*conditions, (test, False)), passed)
            case Logical(op=op, values=values):
                for value in values:
                    yield from self._tested(value, conditions)
                    conditions = (*conditions, (value, op == "and"))
            case Not(value=value):
                yield from self._tested(value, conditions)
            case Compare(left=left, right=right):
                yield from self._tested(left, conditions)
                yield from self._tested(right, conditions)
            case Constant():
                pass
            case _:
                for part in children(expr):
                    yield from self.expression(part, conditions, None)

    def _tested(self, expr: Expr, conditions: tuple[Condition, ...]) -> Iterator[Reference]:
        if isinstance(expr, Name):
            yield self._reference(expr.id, conditions, None, is_tested=True)
        else:
            yield from self.expression(expr, conditions, None)

    def _name(
        self, expr: Name | Attribute, conditions: tuple[Condition, ...], passed: Passed | None, *, is_called: bool
    ) -> Iterator[Reference]:
        name = plain(expr)
        if name is None and isinstance(expr, Attribute):
            suffix = expr.name
            base = expr.value
            while isinstance(base, Attribute):
                suffix, base = f"{base.name}.{suffix}", base.value
            name = f".{suffix}"
            yield from self.expression(base, conditions, None)
        if name is not None:
            yield self._reference(name, conditions, passed, is_called=is_called)


def leaves(block: Block) -> bool:
    """Whether a block ends with an exit, so that the code after it is not reached from it."""
    return bool(block) and isinstance(block[-1], Exit)
