"""Copies to host memory that are written to disk without a wait for their completion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.names import plain
from ...ir.nodes import Assign, Attribute, Call, Constant, Name, Subscript, expressions, walk
from .file_polling import statements

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from ...ir.nodes import Block, Expr, Span
    from ..summary.facts import FunctionFacts
    from ..summary.file_use import FileUse

#: What waits for the device by itself.
_BLOCKING: Final = frozenset({"cpu", "item", "tolist", "numpy"})


def unsettled_copies(
    facts: FunctionFacts, writers: Sequence[FunctionFacts], waits: Collection[str]
) -> Iterator[tuple[Span, str, FileUse]]:
    """The copies with `non_blocking=True`, with the name of the result and the call that writes it: one of `writers`.

    A call with one of the words `waits` in its name may wait for the device.
    """
    body = facts.function.body
    for statement in statements(body):
        if not isinstance(statement, Assign):
            continue
        copy = next((part for part in walk(statement.value) if isinstance(part, Call) and _is_copy(part)), None)
        name = _name(statement.targets[0]) if copy is not None else None
        if copy is None or name is None:
            continue
        for other in writers:
            own = other is facts
            for use in other.files:
                if use.state is None or (own and use.span < copy.span) or not _passes(other.function.body, use, name):
                    continue
                limit = use.span if own else None
                if _has_waited(body, copy.span, limit, waits):
                    continue
                if own or not _has_waited(other.function.body, None, use.span, waits):
                    yield copy.span, name, use
                    break


def _is_copy(call: Call) -> bool:
    """`tensor.to("cpu", non_blocking=True)`."""
    given = dict(call.keywords)
    if not isinstance(call.function, Attribute) or given.get("non_blocking") != Constant(True):
        return False
    device = given.get("device") or (call.args[0] if call.args else None)
    return call.function.name == "to" and (
        device == Constant("cpu") or (isinstance(device, Call) and device.args == (Constant("cpu"),))
    )


def _name(target: Expr) -> str | None:
    owner = target.value if isinstance(target, Subscript) else target
    return owner.id if isinstance(owner, Name) else None


def _passes(block: Block, use: FileUse, name: str) -> bool:
    """Whether a call that writes state is passed a variable."""
    call = next((expr for expr in expressions(block) if isinstance(expr, Call) and expr.span == use.span), None)
    return call is not None and any(part == Name(name) for arg in call.args for part in walk(arg))


def _has_waited(block: Block, start: Span | None, end: Span | None, waits: Collection[str]) -> bool:
    """Whether a call between two places of a function may wait for the device."""
    for call in expressions(block):
        if not isinstance(call, Call) or (start is not None and not start < call.span):
            continue
        if end is not None and not call.span < end:
            continue
        word = call.function.name if isinstance(call.function, Attribute) else plain(call.function) or ""
        if word in _BLOCKING or any(wait in word.lower() for wait in waits):
            return True
    return False
