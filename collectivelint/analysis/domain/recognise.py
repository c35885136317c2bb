"""Recognising conditions and values by the structure of their symbols."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .symbol import Symbol
    from .value import Value

#: Methods that add to a container.
ADDING: Final = frozenset({"append", "extend", "add", "put", "appendleft"})


def launched(symbol: Symbol) -> bool | None:
    """True for a condition that is true if the job is distributed, False for one that is true if it is not; else None.

    A job that is not distributed has no other ranks to diverge from.
    """
    if symbol.kind == "launched":
        return True
    if symbol.kind == "not":
        inner = launched(symbol.args[0])
        return None if inner is None else not inner
    if symbol.kind in ("and", "or"):
        outcome = symbol.kind == "and"
        return outcome if all(launched(operand) is outcome for operand in symbol.args) else None
    return None


def is_remainder(symbol: Symbol) -> bool:
    """Whether it is the remainder of a division by a number constant, `rank % 2`."""
    if symbol.kind != "compound" or symbol.head != ("Mod",) or symbol.args[0].kind == "constant":
        return False
    return symbol.args[1].kind == "constant" and symbol.args[1].head[0] == "int"


def is_list(symbol: Symbol | None) -> bool:
    """Whether it is a list display, or a list comprehension over one without a condition."""
    if symbol is None:
        return False
    return (
        symbol.head == ("List",)
        if symbol.kind == "compound"
        else symbol.kind == "comprehension" and symbol.head[0] is True
    )


def is_open_group(group: Symbol | None) -> bool:
    """Whether it is unknown which group a size belongs to: there is none, or a function computes it."""
    return group is None or group.kind in ("place", "call")


def is_path(value: Value) -> bool:
    """Whether it is known to be an object of pathlib."""
    kind = value.reference.kind
    return kind is not None and kind.startswith("pathlib.")


def may_be_one_rank(group: Value) -> bool:
    """Whether a group may have a single member: its ranks are written so, or it is made on some ranks only."""
    if group.uniformity.varies or group.uniformity.absent:
        return True
    return group.reference.partial and len({part.symbol for part in group.reference.parts}) == 1
