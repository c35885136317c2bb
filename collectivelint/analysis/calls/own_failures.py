"""Failures of a single rank that uses what it looked up without checking that it was found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ...ir.nodes import Compare
    from ..domain.value import Value
    from ..summary.model import NoteKind
    from ..transfer.state import Frame

#: What the function of torch that makes a group gives, and its name.
_GROUP: Final = "torch.distributed.ProcessGroup"
_MAKING: Final = "new_group"


def note_nothing(frame: Frame, value: Value) -> None:
    """Note a use of a value that its source says may be None, on a rank alone and without a check."""
    written = value.written
    if written.kind != "call" or not written.args or not frame.alone_here or frame.catching:
        return
    function = written.args[0]
    if ".".join(str(part) for part in function.head) in frame.context.catalog.maybe_none:
        _note(frame, value, "nothing")


def note_element(frame: Frame, value: Value, key: Value) -> None:
    """Note that the element `key` of a value is taken, where the value may be None or empty."""
    note_nothing(frame, value)
    if key.constant in (0, -1) and key.constant is not False:
        note_empty(frame, value)


def note_empty(frame: Frame, value: Value) -> None:
    """Note that an element is taken from a list read from this rank's disk, with no check that it is not empty."""
    if frame.alone_here and not frame.catching and any(cause.kind == "file system" for cause in value.extent.uneven):
        _note(frame, value, "empty")


def _note(frame: Frame, value: Value, kind: NoteKind) -> None:
    asked = {value.symbol, value.written}
    if not any(part in asked for condition in (*frame.conditions, *frame.asked) for part in condition.walk()):
        causes = tuple(cause for guard, _ in frame.guards for cause in guard.causes if cause.kind == "rank")
        frame.note(kind, frame.statement, causes[:1])


def note_never_none(frame: Frame, expr: Compare, left: Value, right: Value) -> None:
    """Note `if group is None` right after `group = new_group(ranks)`: non-members get an object there, not None."""
    made = left.symbol
    if expr.op not in ("is", "==") or right.constant is not None or not left.reference.partial:
        return
    if (
        left.reference.kind == _GROUP
        and made.kind == "place"
        and made.head[0] == _MAKING
        and not left.reference.optional
    ):
        frame.note("never none", frame.statement, (), expr)
