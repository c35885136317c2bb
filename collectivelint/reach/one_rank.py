"""Conditions that are true on one rank only, and functions that call a parameter under such a condition only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..ir.names import plain
from ..ir.nodes import Attribute, Call, Compare, Constant, Declared, Logical, Name, Not
from .names import assigned, resolve
from .openness import returned
from .ranks import Ranks
from .references import references

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..catalog.model import Catalog
    from ..ir.nodes import Expr, Function
    from ..program.resolver import Program
    from ..program.target import Target
    from .references import Condition, Passed, Reference

#: Functions that a name is followed through.
_MOST_STEPS: Final = 5


class OneRank:
    """What the conditions and the wrappers of a program select."""

    def __init__(self, program: Program, catalog: Catalog) -> None:
        """Nothing is read before it is asked for."""
        self._program, self._catalog = program, catalog
        #: (path, function, parameter) -> whether it is called on one rank only; None while it is being found out.
        self._runs: dict[tuple[str, str, str], bool | None] = {}
        self._ranks = Ranks(program, catalog)

    # ------------------------------------------------------------------------------------------------- conditions

    def any_selects(self, function: Function, conditions: Sequence[Condition]) -> bool:
        """Whether some condition is true on one rank only."""
        return any(self.selects(function, test, positive) for test, positive in conditions)

    def selects(self, function: Function, test: Expr, positive: bool, steps: int = _MOST_STEPS) -> bool:
        """Whether a condition, or its negation, is true on one rank only."""
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
                # `rank == 0 or rank == 1` holds on two.
                one = judged[:1]
                return bool(one) and judged == one * len(judged) and self.selects(function, one[0], positive, steps)
            case Compare(left=left, op="==" | "!=" | "is" as op, right=Constant(value=int())):
                return (op != "!=") == positive and self._ranks.is_rank(function, left)
            case Call() | Name() | Attribute():
                return positive and self._holds_on_one(function, test, steps)
            case _:
                return False

    def _holds_on_one(self, function: Function, test: Expr, steps: int) -> bool:
        name = plain(test.function if isinstance(test, Call) else test)
        if name is None:
            return False
        target = resolve(self._program, function, name)
        if target is not None and target.kind == "external":
            api = self._catalog.apis.get(target.name)
            if api is not None and api.category == "guard":
                # Of a node or of a group, several ranks may be the first one.
                return api.one is not False and api.axis == "world"
        verdict = self._of_returned(target, lambda inner, value: self.selects(inner, value, True, steps - 1))
        if verdict is not None:
            return verdict
        if isinstance(test, Name):
            values = assigned(function, test)
            if values:
                return all(value is not None and self.selects(function, value, True, steps - 1) for value in values)
        convention = self._catalog.convention(name.rpartition(".")[2], "guard")
        return convention is not None and convention.one is not False and convention.axis == "world"

    def _of_returned(self, target: Target | None, holds: Callable[[Function, Expr], bool]) -> bool | None:
        """Whether a predicate holds for all values a program function returns; None if there are none."""
        inner = None
        if target is not None and target.kind == "function":
            inner = self._program.functions(target.path).get(target.name)
        values = list(returned(inner.body)) if inner is not None else []
        return all(holds(inner, value) for value in values) if inner is not None and values else None

    def _is_launch(self, function: Function, test: Expr, holds: bool, steps: int) -> bool:
        """Whether a condition (or its negation) is true only if there are several ranks."""
        match test:
            case Not(value=value):
                return self._is_launch(function, value, not holds, steps)
            case Logical(values=values):
                return all(self._is_launch(function, value, holds, steps) for value in values)
            case Call(function=callee) if name := plain(callee):
                if name.rpartition(".")[2] in {"is_initialized", "is_available"}:
                    return holds
                target = resolve(self._program, function, name)
                if steps == 0:
                    return False
                verdict = self._of_returned(
                    target, lambda inner, value: self._is_launch(inner, value, holds, steps - 1)
                )
                return verdict is True
            case _:
                return False

    # --------------------------------------------------------------------------------------------------- wrappers

    def decorates(self, function: Function) -> bool:
        """Whether a decorator runs a function on one rank only."""
        return any(self._is_wrapper(function, decorator) for decorator in function.decorators)

    def _is_wrapper(self, function: Function, decorator: Expr) -> bool:
        name = plain(decorator.function if isinstance(decorator, Call) else decorator)
        target = resolve(self._program, function, name) if name is not None else None
        if target is None:
            return False
        if target.kind == "external":
            api = self._catalog.apis.get(target.name)
            return api is not None and api.category == "decorator"
        inner = self._program.function(target)
        return inner is not None and not isinstance(decorator, Call) and self.runs(inner, 0)

    def takes(self, function: Function, passed: Passed) -> bool:
        """Whether an argument of a call is itself called on one rank only."""
        name = plain(passed.call.function)
        target = resolve(self._program, function, name) if name is not None else None
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
        uses = [found for found in references(inside).get(name, ()) if found.parts[0] == name]
        judged = [verdict for use in uses if (verdict := self._use(use)) is not None]
        return bool(judged) and all(judged)

    def _use(self, use: Reference) -> bool | None:
        """Whether a use of a parameter calls it on one rank only; None where it is not called at all."""
        if "." in use.name and not use.is_called:
            # `function.__name__`
            return None
        if use.passed is not None and not use.is_called:
            if (plain(use.passed.call.function) or "").rpartition(".")[2] in self._catalog.not_calling:
                return None
            return self.any_selects(use.function, use.conditions) or self.takes(use.function, use.passed)
        if not use.is_called:
            # One that is kept is called at places that are not known.
            return None if use.is_tested else False
        return self.any_selects(use.function, use.conditions)
