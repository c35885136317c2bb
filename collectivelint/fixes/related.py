"""Which sizes and ranks of a function belong to the data of some of its calls.

Those in the input data (the list that an `all_gather` fills, a tensor that is divided before it is summed), and,
after a call that sums or gathers, those in values computed from the result.
"""

from __future__ import annotations

import ast
import builtins
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..catalog.operations import GLOBAL_ROOTS
from .sizes import Sizes
from .syntax import bound, chain, dotted, mentions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..analysis.program import Analysis
    from ..analysis.summary.model import ApiCall
    from ..ir.nodes import Span
    from ..source.text import Source
    from .syntax import Scope

#: Arguments of collectives that say how, not what.
_HOW: Final = frozenset({"tag", "device_ids", "timeout", "device", "wait_all_ranks"})


@dataclass(frozen=True, slots=True)
class Changed:
    """A call that moves to another group; `data` are the parameters that take data (None: all of them).

    `ahead`: values computed from the result belong to the group too; false after a broadcast.
    """

    span: Span
    data: frozenset[str] | None = None
    params: tuple[str, ...] = ()
    ahead: bool = True


def changed(call: ApiCall) -> Changed:
    """A collective that moves to another group."""
    api = call.api
    how = {*api.roles.values(), *_HOW}
    params = api.params[1:] if api.params[:1] == ("self",) and call.values.get("self") is not None else api.params
    gathers = api.category == "collective" and "src" not in api.roles and "group_src" not in api.roles
    return Changed(call.span, frozenset(api.params) - how, params, ahead=gathers)


class Related:
    """The calls of one function that change their group, and the names that hold their data."""

    def __init__(
        self, analysis: Analysis, source: Source, scope: Scope, calls: tuple[Changed, ...], passed: frozenset[str]
    ) -> None:
        """`passed` are the parameters for which some caller passes the size of the default group."""
        self._scope = scope
        self.sizes = Sizes(analysis, source, scope, passed)
        self._program, self._path = analysis.program, source.path
        self._imports = analysis.program.indexes[source.path].imports
        self._calls = {node: call for call in calls if (node := scope.call_at(call.span)) is not None}
        #: What goes into the calls and what is made of that, and the part of it that is summed or gathered.
        self._data: set[str] = set()
        self._direct: set[str] = set()
        self._ahead: set[str] = set()
        self._collect()

    def found(self) -> Iterator[ast.expr]:
        """The sizes that belong to the data of the calls."""
        for node in self._uses():
            if self.sizes.kind(node) == "size" and self.is_related(node):
                yield node

    def passed_on(self, node: ast.expr) -> ast.expr | None:
        """The expression computed from a size and passed to a program function, which may use it for anything."""
        for inner, outer in self._scope.path_up(node):
            if outer in self._calls:
                is_exact = inner is node or (isinstance(inner, ast.keyword) and inner.value is node)
                whole = inner.value if isinstance(inner, ast.keyword) else inner
                is_helper = self._calls[outer].data is None and isinstance(whole, ast.expr)
                return whole if is_helper and not is_exact and isinstance(whole, ast.expr) else None
            if not isinstance(outer, (ast.BinOp, ast.UnaryOp)):
                return None
        return None

    def _collect(self) -> None:
        """The names whose data goes into the calls, or comes out of them."""
        for node, call in self._calls.items():
            names = {name for arg in _data(node, call) for name in self._names(arg)}
            if call.data is None:
                # A function of the program: only what is passed itself is surely data.
                self._direct |= names
            else:
                self._data |= names
            if call.ahead:
                self._ahead |= names | bound(self._scope.targets_of(node))
        before = -1
        while before != len(self._data) + len(self._ahead):
            before = len(self._data) + len(self._ahead)
            for targets, value in (*self._scope.assignments, *self._scope.augmented):
                names = bound(targets)
                if any(self.sizes.is_size_name(name) for name in names) or not self._is_transparent(value):
                    continue
                if names & self._data:
                    # What the data is made of.
                    self._data |= self._names(value)
                if mentions(value, self._ahead):
                    self._ahead |= names

    def _names(self, node: ast.AST) -> set[str]:
        """The names in an expression that may hold data."""
        return {
            name
            for name in dotted(node)
            if name.partition(".")[0] not in self._imports and not self.sizes.is_size_name(name)
        }

    def _is_transparent(self, value: ast.expr) -> bool:
        """Whether a value is computed from its parts by known operations only: no dict, no function of the program."""
        return not any(
            isinstance(part, (ast.Dict, ast.DictComp, ast.Lambda))
            or (isinstance(part, ast.Call) and part not in self._calls and not self._is_library(part.func))
            for part in ast.walk(value)
        )

    def _is_library(self, func: ast.expr) -> bool:
        """Whether it is a builtin, a function of a library, or a method of some value."""
        name = chain(func)
        if name is None:
            return isinstance(func, ast.Attribute)
        target = self._program.resolve(self._path, name)
        if target is None:
            own = name.partition(".")[0] in self._scope.params and self.sizes.is_method(name)
            return (name in dir(builtins) or "." in name) and not own
        return target.kind == "external"

    def is_outside(self) -> bool:
        """Whether the data is an argument, an attribute of one, or the function's result."""
        names = self._data | self._direct | self._ahead
        if any(name.partition(".")[0] in self._scope.params for name in names):
            return True
        return any(
            isinstance(node, ast.Return) and node.value is not None and mentions(node.value, names)
            for node in self._scope.nodes
        )

    def _uses(self) -> Iterator[ast.expr]:
        yield from self.sizes.known
        for name in self.sizes.derived:
            yield from self._scope.loads(name)

    # ---------------------------------------------------------------------------------------------------- relation

    def is_root(self, node: ast.expr) -> bool:
        """Whether a size or rank is used in the root argument of one of the calls."""
        names = self.sizes.names_of(node)
        return any(self._roots(use) for use in (node, *(use for name in names for use in self._scope.loads(name))))

    def _roots(self, use: ast.expr) -> bool:
        """Whether an expression is part of the root argument of a call."""
        for inner, outer in self._scope.path_up(use):
            call = self._calls.get(outer) if isinstance(outer, ast.Call) else None
            if call is not None and isinstance(outer, ast.Call):
                return call.data is not None and _word(outer, call, inner) in GLOBAL_ROOTS
        return False

    def is_related(self, node: ast.expr) -> bool:
        """Whether a size or rank is part of an expression that the data is made of, or is computed from the data."""
        kind = self.sizes.kind(node)
        loose, plain = False, True
        for inner, outer in self._scope.path_up(node):
            match outer:
                case ast.Call() if outer in self._calls:
                    call = self._calls[outer]
                    return inner in _data(outer, call) and (call.data is not None or self.passed_on(node) is not None)
                case ast.JoinedStr() | ast.Lambda() | ast.Compare() | ast.BoolOp() | ast.Dict() | ast.Set():
                    return False
                case ast.Tuple() | ast.List():
                    loose, plain = True, False
                case ast.Assign(targets=targets):
                    return bool(bound(targets) & (self._data | (self._direct if plain else set())))
                case ast.AugAssign(target=target) | ast.AnnAssign(target=target) | ast.NamedExpr(target=target):
                    return bool(bound([target]) & (self._data | self._ahead | (self._direct if plain else set())))
                case ast.For(iter=iterable) if inner is iterable:
                    return kind == "size" and self._has_collective(outer)
                case ast.Call(func=func) if _is_report(func) or not self._is_library(func):
                    return False
                case ast.Call() if kind == "rank":
                    # `save(x, rank)`: who knows what the number is for.
                    loose, plain = True, False
                case ast.stmt():
                    return False
                case ast.BinOp() | ast.Call() | ast.Subscript() | ast.ListComp() | ast.GeneratorExp():
                    if not loose and self._touches(outer, inner):
                        return True
                    plain = plain and isinstance(outer, ast.BinOp)
                case _:
                    plain = plain and isinstance(outer, (ast.UnaryOp, ast.IfExp))
        return False

    def _touches(self, outer: ast.expr, inner: ast.AST) -> bool:
        """Whether another operand of an expression holds the data."""
        return any(child is not inner and mentions(child, self._ahead) for child in ast.iter_child_nodes(outer))

    def _has_collective(self, loop: ast.For) -> bool:
        """Whether a loop runs one of the collectives, or builds their input."""
        for node in ast.walk(loop):
            call = self._calls.get(node) if isinstance(node, ast.Call) else None
            if call is not None and call.data is not None:
                return True
            if isinstance(node, (ast.Name, ast.Attribute)) and chain(node) in self._data and node is not loop.iter:
                return True
        return False

    def is_for_data(self, name: str, seen: set[str]) -> bool:
        """Whether a size, and everything computed from it, is used for the data only."""
        if name in seen:
            return True
        seen.add(name)
        return "." not in name and all(
            self.is_related(node) or self._is_harmless(node, seen) for node in self._scope.loads(name)
        )

    def _is_harmless(self, node: ast.expr, seen: set[str]) -> bool:
        """Whether a use does not affect the data: a comparison with a size, a log message, or a derived name."""
        for _, outer in self._scope.path_up(node):
            if isinstance(outer, ast.Compare):
                return self.sizes.kind(node) == "size"
            if isinstance(outer, ast.Call) and _is_report(outer.func):
                return True
            if isinstance(outer, ast.Assign):
                names = bound(outer.targets)
                return all(name in self.sizes.derived and self.is_for_data(name, seen) for name in names)
        return False


def _word(node: ast.Call, call: Changed, inner: ast.AST) -> str | None:
    """The parameter that an argument is for."""
    for word in node.keywords:
        if word is inner or word.value is inner:
            return word.arg
    position = next((index for index, arg in enumerate(node.args) if arg is inner), None)
    return call.params[position] if position is not None and position < len(call.params) else None


def _data(node: ast.Call, call: Changed) -> list[ast.AST]:
    """The arguments of a call that hold data."""
    every: list[ast.AST] = [*node.args, *node.keywords]
    if call.data is None:
        return every
    return [arg for arg in every if _word(node, call, arg) in call.data]


def _is_report(func: ast.expr) -> bool:
    """Whether the call only prints or logs."""
    name = func.id if isinstance(func, ast.Name) else func.attr if isinstance(func, ast.Attribute) else ""
    return name in ("print", "debug", "info", "warning", "error", "critical", "exception")
