"""Single-process programs that read a launcher's environment only to create the process group a library needs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from ..ir.names import plain
from ..ir.nodes import Call, Compare, Constant, Name, expressions, walk
from .names import assigned, resolve

if TYPE_CHECKING:
    from ..catalog.model import Catalog
    from ..ir.nodes import Expr, Function
    from ..program.resolver import Program
    from .callers import Callers

_INIT: Final = "init_process_group"
#: What the arguments of the group are where there is no launcher.
_ALONE: Final = {"rank": (0, "0"), "world_size": (1, "1")}
#: What there is only for several ranks.
_OF_RANKS: Final = (
    "collective",
    "point_to_point",
    "group_constructor",
    "group_accessor",
    "rank_source",
    "guard",
    "decorator",
    "registration",
)


class DefaultOfOne:
    """Which files create a group that has one rank unless launched with more, and do not use it themselves."""

    def __init__(self, program: Program, catalog: Catalog, callers: Callers) -> None:
        """Nothing is read before it is asked for."""
        self._program, self._catalog, self._callers = program, catalog, callers
        self._environment = {*catalog.environment, *catalog.sizes}
        self._files: dict[str, bool] = {}

    def is_file(self, path: str) -> bool:
        """Whether a file is such a program."""
        if path not in self._files:
            self._files[path] = self._is_file(path)
        return self._files[path]

    def _is_file(self, path: str) -> bool:
        functions = self._program.functions(path).values()
        makers = [function for function in functions if _makes_group(function)]
        return (
            bool(makers)
            and all(map(self._defaults_to_one, makers))
            and not any(self._reads_environment(function) for function in functions if function not in makers)
            and not self._uses_ranks(path)
        )

    def _defaults_to_one(self, function: Function) -> bool:
        """Whether rank and size come from environment variables with the defaults 0 and 1, and decide nothing else."""
        given = [dict(call.keywords) for call in _inits(function)]
        names = [arguments.get(role) for arguments in given for role in _ALONE]
        if not all(isinstance(name, Name) for name in names):
            return False
        for arguments in given:
            for role, alone in _ALONE.items():
                values = assigned(function, arguments[role])
                if not values or not all(value is not None and self._reads(value, alone) for value in values):
                    return False
        asked = [part for expr in expressions(function.body) if isinstance(expr, Compare) for part in walk(expr)]
        return not any(name in asked for name in names)

    def _reads(self, value: Expr, alone: tuple[int, str]) -> bool:
        """Whether a value is read from an environment variable, with the value for a single process as its default."""
        return any(
            isinstance(part, Call)
            and len(part.args) == 2
            and isinstance(part.args[0], Constant)
            and part.args[0].value in self._environment
            and isinstance(part.args[1], Constant)
            and part.args[1].value in alone
            for part in walk(value)
        )

    def _reads_environment(self, function: Function) -> bool:
        return any(
            isinstance(expr, Constant) and expr.value in self._environment for expr in expressions(function.body)
        )

    def _uses_ranks(self, path: str) -> bool:
        """Whether a file asks for a rank, runs a collective, or wraps a model."""
        for name, uses in self._callers.within(path).items():
            for use in uses:
                target = resolve(self._program, use.function, use.name) if use.last == name else None
                if target is not None and target.kind == "external" and self._is_of_ranks(target.name):
                    return True
        return False

    def _is_of_ranks(self, name: str) -> bool:
        """Whether a library function is about several ranks; saving and loading also work with one."""
        if name in self._catalog.classes and name.partition(".")[0] not in sys.stdlib_module_names:
            return True
        api = self._catalog.apis.get(name)
        return api is not None and (api.category in _OF_RANKS or bool(api.wrapped or api.wraps or api.shards))


def _inits(function: Function) -> list[Call]:
    return [
        expr
        for expr in expressions(function.body)
        if isinstance(expr, Call) and (plain(expr.function) or "").rpartition(".")[2] == _INIT
    ]


def _makes_group(function: Function) -> bool:
    return bool(_inits(function))
