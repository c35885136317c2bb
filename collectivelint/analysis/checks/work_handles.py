"""Work handles within one function: those that are never waited for, and buffers used before the wait.

Only what the function itself shows is reported: a handle that is returned, stored, put into a container or passed on is
for another function to wait for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ...ir.nodes import Assign, Attribute, Call, Define, Evaluate, Lambda, Loop, Name, blocks, children, parts
from ...record import Record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from ...catalog.model import Catalog
    from ...ir.nodes import Block, Expr, Function, Span, Statement
    from ..summary.model import ApiCall

#: "dropped": the handle is not kept; "unused": it is kept and never used; "overwritten": in a loop, so that the
#: wait behind the loop is for the last one only.
Fate: TypeAlias = Literal["dropped", "unused", "overwritten"]


class Unwaited(Record):
    """A call whose handle is never waited for; `wait` is set if only the handle of the last call is waited for."""

    __slots__ = ("call", "fate", "wait")

    def __init__(self, call: ApiCall, fate: Fate, wait: Span | None = None) -> None:
        self.call: Final = call
        self.fate: Final = fate
        self.wait: Final = wait

    def _fields(self) -> tuple[object, ...]:
        return (self.call, self.fate, self.wait)


class Early(Record):
    """A statement that touches `buffer`, which `call` is still working on; `wait` comes after it."""

    __slots__ = ("buffer", "call", "use", "wait")

    def __init__(self, call: ApiCall, buffer: str, use: Span, wait: Span) -> None:
        self.call: Final = call
        self.buffer: Final = buffer
        self.use: Final = use
        self.wait: Final = wait

    def _fields(self) -> tuple[object, ...]:
        return (self.call, self.buffer, self.use, self.wait)


def is_async(call: ApiCall) -> bool:
    """Whether the call returns a work handle."""
    if call.api.operation in ("isend", "irecv"):
        return True
    role = call.api.roles.get("async_op")
    return role is not None and role in call.values and call.values[role].constant is True


def unwaited(function: Function, calls: Sequence[ApiCall], nested: Mapping[str, Function]) -> Iterator[Unwaited]:
    """The asynchronous calls of a function whose handles are never waited for; `nested` are the functions of its file."""
    pending = {call.span: call for call in calls if is_async(call)}
    if not pending:
        return
    uses = _Uses(nested)
    uses.block(function.body, ())
    for call in pending.values():
        if not call.used:
            yield Unwaited(call, "dropped")
    for name, span, loops in uses.assigned:
        assigned = pending.get(span)
        if assigned is None:
            continue
        seen = uses.found.get(name, [])
        if not seen:
            yield Unwaited(assigned, "unused")
        elif loops and not any(inner[: len(loops)] == loops for _, inner in seen):
            after = [where for where, _ in seen if where > span]
            if after:
                yield Unwaited(assigned, "overwritten", after[0])


class _Uses:
    """Where names are read, and which calls are assigned to one; with the loops around both."""

    def __init__(self, nested: Mapping[str, Function]) -> None:
        self.nested = nested
        self.found: dict[str, list[tuple[Span, tuple[Span, ...]]]] = {}
        self.assigned: list[tuple[str, Span, tuple[Span, ...]]] = []

    def block(self, block: Block, loops: tuple[Span, ...]) -> None:
        for statement in block:
            self.statement(statement, loops)

    def statement(self, statement: Statement, loops: tuple[Span, ...]) -> None:
        for expr in parts(statement):
            for name in names(expr):
                self.found.setdefault(name, []).append((statement.span, loops))
        match statement:
            case Assign(targets=targets, value=value):
                if isinstance(value, Call) and len(targets) == 1 and isinstance(targets[0], Name):
                    self.assigned.append((targets[0].id, value.span, loops))
            case Loop(span=span):
                loops = (*loops, span)
            case Define(qualname=qualname):
                # What is defined inside may wait for it, whenever it is called.
                inner = self.nested.get(qualname)
                if inner is not None:
                    self.block(inner.body, loops)
        for block in blocks(statement):
            self.block(block, loops)


def used_before_wait(function: Function, calls: Sequence[ApiCall], catalog: Catalog) -> Iterator[Early]:
    """Statements between an asynchronous call and its wait that touch what it works on, not only its metadata."""
    pending = {call.span: call for call in calls if is_async(call)}
    known = {call.span for call in calls if call.api.category in ("collective", "point_to_point", "implicit")}
    if pending:
        yield from _early(function.body, pending, known, catalog)


def _early(block: Block, pending: Mapping[Span, ApiCall], known: set[Span], catalog: Catalog) -> Iterator[Early]:
    for index, statement in enumerate(block):
        match statement:
            case Assign(targets=(Name(id=handle),), value=Call(span=span)) if span in pending:
                found = _before_wait(block[index + 1 :], pending[span], handle, known, catalog)
                if found is not None:
                    yield found
        for inner in blocks(statement):
            yield from _early(inner, pending, known, catalog)


def _before_wait(rest: Block, call: ApiCall, handle: str, known: set[Span], catalog: Catalog) -> Early | None:
    written = {name for name in (*call.api.uniform, *call.api.receives) if name != "return"}
    buffers = {expr.id for name in written if isinstance(expr := call.exprs.get(name), Name)}
    used: tuple[str, Span] | None = None
    for statement in rest:
        mentioned = {name for expr in all_parts(statement) for name in names(expr)}
        if handle in mentioned:
            waits = isinstance(statement, Evaluate) and _is_wait(statement.value, handle)
            return Early(call, *used, statement.span) if used is not None and waits else None
        calls = [part for expr in all_parts(statement) for part in walked(expr) if isinstance(part, Call)]
        if any(isinstance(part.function, Attribute) and part.function.name in catalog.synchronising for part in calls):
            return None
        if isinstance(statement, Assign):
            # The name may stand for another tensor from here on.
            buffers -= {target.id for target in statement.targets if isinstance(target, Name)}
        if used is None and not any(part.span in known for part in calls):
            touched = sorted(
                name for expr in all_parts(statement) for name in names(expr, catalog.metadata) if name in buffers
            )
            used = (touched[0], statement.span) if touched else None
    return None


def _is_wait(expr: Expr, handle: str) -> bool:
    match expr:
        case Call(function=Attribute(value=Name(id=name), name="wait")):
            return name == handle
        case _:
            return False


def all_parts(statement: Statement) -> Iterator[Expr]:
    """The expressions of a statement and of the blocks in it."""
    yield from parts(statement)
    for block in blocks(statement):
        for inner in block:
            yield from all_parts(inner)


def names(expr: Expr, metadata: Collection[str] = ()) -> Iterator[str]:
    """The variables in an expression, except those of which only metadata (such as the shape) are used."""
    if isinstance(expr, Attribute) and expr.name in metadata:
        return
    if isinstance(expr, Name):
        yield expr.id
    parts = (expr.body,) if isinstance(expr, Lambda) else children(expr)
    for part in parts:
        yield from names(part, metadata)


def walked(expr: Expr) -> Iterator[Expr]:
    """An expression and all its sub-expressions."""
    yield expr
    for part in (expr.body,) if isinstance(expr, Lambda) else children(expr):
        yield from walked(part)
