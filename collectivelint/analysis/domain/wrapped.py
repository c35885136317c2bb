"""Models wrapped by a framework: a forward or backward pass needs all ranks of the group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...record import Record

if TYPE_CHECKING:
    from .symbol import Symbol


class Wrapped(Record):
    """The wrapper of a model: the catalogue class `kind`, the `group`, and the constant `options`.

    `given` names the parameter that may be such a model, where only the caller knows what it is; `kind` is empty then.
    `asked`: the only evidence is that the program tests whether it is one.
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
    """The join of two wrappers: a known kind before a parameter or a mere test, else the first by name."""
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
