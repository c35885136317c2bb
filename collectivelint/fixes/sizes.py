"""Which expressions of a function are the world size, or this rank in the default group."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ..analysis.domain.symbol import WORLD, Symbol
from ..analysis.domain.symbol import name as named
from ..ir.nodes import Constant
from ..program.target import Target
from .syntax import bound, chain
from .world import prefixes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..analysis.domain.value import Value
    from ..analysis.program import Analysis
    from ..analysis.summary.model import ApiCall
    from ..catalog.operations import Operation
    from ..source.text import Source
    from .syntax import Scope

Kind: TypeAlias = Literal["size", "rank"]
#: What turns a text into a number, and leaves it what it is.
_CASTS: Final = frozenset({"int", "float"})


@dataclass(frozen=True, slots=True)
class Size:
    """The world size, or a rank in it; `word` is the name of the parameter that takes a group instead."""

    kind: Kind
    word: str | None = None
    by_name: bool = False


class Sizes:
    """The sizes and ranks of a function: expressions that are one (`known`) and names computed from one (`derived`)."""

    def __init__(self, analysis: Analysis, source: Source, scope: Scope, passed: frozenset[str] = frozenset()) -> None:
        """`passed` are the parameters for which some caller passes the size of the default group."""
        self._analysis, self._path, self._scope, self._passed = analysis, source.path, scope, passed
        self._apis = {
            call.span.numbers: call
            for call in analysis.calls_of(source.path)
            if call.api.category in ("uniform_source", "rank_source")
        }
        self._owner = analysis.owner_at(source.path, scope.tree)
        self._local = {name for targets, _ in scope.assignments for name in bound(targets)}
        self.known: dict[ast.expr, Size] = {}
        for node in scope.nodes:
            if isinstance(node, ast.expr) and (size := self._size(node)) is not None:
                self.known[self._outermost(node, size)] = size

    @cached_property
    def derived(self) -> dict[str, list[ast.expr]]:
        """Names that hold a number computed from a size, with all their values."""
        found: dict[str, list[ast.expr]] = {}
        values: dict[str, list[ast.expr]] = {}
        for targets, value in (*self._scope.assignments, *self._scope.augmented):
            for name in bound(targets):
                values.setdefault(name, []).append(value)
        before = -1
        while before != len(found):
            before = len(found)
            for name, every in values.items():
                if name not in found and any(self._is_number(value, found) for value in every):
                    numbers = [isinstance(value, ast.Constant) or self._is_number(value, found) for value in every]
                    if all(numbers) and not self._scope.is_augmented(name):
                        found[name] = every
        return found

    def _is_number(self, value: ast.expr, names: dict[str, list[ast.expr]]) -> bool:
        """Whether a value is a number computed from a size: not a list of that length, nor a tensor."""
        match value:
            case _ if value in self.known:
                return True
            case ast.Name() | ast.Attribute():
                return chain(value) in names
            case ast.BinOp(left=left, right=right):
                parts = [self._is_number(part, names) for part in (left, right)]
                numbers = [isinstance(part, ast.Constant) for part in (left, right)]
                return any(parts) and all(one or other for one, other in zip(parts, numbers, strict=True))
            case ast.IfExp(body=body, orelse=orelse):
                return self._is_number(body, names) or self._is_number(orelse, names)
            case ast.Call(func=ast.Name(id="int" | "float" | "max" | "min"), args=args):
                return any(self._is_number(arg, names) for arg in args)
            case _:
                return False

    def is_method(self, name: str) -> bool:
        """Whether `self.name` is a method of the class that the function belongs to."""
        method = name.partition(".")[2]
        return self._owner is not None and self._analysis.program.method(self._owner, method) is not None

    def is_size_name(self, name: str) -> bool:
        """Whether a name holds a size or a rank."""
        return name in self.derived or any(chain(node) == name for node in self.known)

    def names_of(self, node: ast.expr) -> Iterator[str]:
        """The derived names whose value contains a known expression."""
        for name, values in self.derived.items():
            if any(node in self.within(value) for value in values):
                yield name

    def within(self, value: ast.expr) -> Iterator[ast.expr]:
        """The known sizes that a value is computed from, through other names."""
        for part in ast.walk(value):
            if isinstance(part, ast.expr) and part in self.known:
                yield part
            elif isinstance(part, (ast.Name, ast.Attribute)) and (name := chain(part)) in self.derived and name:
                for other in self.derived[name]:
                    if other is not value:
                        yield from self.within(other)

    def kind(self, node: ast.expr) -> Kind:
        """Either "rank", if the expression depends on the rank only, or "size"."""
        if node in self.known:
            return self.known[node].kind
        values = self.derived.get(chain(node) or "", [])
        kinds = {self.known[part].kind for value in values for part in self.within(value)}
        return "rank" if kinds == {"rank"} else "size"

    def is_exact(self, node: ast.expr) -> bool:
        """Whether the name holds the size or rank itself, not a number computed from it."""
        values = self.derived.get(chain(node) or "", [])
        return bool(values) and all(value in self.known for value in values)

    def question(self, kind: Kind) -> str | None:
        """The function this file calls for the size of a group, or the rank in it: `dist.get_world_size`."""
        wanted: Operation = "world_size" if kind == "size" else "rank"
        sources = self._analysis.catalog.of("rank_source", "uniform_source")
        names = {api.op for api in sources if api.operation == wanted}
        found: list[str] = []
        for prefix, name in product(prefixes(self._analysis, self._path), sorted(names)):
            text = f"{prefix}.{name}" if prefix else name
            target = self._analysis.program.resolve(self._path, text)
            api = self._analysis.catalog.apis.get(target.name) if target is not None else None
            asks = api is not None and api.operation == wanted and api.params[:1] == ("group",)
            if asks and prefix not in self._local:
                found.append(text)
        return min(found, key=len, default=None)

    # ------------------------------------------------------------------------------------------- single expressions

    def _outermost(self, node: ast.expr, size: Size) -> ast.expr:
        """The whole conversion around a size: `int(os.environ["WORLD_SIZE"])`."""
        outer = self._scope.parents.get(node)
        is_cast = isinstance(outer, ast.Call) and isinstance(outer.func, ast.Name) and outer.func.id in _CASTS
        return outer if is_cast and size.word is None and isinstance(outer, ast.expr) else node

    def _size(self, node: ast.expr) -> Size | None:
        match node:
            case ast.Call():
                return self._of_call(node)
            case ast.Subscript(value=value, slice=ast.Constant(value=str(key)), ctx=ast.Load()):
                return self._of_variable(value, key)
            case ast.Attribute(value=owner, attr=name, ctx=ast.Load()):
                called = self._scope.parents.get(node)
                if isinstance(called, ast.Call) and called.func is node:
                    return None
                return None if chain(node) in self._local else self._of_attribute(owner, name)
            case ast.Name(id=name, ctx=ast.Load()) if name not in self._local:
                return self._of_name(name)
            case _:
                return None

    def _of_call(self, node: ast.Call) -> Size | None:
        api = self._apis.get((node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0))
        if api is not None:
            return _of_api(api)
        name = chain(node.func)
        if node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
            return self._of_variable(node.func, node.args[0].value)
        if name is None:
            return None
        target = self._analysis.program.resolve(self._path, name)
        head, _, method = name.partition(".")
        if target is None and self._owner is not None and head in self._scope.params and "." not in method:
            target = self._analysis.program.method(self._owner, method)
        if target is None or target.kind != "function":
            return None
        facts = self._analysis.facts(target)
        if facts is None or facts.returns is None:
            return None
        known = facts.returns.extent.size_of
        for parameter in facts.function.params:
            given = any(word.arg == parameter.name for word in node.keywords) or node.args
            if (
                known is not None
                and known.parameter == parameter.name
                and parameter.default == Constant(None)
                and not given
            ):
                return Size("size", parameter.name, by_name=True)
        return _of_value(facts.returns)

    def _of_variable(self, reader: ast.expr, key: str) -> Size | None:
        name = chain(reader)
        target = self._analysis.program.resolve(self._path, name) if name is not None else None
        if target is None or target.name not in self._analysis.catalog.readers:
            return None
        return Size("size") if key in self._analysis.catalog.sizes else None

    def _of_attribute(self, owner: ast.expr, name: str) -> Size | None:
        first = isinstance(owner, ast.Name) and self._owner is not None and owner.id in self._scope.params
        known = self._analysis.attribute(self._owner, name) if first and self._owner is not None else None
        if known is not None and known.extent.size_of is not None:
            return _of_value(known)
        if known is not None and known.reference.kind == "rank":
            return _of_value(known)
        if chain(owner) is None or self._analysis.catalog.convention(name, "size") is None:
            return None
        return Size("size")

    def _of_name(self, name: str) -> Size | None:
        if name in self._scope.params:
            named = self._analysis.catalog.convention(name, "size") is not None
            return Size("size") if named or name in self._passed else None
        module = self._analysis.facts(Target("function", self._path, "<module>"))
        value = module.variables.get(name) if module is not None else None
        return _of_value(value) if value is not None else None


def _of_api(call: ApiCall) -> Size | None:
    role = call.api.roles.get("group")
    if role in (None, "self") or call.api.translates is not None:
        return None
    if call.group is not None and call.group.constant is not None:
        return None
    if call.api.category == "rank_source":
        return Size("rank", role)
    return Size("size", role) if call.api.operation == "world_size" else None


def _is_container(symbol: Symbol) -> bool:
    """Whether it is a list: its length may be a size, but it is not a number itself."""
    if symbol.kind == "call":
        return symbol.args[0] in (named("list"), named("sorted"))
    return symbol.kind == "comprehension" or (symbol.kind == "compound" and symbol.head[0] in ("List", "Mult", "Tuple"))


def _of_value(value: Value) -> Size | None:
    if value.extent.size_of is WORLD and not value.origin.origins and not _is_container(value.written):
        return Size("size")
    return Size("rank") if value.reference.kind == "rank" and value.uniformity.varies == {WORLD} else None
