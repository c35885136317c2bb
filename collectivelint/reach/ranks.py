"""Which expressions are the global rank; a node's rank or a rank in a group is the same on several ranks of the job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..ir.names import plain
from ..ir.nodes import Attribute, Call, Conditional, Constant, Declared, Logical, Name, Subscript, expressions
from ..program.target import Target
from .names import assigned, resolve
from .openness import returned

if TYPE_CHECKING:
    from ..catalog.model import Catalog
    from ..ir.nodes import Expr, Function
    from ..program.resolver import Program

#: Functions that an expression is followed through.
_MOST_STEPS: Final = 6
#: What makes a number of text.
_CONVERTERS: Final = frozenset({"int", "str"})


class Ranks:
    """Follows expressions back to the source of the rank."""

    def __init__(self, program: Program, catalog: Catalog) -> None:
        """Nothing is read before it is asked for."""
        self._program, self._catalog = program, catalog

    def is_rank(self, function: Function, expr: Expr, steps: int = _MOST_STEPS) -> bool:
        """Whether an expression is the rank in the default group."""
        if steps == 0:
            return False
        match expr:
            case Declared(value=value):
                return self.is_rank(function, value, steps)
            case Conditional(then=then, orelse=orelse):
                return self._all_ranks(function, [then, orelse], steps)
            case Logical(op="or", values=values):
                return self._all_ranks(function, list(values), steps)
            case Subscript(value=value, index=index):
                return self._is_read(function, value, index)
            case Call(function=Name(id=name), args=(inner,), keywords=()) if name in _CONVERTERS:
                return self.is_rank(function, inner, steps)
            case Call():
                return self._is_call(function, expr, steps)
            case Name():
                return self._is_variable(function, expr, steps)
            case Attribute():
                return self._is_attribute(function, expr)
            case _:
                return False

    def _all_ranks(self, function: Function, values: list[Expr | None], steps: int) -> bool:
        """Whether all values are ranks; 0 and None count, as the rank of a single process."""
        ranks = [value for value in values if value not in (Constant(0), Constant(None))]
        return bool(ranks) and all(value is not None and self.is_rank(function, value, steps - 1) for value in ranks)

    def _is_read(self, function: Function, reader: Expr, variable: Expr) -> bool:
        """Whether the value is read from an environment variable that holds the rank."""
        name = plain(reader)
        target = resolve(self._program, function, name) if name is not None else None
        if target is None or target.name not in self._catalog.readers:
            return False
        # A variable whose name is a variable itself is one of those that the function names, the first that is there.
        named = [variable] if isinstance(variable, Constant) else expressions(function.body)
        axes = (
            self._catalog.environment.get(expr.value)
            for expr in named
            if isinstance(expr, Constant) and isinstance(expr.value, str)
        )
        return next(filter(None, axes), None) == "world"

    def _is_call(self, function: Function, call: Call, steps: int) -> bool:
        name = plain(call.function)
        if name is None:
            return False
        if call.args and self._is_read(function, call.function, call.args[0]):
            return True
        target = self._method(function, name) or resolve(self._program, function, name)
        if target is None:
            return False
        if target.kind == "external":
            api = self._catalog.apis.get(target.name)
            if api is None or api.category != "rank_source" or api.axis != "world" or api.translates is not None:
                return False
            given = [*call.args, *(value for _, value in call.keywords)]
            return not call.spread and all(value == Constant(None) for value in given)
        inner = self._program.functions(target.path).get(target.name) if target.kind == "function" else None
        if inner is None or any(
            value != Constant(None) for value in (*call.args, *(item[1] for item in call.keywords))
        ):
            return False
        return self._all_ranks(inner, list(returned(inner.body)), steps)

    def _method(self, function: Function, name: str) -> Target | None:
        head, _, rest = name.partition(".")
        if head not in ("self", "cls") or function.owner is None:
            return None
        return self._program.method(Target("class", function.path, function.owner), rest)

    def _is_variable(self, function: Function, variable: Name, steps: int) -> bool:
        scope: Function | None = function
        functions = self._program.functions(function.path)
        while scope is not None:
            values = assigned(scope, variable)
            if scope.qualname == "<module>" and variable.id in self._program.indexes[function.path].rebound:
                # `global rank`: any function of the file may set it.
                values += [value for inner in functions.values() for value in assigned(inner, variable)]
            if values:
                return self._all_ranks(scope, values, steps)
            if any(parameter.name == variable.id for parameter in scope.params):
                return self._is_named(variable.id, variable.id)
            outer = scope.qualname.rpartition(".<locals>.")[0]
            scope = functions.get(outer or "<module>") if scope.qualname != "<module>" else None
        target = resolve(self._program, function, variable.id)
        if target is not None and target.kind == "variable" and target.path != function.path:
            module = self._program.functions(target.path).get("<module>")
            return module is not None and self._all_ranks(module, assigned(module, Name(target.name)), steps)
        return False

    def _is_attribute(self, function: Function, expr: Attribute) -> bool:
        name = plain(expr)
        target = resolve(self._program, function, name) if name is not None else None
        if target is not None and target.kind == "external":
            api = self._catalog.apis.get(target.name)
            if api is not None:
                return api.category == "rank_source" and api.axis == "world"
        return self._is_named(expr.name, expr.name.lstrip("_"))

    def _is_named(self, name: str, public: str) -> bool:
        """Whether the name is a conventional one for the rank; `public`: the name without leading underscores."""
        if public in self._catalog.rank_names:
            return True
        convention = self._catalog.convention(name, "rank")
        return convention is not None and convention.axis == "world"
