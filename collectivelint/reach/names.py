"""What names mean inside functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ir.nodes import Assign, Bind, Compound, Loop, Name, With, assignments, blocks, expressions, walk
from ..program.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..ir.nodes import Block, Expr, Function
    from ..program.resolver import Program


def resolve(program: Program, function: Function, name: str) -> Target | None:
    """What a dotted name means inside a function: through its imports, those of enclosing functions, or the module."""
    head, _, rest = name.partition(".")
    scope: Function | None = function
    while scope is not None:
        nested = f"{scope.qualname}.<locals>.{name}"
        functions = program.functions(function.path)
        if nested in functions:
            return Target("function", function.path, nested)
        imported = dict(scope.imports).get(head)
        if imported is not None:
            return program.absolute(function.path, f"{imported}.{rest}" if rest else imported)
        if any(parameter.name == head for parameter in scope.params):
            return None
        outer = scope.qualname.rpartition(".<locals>.")[0]
        scope = functions.get(outer) if outer else None
    found = program.resolve(function.path, name)
    is_own = function.qualname != "<module>" and found is not None and found.path == function.path
    if is_own and any(Name(head) in assign.targets for assign in assignments(function.body)):
        # A variable of the function hides what the module calls so.
        return None
    return found


def assigned(function: Function, variable: Expr) -> list[Expr | None]:
    """All values that a function assigns to a variable; None for each value without an expression of its own.

    Such values are elements of an unpacked tuple, or come from a loop, `with` or an augmented assignment.
    """
    found = list(_assigned(function.body, variable))
    for expr in expressions(function.body):
        if isinstance(expr, Bind) and isinstance(variable, Name) and expr.name == variable.id:
            found.append(expr.value)
    return found


def _assigned(block: Block, variable: Expr) -> Iterator[Expr | None]:
    for statement in block:
        match statement:
            case Assign(targets=targets, value=value):
                for target in targets:
                    if target == variable:
                        is_augmented = isinstance(value, Compound) and variable in value.parts
                        yield None if is_augmented else value
                    elif isinstance(target, Compound) and variable in walk(target):
                        yield None
            case Loop(target=target) if target is not None and variable in walk(target):
                yield None
            case With(items=items):
                yield from (None for _, target in items if target is not None and variable in walk(target))
        for inner in blocks(statement):
            yield from _assigned(inner, variable)
