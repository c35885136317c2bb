"""The functions of a program that lead to a collective on the default group, and which of them can get a parameter."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from ..ir.names import plain
from ..ir.nodes import Call
from ..program.target import Target
from .ungrouped import Key, leading

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..analysis.effects import CallSite
    from ..analysis.program import Analysis
    from ..analysis.summary.facts import FunctionFacts
    from ..ir.nodes import Expr, Function, Span

#: Decorators that call what they are put on with the arguments that they get.
_TRANSPARENT: Final = frozenset(
    {
        *("staticmethod", "classmethod", "abstractmethod", "abc.abstractmethod"),
        *("torch.no_grad", "torch.inference_mode"),
        *("contextmanager", "contextlib.contextmanager", "asynccontextmanager", "contextlib.asynccontextmanager"),
    }
)
#: Bases outside the program that do not call the methods of their subclasses with arguments of their own.
_HARMLESS: Final = ("builtins.object", "abc.ABC", "typing.", "enum.")
LOCKED: Final = "its file is a symbolic link that leads out of the project"


class CallGraph:
    """The facts of each function, and the call sites of those that lead to a collective on the default group."""

    def __init__(self, analysis: Analysis, locked: Collection[str]) -> None:
        """`analysis` knows all functions; `locked` are the files that must not be changed."""
        self._analysis, self._locked = analysis, locked
        self.facts: dict[Key, FunctionFacts] = {
            (facts.function.path, facts.function.qualname): facts for facts in analysis.functions
        }
        #: By callee: the call sites, by caller and span.
        self.sites: defaultdict[Key, dict[tuple[Key, Span], CallSite]] = defaultdict(dict)
        for key, facts in self.facts.items():
            for site, callee in leading(facts):
                self.sites[callee].setdefault((key, site.span), site)
        self._callbacks = {
            (item.target.path, item.target.name) for facts in analysis.functions for item in facts.registrations
        }

    def family(self, key: Key) -> list[Key]:
        """The function itself; for a method also every override and overridden method that a call of it may run."""
        function = self.facts[key].function
        if function.owner is None:
            return [key]
        program = self._analysis.program
        owner = Target("class", function.path, function.owner)
        name = function.qualname.rpartition(".")[2]
        if name == "__init__":
            return [key]
        found = [method for base in program.bases(owner) for method in program.methods(base, name)]
        keys = dict.fromkeys([key, *((target.path, target.name) for target in found)])
        return [member for member in keys if member in self.facts]

    def refusal(self, key: Key) -> str | None:
        """Why a function cannot take a new parameter; None if it can."""
        for member in self.family(key):
            function = self.facts[member].function
            label = f"`{function.qualname}`"
            if function.path in self._locked:
                return LOCKED
            if member in self._callbacks:
                return f"{label} is registered to be called some other time, without a group"
            if function.qualname.endswith(">") or function.span.line < 1:
                return "it stands at the top level of a module"
            if "<locals>" in function.qualname or "#" in function.qualname:
                return f"{label} is defined inside another function, or more than once"
            unknown = [_name(item) for item in function.decorators]
            unknown = [name for name in unknown if name not in _TRANSPARENT]
            if unknown:
                return f"{label} is decorated with `{unknown[0]}`, which need not pass a group on"
            name = function.qualname.rpartition(".")[2]
            if function.owner is not None and name.startswith("__") and name != "__init__":
                return f"{label} is called by Python itself"
            if function.owner is not None and self._overrides_outside(function, name):
                return f"{label} may override a method of a class outside the program"
        return None

    def _overrides_outside(self, function: Function, name: str) -> bool:
        owner = Target("class", function.path, function.owner or "")
        bases = [base for base in self._analysis.program.outside(owner) if not base.startswith(_HARMLESS)]
        return bool(bases) and name != "__init__"


def _name(decorator: Expr) -> str:
    """`torch.no_grad` of `@torch.no_grad()`."""
    return plain(decorator.function if isinstance(decorator, Call) else decorator) or "a decorator"
