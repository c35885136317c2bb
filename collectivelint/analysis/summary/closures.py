"""What a function sees of the function around it: read through the solver, and only where a name is looked up there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...ir.nodes import Assign, Bind, Compound, Define, Expr, Loop, Name, Try, With, blocks, expressions
from ..domain.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ...ir.nodes import Block, Function
    from ...program.resolver import Program


class Closure(Mapping[str, Value]):
    """The variables around a nested function. `bound` names those that there can be; others do not ask for `variables`."""

    def __init__(self, bound: frozenset[str], variables: Callable[[], Mapping[str, Value]]) -> None:
        """`variables` reads the facts of the function around."""
        self._bound, self._variables = bound, variables

    def __contains__(self, name: object) -> bool:
        """Whether the function around has such a variable."""
        return name in self._bound and name in self._variables()

    def __getitem__(self, name: str) -> Value:
        """The value of a variable of the function around."""
        if name not in self._bound:
            raise KeyError(name)
        return self._variables()[name]

    def __iter__(self) -> Iterator[str]:
        """The names of all variables."""
        return iter(self._variables())

    def __len__(self) -> int:
        """How many variables there are."""
        return len(self._variables())


def enclosing(qualname: str) -> str:
    """The function around a nested one; empty for others."""
    return qualname.rpartition(".<locals>.")[0]


def bound_around(program: Program, path: str, qualname: str) -> frozenset[str]:
    """The names that the functions around a nested one bind."""
    found: set[str] = set()
    functions = program.functions(path)
    while qualname := enclosing(qualname):
        if qualname in functions:
            found |= bound_in(functions[qualname])
    return frozenset(found)


def bound_in(function: Function) -> set[str]:
    """The parameters and variables of a function."""
    return {parameter.name for parameter in function.params} | set(_bound(function.body))


def _bound(block: Block) -> Iterator[str]:
    for statement in block:
        match statement:
            case Assign(targets=targets):
                for target in targets:
                    yield from _names(target)
            case Loop(target=over) if over is not None:
                yield from _names(over)
            case With(items=items):
                for _, bound in items:
                    if bound is not None:
                        yield from _names(bound)
            case Try(handlers=handlers):
                yield from (name for _, name, _ in handlers if name is not None)
            case Define(name=name):
                yield name
        for inner in blocks(statement):
            yield from _bound(inner)
    for expr in expressions(block):
        if isinstance(expr, Bind):
            yield expr.name


def _names(target: Expr) -> Iterator[str]:
    match target:
        case Name(id=name):
            yield name
        case Compound(parts=parts):
            for part in parts:
                yield from _names(part)
