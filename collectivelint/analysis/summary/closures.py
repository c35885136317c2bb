"""Variables of the enclosing function, read through the solver only when a nested function looks one up."""

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
    """The variables of the enclosing functions. `bound` names the possible ones; no other name triggers `variables`."""

    def __init__(self, bound: frozenset[str], variables: Callable[[], Mapping[str, Value]]) -> None:
        """`variables` reads the facts of the enclosing function."""
        self._bound, self._variables = bound, variables

    def __contains__(self, name: object) -> bool:
        """Whether an enclosing function has such a variable."""
        return name in self._bound and name in self._variables()

    def __getitem__(self, name: str) -> Value:
        """The value of a variable of an enclosing function."""
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
    """The name of the enclosing function of a nested one; empty for others."""
    return qualname.rpartition(".<locals>.")[0]


def bound_around(program: Program, path: str, qualname: str) -> frozenset[str]:
    """The names bound by the functions that enclose a nested one."""
    found: set[str] = set()
    functions = program.functions(path)
    while qualname := enclosing(qualname):
        if qualname in functions:
            found |= bound_in(functions[qualname])
    return frozenset(found)


def bound_in(function: Function) -> set[str]:
    """The parameters and variables of a function."""
    found = {parameter.name for parameter in function.params}
    _add_bound(function.body, found)
    found.update([expr.name for expr in expressions(function.body) if isinstance(expr, Bind)])
    return found


def _add_bound(block: Block, found: set[str]) -> None:
    for statement in block:
        if isinstance(statement, Assign):
            for target in statement.targets:
                _add_names(target, found)
        elif isinstance(statement, Loop):
            if statement.target is not None:
                _add_names(statement.target, found)
        elif isinstance(statement, With):
            for _, bound in statement.items:
                if bound is not None:
                    _add_names(bound, found)
        elif isinstance(statement, Try):
            found.update([name for _, name, _ in statement.handlers if name is not None])
        elif isinstance(statement, Define):
            found.add(statement.name)
        for inner in blocks(statement):
            _add_bound(inner, found)


def _add_names(target: Expr, found: set[str]) -> None:
    if isinstance(target, Name):
        found.add(target.id)
    elif isinstance(target, Compound):
        for part in target.parts:
            _add_names(part, found)
