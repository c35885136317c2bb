"""Optional parameters that no caller gives: `def evaluate(model, probe=None)`, and no call in the program passes `probe`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from ..ir.names import plain
from ..ir.nodes import Call, Constant, Name, expressions
from ..program.target import Target
from .names import assigned, resolve

if TYPE_CHECKING:
    from ..ir.nodes import Expr, Function
    from ..program.resolver import Program
    from .callers import Callers

#: A function, one of its parameters, and whether it has to be None; otherwise any falsy constant is enough.
_Asked: TypeAlias = "tuple[Target, str, bool]"


class UnsetArguments:
    """Parameters that always keep a default of None or another falsy constant."""

    def __init__(self, program: Program, callers: Callers) -> None:
        """Nothing is read before it is asked for."""
        self._program, self._callers = program, callers
        #: The parameters of callers that are passed on to one; None if a caller passes something else.
        self._known: dict[_Asked, frozenset[_Asked] | None] = {}

    def is_unset(self, target: Target, name: str, *, none: bool) -> bool:
        """Whether every call of a function omits a parameter, or passes on a parameter that is itself always omitted.

        `none`: whether the parameter has to be None; otherwise it has to be falsy.
        """
        found: set[_Asked] = set()
        left = [(target, name, none)]
        while left:
            asked = left.pop()
            if asked in found:
                # A function that calls itself passes on what its other callers pass.
                continue
            found.add(asked)
            if asked not in self._known:
                self._known[asked] = self._handed_on(*asked)
            above = self._known[asked]
            if above is None:
                return False
            left += above
        return True

    def _handed_on(self, target: Target, name: str, none: bool) -> frozenset[_Asked] | None:
        function = self._program.functions(target.path).get(target.name)
        if function is None or self._is_assigned(function, name) or self._is_wrapped(function):
            return None
        slot = next((number for number, item in enumerate(function.params) if item.name == name), None)
        if slot is None or not _is_off(function.params[slot].default, none):
            return None
        uses = self._callers.of(target)
        if not uses:
            # Nothing is known to call it: what does is not in the program.
            return None
        has_self = function.owner is not None and Name("staticmethod") not in function.decorators
        number = slot - has_self if function.params[slot].kind == "positional" else None
        found: set[_Asked] = set()
        for use in uses:
            calls = [
                expr
                for expr in expressions(use.function.body)
                if isinstance(expr, Call) and plain(expr.function) == use.name
            ]
            if not use.is_called or not calls:
                return None
            for call in calls:
                if call.spread:
                    return None
                value = _given(call, name, number)
                if isinstance(value, Name):
                    found.add((Target("function", use.function.path, use.function.qualname), value.id, none))
                elif value is not None and not _is_off(value, none):
                    return None
        return frozenset(found)

    def _is_assigned(self, function: Function, name: str) -> bool:
        """Whether the function, or one inside of it, may give the parameter another value."""
        inside = f"{function.qualname}.<locals>."
        return any(
            assigned(inner, Name(name))
            for qualname, inner in self._program.functions(function.path).items()
            if inner is function or qualname.startswith(inside)
        )

    def _is_wrapped(self, function: Function) -> bool:
        """Whether a decorator of the program wraps it, which may pass any arguments."""
        for decorator in function.decorators:
            name = plain(decorator.function if isinstance(decorator, Call) else decorator)
            target = resolve(self._program, function, name) if name is not None else None
            if target is not None and target.kind != "external":
                return True
        return False


def _given(call: Call, name: str, number: int | None) -> Expr | None:
    """The argument that a call passes for a parameter, None if it omits it; `number`: its position."""
    value: Expr | None = dict(call.keywords).get(name)
    if value is None and number is not None and number < len(call.args):
        value = call.args[number]
    return value


def _is_off(value: Expr | None, none: bool) -> bool:
    """Whether a value is None, or with `none` False any falsy constant. 0 is falsy, but it is not None."""
    return isinstance(value, Constant) and (value.value is None if none else not value.value)
