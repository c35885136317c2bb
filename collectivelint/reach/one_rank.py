"""Conditions that hold on one rank, and functions that call one of their parameters under such a condition only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..ir.names import plain
from ..ir.nodes import Attribute, Call, Compare, Constant, Declared, Exit, Logical, Name, Not, assignments
from ..ir.traversal import blocks
from ..program.target import Target
from .references import references

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..catalog.model import Catalog
    from ..ir.nodes import Block, Expr, Function
    from ..program.resolver import Program
    from .references import Condition, Passed, Reference

#: Functions that a name is followed through.
_MOST_STEPS: Final = 5
#: Calls that copy what a function is called, and do not call it.
_NO_CALL: Final = frozenset({"wraps", "update_wrapper", "callable", "isinstance", "signature", "iscoroutinefunction"})


class OneRank:
    """What the conditions and the wrappers of a program select."""

    def __init__(self, program: Program, catalog: Catalog) -> None:
        """Nothing is read before it is asked for."""
        self._program, self._catalog = program, catalog
        #: (path, function, parameter) -> whether it is called on one rank only; None while it is being found out.
        self._runs: dict[tuple[str, str, str], bool | None] = {}
        self._ranks = frozenset(api.op for api in catalog.of("rank_source"))

    # ------------------------------------------------------------------------------------------------- conditions

    def any_selects(self, function: Function, conditions: Sequence[Condition]) -> bool:
        """Whether some condition holds on one rank only."""
        return any(self.selects(function, test, positive) for test, positive in conditions)

    def selects(self, function: Function, test: Expr, positive: bool, steps: int = _MOST_STEPS) -> bool:
        """Whether a condition, or its opposite, holds on one rank only."""
        if steps == 0:
            return False
        match test:
            case Declared(value=value):
                return self.selects(function, value, positive, steps)
            case Not(value=value):
                return self.selects(function, value, not positive, steps)
            case Logical(op=op, values=values):
                if (op == "and") == positive:
                    return any(self.selects(function, value, positive, steps) for value in values)
                # Without several ranks everything is run by the only one.
                judged = [value for value in values if not self._is_launch(function, value, not positive, steps)]
                return bool(judged) and all(self.selects(function, value, positive, steps) for value in judged)
            case Compare(left=left, op="==" | "!=" | "is" as op, right=Constant(value=int())):
                return (op != "!=") == positive and self._is_rank(function, left, steps)
            case Call() | Name() | Attribute():
                return positive and self._holds_on_one(function, test, steps)
            case _:
                return False

    def _holds_on_one(self, function: Function, test: Expr, steps: int) -> bool:
        name = plain(test.function if isinstance(test, Call) else test)
        if name is None:
            return False
        target = self.resolve(function, name)
        if target is not None and target.kind == "external":
            api = self._catalog.apis.get(target.name)
            if api is not None and api.category == "guard":
                return api.one is not False
        if target is not None and target.kind == "function":
            inner = self._program.functions(target.path).get(target.name)
            returned = list(_returned(inner.body)) if inner is not None else []
            if inner is not None and returned:
                return all(self.selects(inner, value, True, steps - 1) for value in returned)
        if isinstance(test, Name):
            values = [found.value for found in assignments(function.body) if found.targets == (test,)]
            if values:
                return all(self.selects(function, value, True, steps - 1) for value in values)
        convention = self._catalog.convention(name.rpartition(".")[2], "guard")
        return convention is not None and convention.one is not False

    def _is_rank(self, function: Function, expr: Expr, steps: int) -> bool:
        match expr:
            case Call(function=callee):
                name = plain(callee)
            case Name() | Attribute():
                name = plain(expr)
            case _:
                return False
        last = (name or "").rpartition(".")[2]
        if last in self._ranks or self._catalog.convention(last, "rank") is not None:
            return True
        if isinstance(expr, Name) and steps:
            values = [found.value for found in assignments(function.body) if found.targets == (expr,)]
            return bool(values) and all(self._is_rank(function, value, steps - 1) for value in values)
        return last in {"rank", "global_rank", "local_rank"}

    def _is_launch(self, function: Function, test: Expr, holds: bool, steps: int) -> bool:
        """Whether a condition (or its opposite) says that there are several ranks."""
        match test:
            case Not(value=value):
                return self._is_launch(function, value, not holds, steps)
            case Logical(values=values):
                return all(self._is_launch(function, value, holds, steps) for value in values)
            case Call(function=callee) if name := plain(callee):
                if name.rpartition(".")[2] in {"is_initialized", "is_available"}:
                    return True
                target = self.resolve(function, name)
                if target is None or target.kind != "function" or steps == 0:
                    return False
                inner = self._program.functions(target.path).get(target.name)
                returned = list(_returned(inner.body)) if inner is not None else []
                return (
                    inner is not None
                    and bool(returned)
                    and all(self._is_launch(inner, value, holds, steps - 1) for value in returned)
                )
            case _:
                return False

    # --------------------------------------------------------------------------------------------------- wrappers

    def decorates(self, function: Function) -> bool:
        """Whether a decorator runs a function on one rank only."""
        return any(self._is_wrapper(function, decorator) for decorator in function.decorators)

    def _is_wrapper(self, function: Function, decorator: Expr) -> bool:
        name = plain(decorator.function if isinstance(decorator, Call) else decorator)
        target = self.resolve(function, name) if name is not None else None
        if target is None:
            return False
        if target.kind == "external":
            api = self._catalog.apis.get(target.name)
            return api is not None and api.category == "decorator"
        inner = self._program.function(target)
        return inner is not None and not isinstance(decorator, Call) and self.runs(inner, 0)

    def takes(self, function: Function, passed: Passed) -> bool:
        """Whether what is passed to a call is called on one rank only."""
        name = plain(passed.call.function)
        target = self.resolve(function, name) if name is not None else None
        inner = self._program.function(target) if target is not None and target.kind == "function" else None
        return inner is not None and self.runs(inner, passed.slot)

    def runs(self, function: Function, slot: int | str) -> bool:
        """Whether a function calls the parameter at a position, or of a name, on one rank only."""
        names = [parameter.name for parameter in function.params if parameter.kind in ("positional", "keyword")]
        if isinstance(slot, int):
            slot += function.owner is not None and names[:1] == ["self"]
            if slot >= len(names):
                return False
            slot = names[slot]
        if slot not in names:
            return False
        key = (function.path, function.qualname, slot)
        if key not in self._runs:
            self._runs[key] = None
            self._runs[key] = self._calls_on_one(function, slot)
        return bool(self._runs[key])

    def _calls_on_one(self, function: Function, name: str) -> bool:
        scope = f"{function.qualname}.<locals>."
        inside = {
            qualname: inner
            for qualname, inner in self._program.functions(function.path).items()
            if inner is function or qualname.startswith(scope)
        }
        uses = [found for found in references(inside).get(name, ()) if found.name == name]
        judged = [verdict for use in uses if (verdict := self._use(use)) is not None]
        return bool(judged) and all(judged)

    def _use(self, use: Reference) -> bool | None:
        """Whether a use of a parameter calls it on one rank only; None where it is not called at all."""
        if use.passed is not None and not use.is_called:
            if (plain(use.passed.call.function) or "").rpartition(".")[2] in _NO_CALL:
                return None
            return self.any_selects(use.function, use.conditions) or self.takes(use.function, use.passed)
        if not use.is_called:
            # One that is kept is called at places that are not known.
            return None if use.is_tested else False
        return self.any_selects(use.function, use.conditions)

    def resolve(self, function: Function, name: str) -> Target | None:
        """What a dotted name means inside a function."""
        return resolve(self._program, function, name)


def resolve(program: Program, function: Function, name: str) -> Target | None:
    """What a dotted name means inside a function: through its own imports, those around it, or the module's."""
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


def _returned(block: Block) -> Iterator[Expr]:
    for statement in block:
        if isinstance(statement, Exit) and statement.kind == "return" and statement.value is not None:
            yield statement.value
        for inner in blocks(statement):
            yield from _returned(inner)
