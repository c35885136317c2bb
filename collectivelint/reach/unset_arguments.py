"""Optional parameters that no caller passes: `def evaluate(model, probe=None)`, if all calls omit `probe`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..ir.names import plain
from ..ir.nodes import Call, Constant, Name, expressions
from ..program.target import Target
from .names import assigned

if TYPE_CHECKING:
    from ..ir.nodes import Expr, Function
    from ..program.resolver import Program
    from .callers import Callers
    from .references import Reference

#: What a parameter is by default where nothing is asked for.
_OFF: Final = (Constant(None), Constant(False))


class UnsetArguments:
    """Which parameters always have their default, which is falsy."""

    def __init__(self, program: Program, callers: Callers) -> None:
        """Nothing is read before it is asked for."""
        self._program, self._callers = program, callers
        self._known: dict[tuple[Target, str], bool] = {}

    def is_unset(self, target: Target, name: str) -> bool:
        """Whether all calls of a function omit a parameter, or pass on one that is itself always omitted."""
        key = (target, name)
        if key not in self._known:
            # A function that calls itself hands on what its other callers give.
            self._known[key] = True
            self._known[key] = self._is_unset(target, name)
        return self._known[key]

    def _is_unset(self, target: Target, name: str) -> bool:
        function = self._program.functions(target.path).get(target.name)
        if function is None or assigned(function, Name(name)):
            return False
        slot = next((number for number, item in enumerate(function.params) if item.name == name), None)
        if slot is None or function.params[slot].default not in _OFF:
            return False
        uses = self._callers.of(target)
        if not uses:
            # Nothing is known to call it: what does is not in the program.
            return False
        number = slot - (function.owner is not None) if function.params[slot].kind == "positional" else None
        return all(self._leaves_out(use, name, number) for use in uses)

    def _leaves_out(self, use: Reference, name: str, number: int | None) -> bool:
        """Whether the calls of a reference omit a parameter; `number` is its position among the arguments."""
        calls = [
            expr
            for expr in expressions(use.function.body)
            if isinstance(expr, Call) and plain(expr.function) == use.name
        ]
        return use.is_called and bool(calls) and all(self._is_off(use.function, call, name, number) for call in calls)

    def _is_off(self, caller: Function, call: Call, name: str, number: int | None) -> bool:
        if call.spread:
            return False
        value: Expr | None = dict(call.keywords).get(name)
        if value is None and number is not None and number < len(call.args):
            value = call.args[number]
        if value is None or value in _OFF:
            return True
        own = Target("function", caller.path, caller.qualname)
        return isinstance(value, Name) and self.is_unset(own, value.id)
