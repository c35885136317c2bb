"""What else has to change where a call runs on another group: the sizes and ranks that belong to its data.

A sum over a group that is divided by the size of all ranks is no mean. Where a size is asked for, it is asked of the
group; where it was kept somewhere else (an attribute, an argument), it is asked for in that place; where neither can be
done, the call has to stay as it is.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from ..anchor import edit
from .sizes import Sizes
from .syntax import Scope, bound, chain, dotted, mentions, scope_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..analysis.facts import ApiCall
    from ..analysis.program import Analysis
    from ..events import Function, Span
    from ..finding import Edit
    from ..source import Source

#: Arguments of collectives that say how, not what.
_HOW: Final = frozenset({"tag", "device_ids", "timeout", "device", "wait_all_ranks"})


@dataclass(frozen=True, slots=True)
class Changed:
    """A call that runs on another group from now on; `data` are its arguments that hold data, all with None.

    `ahead`: what is computed from the data later on belongs to the group as well; so not after a broadcast.
    """

    span: Span
    data: frozenset[str] | None = None
    params: tuple[str, ...] = ()
    ahead: bool = True


@dataclass(slots=True)
class Regrouped:
    """The edits, or why there are none; `outside`: the data is seen by who calls the function.

    `shared`: a size is used for something else as well, so that it is asked for again where it belongs to the data.
    """

    edits: list[Edit] = field(default_factory=list)
    refusal: str = ""
    outside: bool = False
    shared: bool = False


def changed(call: ApiCall) -> Changed:
    """A collective that gets another group."""
    api = call.api
    how = {*api.roles.values(), *_HOW}
    params = api.params[1:] if api.params[:1] == ("self",) and call.values.get("self") is not None else api.params
    gathers = api.category == "collective" and "src" not in api.roles and "group_src" not in api.roles
    return Changed(call.span, frozenset(api.params) - how, params, ahead=gathers)


def regroup(
    analysis: Analysis,
    source: Source,
    function: Function,
    calls: Iterable[Changed],
    group: str,
    passed: frozenset[str] = frozenset(),
) -> Regrouped:
    """What to change in a function besides these calls of it, which run on `group` from now on."""
    scope = scope_of(source, function)
    if scope is None:
        return Regrouped()
    return _Regrouping(analysis, source, scope, tuple(calls), group, passed).regrouped()


def in_caller(analysis: Analysis, source: Source, caller: Function, call: Span) -> tuple[str, bool]:
    """What a caller computes with the size of all ranks from what a call gives it, and whether its own callers see that."""
    scope = scope_of(source, caller)
    if scope is None:
        return "", False
    found = _Regrouping(analysis, source, scope, (Changed(call),), "", frozenset())
    related = next((node for node in found.related() if not found.is_argument(node)), None)
    where = "" if related is None else f"{source.path}:{related.lineno} computes with `{ast.unparse(related)}`"
    return where, found.is_outside()


def sizes_passed(analysis: Analysis, source: Source, caller: Function, call: Span, callee: Function) -> frozenset[str]:
    """The parameters for which a call passes the size of the default group."""
    scope = scope_of(source, caller)
    node = scope.call_at(call) if scope is not None else None
    if scope is None or node is None:
        return frozenset()
    names = [parameter.name for parameter in callee.params if parameter.kind == "positional"]
    names = names[1:] if callee.owner is not None else names
    given = {
        **dict(zip(names, node.args, strict=False)),
        **{word.arg: word.value for word in node.keywords if word.arg},
    }
    sizes = Sizes(analysis, source, scope)
    return frozenset(name for name, arg in given.items() if arg in sizes.known or (chain(arg) or "") in sizes.derived)


class _Regrouping:
    def __init__(
        self,
        analysis: Analysis,
        source: Source,
        scope: Scope,
        calls: tuple[Changed, ...],
        group: str,
        passed: frozenset[str],
    ) -> None:
        self._source, self._scope, self._group = source, scope, group
        self._sizes = Sizes(analysis, source, scope, passed)
        self._imports = analysis.program.indexes[source.path].imports
        self._calls = {node: call for call in calls if (node := scope.call_at(call.span)) is not None}
        self._data: set[str] = set()
        self._ahead: set[str] = set()

    def regrouped(self) -> Regrouped:
        """The edits, or why there are none."""
        self._collect()
        found = Regrouped(outside=self.is_outside())
        root = next((node for node in self._sizes.known if self._is_root(node)), None)
        if root is not None:
            found.refusal = f"its root is computed from `{ast.unparse(root)}`, a rank of the default group"
            return found
        for node in self._wanted():
            found.shared |= node not in self._sizes.known
            refusal = self._replace(node, found.edits)
            if refusal:
                return Regrouped([], refusal, found.outside, found.shared)
        found.edits = list(dict.fromkeys(found.edits))
        return found

    def related(self) -> Iterator[ast.expr]:
        """The sizes that belong to the data of the calls."""
        self._collect()
        for node in self._uses():
            if self._sizes.kind(node) == "size" and self._is_related(node):
                yield node

    def is_argument(self, node: ast.expr) -> bool:
        """Is a size passed to one of the calls as it is? Then it is the callee that computes with it."""
        _, outer = next(self._scope.path_up(node), (node, node))
        return outer in self._calls and (node in self._sizes.known or self._sizes.is_exact(node))

    # ------------------------------------------------------------------------------------------------------- data

    def _collect(self) -> None:
        """The names whose data goes into the calls, or comes out of them."""
        for node, call in self._calls.items():
            names = {name for arg in _data(node, call) for name in self._names(arg)}
            self._data |= names
            if call.ahead:
                self._ahead |= names
                self._ahead |= bound(self._scope.targets_of(node))
        self._data |= self._ahead
        before = -1
        while before != len(self._data) + len(self._ahead):
            before = len(self._data) + len(self._ahead)
            for targets, value in (*self._scope.assignments, *self._scope.augmented):
                names = bound(targets)
                if names & self._data:
                    # What the data is made of.
                    self._data |= self._names(value)
                if mentions(value, self._ahead) and not any(self._sizes.is_size_name(name) for name in names):
                    self._ahead |= names
                    self._data |= names

    def _names(self, node: ast.AST) -> set[str]:
        """The names in an expression that may hold data."""
        return {
            name
            for name in dotted(node)
            if name.partition(".")[0] not in self._imports and not self._sizes.is_size_name(name)
        }

    def is_outside(self) -> bool:
        """Is the data an argument, an attribute or the result of the function?"""
        if any(name.partition(".")[0] in self._scope.params for name in self._data):
            return True
        return any(
            isinstance(node, ast.Return) and node.value is not None and mentions(node.value, self._data)
            for node in self._scope.nodes
        )

    def _uses(self) -> Iterator[ast.expr]:
        yield from self._sizes.known
        for name in self._sizes.derived:
            yield from self._scope.loads(name)

    # ---------------------------------------------------------------------------------------------------- relation

    def _is_root(self, node: ast.expr) -> bool:
        """Does a call of these take its root from here?"""
        names = self._sizes.names_of(node)
        return any(self._roots(use) for use in (node, *(use for name in names for use in self._scope.loads(name))))

    def _roots(self, use: ast.expr) -> bool:
        """Does an expression stand in a root of a call?"""
        for inner, outer in self._scope.path_up(use):
            call = self._calls.get(outer) if isinstance(outer, ast.Call) else None
            if call is not None and isinstance(outer, ast.Call):
                return call.data is not None and _word(outer, call, inner) in _ROOTS
        return False

    def _is_related(self, node: ast.expr) -> bool:
        """Does a size, or a rank, stand in an expression that the data is made of, or that is computed from it?"""
        kind = self._sizes.kind(node)
        loose = False
        for inner, outer in self._scope.path_up(node):
            match outer:
                case ast.Call() if outer in self._calls:
                    return inner in _data(outer, self._calls[outer])
                case ast.JoinedStr() | ast.Lambda():
                    return False
                case ast.Compare() | ast.BoolOp():
                    return False
                case ast.Tuple() | ast.List() | ast.Dict() | ast.Set():
                    loose = True
                case ast.Assign(targets=targets, value=value):
                    return _binds(targets, value, inner, self._data)
                case ast.AugAssign(target=target) | ast.AnnAssign(target=target) | ast.NamedExpr(target=target):
                    return bool(bound([target]) & self._data)
                case ast.For(iter=iterable) if inner is iterable:
                    return kind == "size" and self._has_call(outer)
                case ast.Call(func=func) if _is_report(func):
                    return False
                case ast.Call() if kind == "rank":
                    # `save(x, rank)`: who knows what the number is for.
                    loose = True
                case ast.stmt():
                    return False
                case ast.BinOp() | ast.Call() | ast.Subscript() | ast.ListComp() | ast.GeneratorExp():
                    if not loose and self._touches(outer, inner):
                        return True
                case _:
                    pass
        return False

    def _touches(self, outer: ast.expr, inner: ast.AST) -> bool:
        """Does another part of an expression hold the data?"""
        return any(child is not inner and mentions(child, self._ahead) for child in ast.iter_child_nodes(outer))

    def _has_call(self, loop: ast.For) -> bool:
        return any(
            node in self._calls or mentions(node, self._data) for node in ast.walk(loop) if node is not loop.iter
        )

    # ------------------------------------------------------------------------------------------------------- edits

    def _wanted(self) -> Iterator[ast.expr]:
        """The sizes and ranks that belong to the data: where they are asked for, or where they are used."""
        wanted: dict[ast.expr, None] = {node: None for node in self._sizes.known if self._is_related(node)}
        for name in self._sizes.derived:
            uses = list(self._scope.loads(name))
            related = [node for node in uses if self._is_related(node)]
            if not related:
                continue
            # An attribute is read by others, too.
            others = "." in name or not self._is_for_data(name, set())
            if others or not self._is_bound_before(name):
                wanted |= dict.fromkeys(related)
            else:
                wanted |= {node: None for value in self._sizes.derived[name] for node in self._sizes.within(value)}
        yield from wanted

    def _is_for_data(self, name: str, seen: set[str]) -> bool:
        """Is a size used for the data alone, itself and what is computed from it?"""
        if name in seen:
            return True
        seen.add(name)
        return "." not in name and all(
            self._is_related(node) or self._is_harmless(node, seen) for node in self._scope.loads(name)
        )

    def _is_harmless(self, node: ast.expr, seen: set[str]) -> bool:
        """Is it a question whether there are other ranks at all, a line of a log, or a name made from it?"""
        for _, outer in self._scope.path_up(node):
            if isinstance(outer, ast.Compare):
                return self._sizes.kind(node) == "size"
            if isinstance(outer, ast.Call) and _is_report(outer.func):
                return True
            if isinstance(outer, ast.Assign):
                names = bound(outer.targets)
                return all(name in self._sizes.derived and self._is_for_data(name, seen) for name in names)
        return False

    def _is_bound_before(self, name: str) -> bool:
        """Is the group there where the size is asked for?"""
        head = self._group.partition(".")[0].partition("(")[0].partition("[")[0]
        made = [targets[0].lineno for targets, _ in self._scope.assignments if head in bound(targets)]
        return not made or all(value.lineno > min(made) for value in self._sizes.derived[name])

    def _replace(self, node: ast.expr, edits: list[Edit]) -> str:
        """Ask the group for a size or a rank, in the place of `node`; why not, if that cannot be done."""
        size = self._sizes.known.get(node)
        start, end = self._scope.range_of(self._source, node)
        if size is not None and size.word is not None and isinstance(node, ast.Call):
            given = node.args[:1] or [word.value for word in node.keywords if word.arg == size.word]
            if given:
                inside = self._scope.range_of(self._source, given[0])
                edits.append(edit(self._source, *inside, self._group))
            else:
                after = self._scope.range_of(self._source, node.func)[1]
                word = f"{size.word}=" if size.by_name else ""
                edits.append(edit(self._source, after, end, f"({word}{self._group})"))
            return ""
        kind: Literal["size", "rank"] = self._sizes.kind(node)
        if size is None and not self._sizes.is_exact(node):
            return f"`{ast.unparse(node)}`, computed from the {kind} of the default group, is used for other things too"
        text = self._sizes.question(kind)
        if text is None:
            return f"`{ast.unparse(node)}` is the {kind} of the default group, and the file has no name for the group's"
        edits.append(edit(self._source, start, end, f"{text}({self._group})"))
        return ""


_ROOTS: Final = frozenset({"src", "dst"})


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


def _binds(targets: list[ast.expr], value: ast.expr, inner: ast.AST, names: set[str]) -> bool:
    """Does an assignment give what stands in `inner` to one of these names? Pair by pair, where both sides are tuples."""
    return inner is value and bool(bound(targets) & names)


def _is_report(func: ast.expr) -> bool:
    """Is it something that only tells people?"""
    name = func.id if isinstance(func, ast.Name) else func.attr if isinstance(func, ast.Attribute) else ""
    return name in ("print", "debug", "info", "warning", "error", "critical", "exception")
