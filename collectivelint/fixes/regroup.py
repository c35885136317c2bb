"""What else has to change if a call moves to another group: the sizes and ranks that belong to its data.

A sum over a group divided by the world size is not a mean. A size that is queried locally is queried from the group
instead; if it was stored elsewhere (an attribute, an argument), it is queried where it is used; if neither is possible,
the call stays as it is.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..findings.anchor import edit
from .related import Changed, Related
from .sizes import Sizes
from .syntax import bound, chain, scope_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..analysis.program import Analysis
    from ..finding import Edit
    from ..ir.nodes import Function, Span
    from ..source.text import Source
    from .syntax import Scope


@dataclass(slots=True)
class Regrouped:
    """The edits, or why there are none; `outside`: the data is visible to the callers of the function.

    `shared`: a size is also used for something else, so it is queried again where it belongs to the data.
    """

    edits: list[Edit] = field(default_factory=list)
    refusal: str = ""
    outside: bool = False
    shared: bool = False


def regroup(
    analysis: Analysis,
    source: Source,
    function: Function,
    calls: Iterable[Changed],
    group: str,
    passed: frozenset[str] = frozenset(),
) -> Regrouped:
    """What to change in a function besides these calls, which move to `group`."""
    scope = scope_of(source, function)
    if scope is None:
        return Regrouped()
    related = Related(analysis, source, scope, tuple(calls), passed)
    return _Regrouping(source, scope, related, group).regrouped()


def in_caller(analysis: Analysis, source: Source, caller: Function, call: Span) -> tuple[str, bool]:
    """What a caller computes from a call's result and the world size, and whether its own callers see the result."""
    scope = scope_of(source, caller)
    if scope is None:
        return "", False
    found = Related(analysis, source, scope, (Changed(call),), frozenset())
    related = next(iter(found.found()), None)
    where = "" if related is None else f"{source.path}:{related.lineno} computes with `{ast.unparse(related)}`"
    return where, found.is_outside()


def sizes_passed(
    analysis: Analysis,
    source: Source,
    caller: Function,
    call: Span,
    callee: Function,
    passed: frozenset[str] = frozenset(),
) -> frozenset[str]:
    """The parameters for which a call passes the world size; `passed` are such parameters of the caller."""
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
    sizes = Sizes(analysis, source, scope, passed)
    return frozenset(name for name, arg in given.items() if arg in sizes.known or (chain(arg) or "") in sizes.derived)


class _Regrouping:
    def __init__(self, source: Source, scope: Scope, related: Related, group: str) -> None:
        self._source, self._scope, self._related, self._group = source, scope, related, group
        self._sizes = related.sizes

    def regrouped(self) -> Regrouped:
        """The edits, or why there are none."""
        found = Regrouped(outside=self._related.is_outside())
        root = next((node for node in self._sizes.known if self._related.is_root(node)), None)
        if root is not None:
            found.refusal = f"its root is computed from `{ast.unparse(root)}`, a rank of the default group"
            return found
        for node in self._wanted():
            if (whole := self._related.passed_on(node)) is not None:
                found.refusal = f"`{ast.unparse(whole)}`, computed from the size of the default group, is passed to it"
                return found
            if not self._is_after_group(node):
                found.refusal = f"`{ast.unparse(node)}` is asked for before `{self._group}` is there"
                return found
            found.shared |= node not in self._sizes.known
            refusal = self._replace(node, found.edits)
            if refusal:
                return Regrouped([], refusal, found.outside, found.shared)
        found.edits = list(dict.fromkeys(found.edits))
        return found

    def _wanted(self) -> Iterator[ast.expr]:
        """The sizes and ranks that belong to the data: the expressions that query them, or else their uses."""
        wanted: dict[ast.expr, None] = {node: None for node in self._sizes.known if self._related.is_related(node)}
        for name in self._sizes.derived:
            uses = list(self._scope.loads(name))
            related = [node for node in uses if self._related.is_related(node)]
            if not related:
                continue
            # An attribute is read by others, too.
            others = "." in name or not self._related.is_for_data(name, set())
            if others or not all(self._is_after_group(value) for value in self._sizes.derived[name]):
                wanted |= dict.fromkeys(related)
            else:
                wanted |= {node: None for value in self._sizes.derived[name] for node in self._sizes.within(value)}
        yield from wanted

    def _is_after_group(self, node: ast.expr) -> bool:
        """Whether the group is already defined where the size is queried."""
        head = self._group.partition(".")[0].partition("(")[0].partition("[")[0]
        made = [targets[0].lineno for targets, _ in self._scope.assignments if head in bound(targets)]
        return not made or node.lineno > min(made)

    def _replace(self, node: ast.expr, edits: list[Edit]) -> str:
        """Query the group for a size or a rank in place of `node`; returns why not if that is impossible."""
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
        kind = self._sizes.kind(node)
        if size is None and not self._sizes.is_exact(node):
            return f"`{ast.unparse(node)}`, computed from the {kind} of the default group, is used for other things too"
        text = self._sizes.question(kind)
        if text is None:
            return f"`{ast.unparse(node)}` is the {kind} of the default group, and the file has no name for the group's"
        edits.append(edit(self._source, start, end, f"{text}({self._group})"))
        return ""
