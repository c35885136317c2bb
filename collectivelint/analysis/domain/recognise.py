"""What an expression asks for, or makes, as far as its structure says."""

from __future__ import annotations

from typing import Final

from .symbol import LAUNCHED, Symbol, operation

#: What is true of a job that is distributed; the other case has no other ranks to disagree with.
_DISTRIBUTED: Final = frozenset({operation("is_initialized"), operation("is_available"), LAUNCHED})


def launched(symbol: Symbol) -> bool | None:
    """Does a condition ask whether the job is distributed at all (True), or whether it is not (False)?"""
    if symbol in _DISTRIBUTED:
        return True
    if symbol.kind == "not":
        inner = launched(symbol.args[0])
        return None if inner is None else not inner
    if symbol.kind in ("and", "or"):
        outcome = symbol.kind == "and"
        return outcome if all(launched(operand) is outcome for operand in symbol.args) else None
    return None


def is_list(symbol: Symbol | None) -> bool:
    """Is it a list display, or a list with an element for each one of others, without a condition?"""
    if symbol is None:
        return False
    return symbol.head in (("List",), (True,)) and symbol.kind in ("compound", "comprehension")
