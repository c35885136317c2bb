"""Consequences of an asynchronous call that is never waited for: its buffer is used, or something else waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.nodes import Assign, Attribute, Call, Loop, Name, Subscript, blocks, parts
from .work_handles import all_parts, is_async, names, walked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ...catalog.model import Catalog
    from ...ir.nodes import Block, Expr, Span, Statement
    from ..summary.facts import FunctionFacts
    from ..summary.model import ApiCall


def is_covered(facts: FunctionFacts, call: ApiCall, catalog: Catalog) -> bool:
    """Whether the call is waited for before its buffers are used, or a buffer that is only sent stays unchanged.

    A wait for a later call of the same group covers this one too, with a backend that runs them in order.
    """
    later = [statement for statement in all_statements(facts.function.body) if statement.span > call.statement]
    is_sent = call.api.operation == "isend"
    written = {name for name in (*call.api.uniform, *call.api.receives) if name != "return"}
    buffers = {expr.id for name in written if isinstance(expr := call.exprs.get(name), Name)}
    sent = {expr.id for expr in call.exprs.values() if isinstance(expr, Name)} if is_sent else set()
    waits = _Waits(facts, call, catalog)
    repeated = _loop_around(facts.function.body, call.statement)
    if repeated is not None:
        behind = [statement for statement in later if not repeated.span.contains_line(statement.span.line)]
        if behind and waits.does(behind[0]):
            return True
        if is_sent and not call.used:
            # Each turn of the loop adds one more that is under way.
            return False
        if is_sent:
            # In the next turn, too, something may be written to it.
            later = [*all_statements(repeated.body), *behind]
    for statement in later:
        if is_sent and _writes(statement, sent, waits.calls):
            return False
        if waits.does(statement):
            return True
        if not is_sent and buffers & {name for expr in all_parts(statement) for name in names(expr, catalog.metadata)}:
            return False
    return is_sent


class _Waits:
    """Which statements after a call wait for the pending operations of its group."""

    def __init__(self, facts: FunctionFacts, call: ApiCall, catalog: Catalog) -> None:
        self._catalog, self._call = catalog, call
        #: By their place.
        self.calls: Mapping[Span, ApiCall] = {other.span: other for other in facts.calls}
        group = None if call.group is None else call.group.group_key
        meets = {
            event.place[0]
            for event in facts.events
            if event.chain and event.kind == "collective" and (group is None or event.group is group)
        }
        self._meets = meets - self.calls.keys()
        #: Handles of later calls.
        self._handles: set[str] = set()

    def does(self, statement: Statement) -> bool:
        own = list(walked_in(statement))
        if any(self._is_wait(expr) for expr in own):
            return True
        if (
            isinstance(statement, Assign)
            and isinstance(statement.value, Call)
            and isinstance(statement.targets[0], Name)
        ):
            known = self.calls.get(statement.value.span)
            if known is None or (is_async(known) and self._is_of_group(known)):
                self._handles.add(statement.targets[0].id)
        return False

    def _is_wait(self, expr: Expr) -> bool:
        if not isinstance(expr, Call):
            return False
        known = self.calls.get(expr.span)
        if known is not None:
            is_collective = known.api.category == "collective" and not is_async(known)
            return is_collective and self._is_of_group(known)
        if expr.span in self._meets:
            return True
        match expr.function:
            case Attribute(value=Name(id=handle), name="wait"):
                return handle in self._handles
            case Attribute(name=name):
                return name != "wait" and name in self._catalog.synchronising
            case _:
                return False

    def _is_of_group(self, other: ApiCall) -> bool:
        mine, its = self._call.group, other.group
        return (None if mine is None else mine.group_key) is (None if its is None else its.group_key)


def _writes(statement: Statement, buffers: set[str], calls: Mapping[Span, ApiCall]) -> bool:
    """Whether a statement changes a tensor of one of these names in place."""
    if isinstance(statement, Assign):
        for target in statement.targets:
            if isinstance(target, Subscript) and isinstance(target.value, Name) and target.value.id in buffers:
                return True
    for expr in walked_in(statement):
        if not isinstance(expr, Call):
            continue
        match expr.function:
            case Attribute(value=Name(id=name), name=method) if name in buffers and method.endswith("_"):
                return True
        known = calls.get(expr.span)
        roles = (*known.api.uniform, *known.api.receives) if known is not None else ()
        if known is not None and any(
            isinstance(item := known.exprs.get(role), Name) and item.id in buffers for role in roles
        ):
            return True
    return False


def walked_in(statement: Statement) -> Iterator[Expr]:
    """All expressions of a statement without the blocks in it."""
    for expr in parts(statement):
        yield from walked(expr)


def all_statements(block: Block) -> Iterator[Statement]:
    """The statements of a block and of the blocks in it, in order."""
    for statement in block:
        yield statement
        for inner in blocks(statement):
            yield from all_statements(inner)


def _loop_around(block: Block, span: Span) -> Loop | None:
    """The innermost loop that holds a place."""
    found = None
    for statement in all_statements(block):
        if isinstance(statement, Loop) and any(inner.span == span for inner in all_statements(statement.body)):
            found = statement
    return found
