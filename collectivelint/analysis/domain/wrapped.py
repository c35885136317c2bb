"""Models that a framework has wrapped: using one takes all ranks of its group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...record import Record

if TYPE_CHECKING:
    from .symbol import Symbol


class Wrapped(Record):
    """What has wrapped a model: the class `kind` of the catalogue, for the ranks of `group`, with these constant `options`.

    `given` names the parameter that may be such a model, where only the caller knows what it is; `kind` is empty then. `asked`: all that
    shows it is that the program asks whether it is one.
    """

    __slots__ = ("asked", "given", "group", "kind", "options")

    def __init__(
        self,
        kind: str,
        group: Symbol,
        options: tuple[tuple[str, object], ...] = (),
        given: str | None = None,
        asked: bool = False,
    ) -> None:
        self.kind: Final = kind
        self.group: Final = group
        self.options: Final = options
        self.given: Final = given
        self.asked: Final = asked

    def _fields(self) -> tuple[object, ...]:
        return (self.kind, self.group, self.options, self.given, self.asked)


def either(one: Wrapped | None, other: Wrapped | None) -> Wrapped | None:
    """Of two that may be there, the one that says most: one of a known kind before a parameter and one that is asked of, else the first by name."""
    if one is None or other is None or one == other:
        return one or other
    return min(one, other, key=_order)


def _order(wrapped: Wrapped) -> tuple[object, ...]:
    return (
        wrapped.given is not None,
        wrapped.asked,
        wrapped.kind,
        wrapped.given or "",
        wrapped.group.digest,
        repr(wrapped.options),
    )
