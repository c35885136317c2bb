"""Removing unused symbols from the symbol table.

Most symbols are of use to one function only: dropped after it, they leave a small table that is searched faster. Others
outlive it; those are looked for from time to time, since a language server runs for days. The table has no weak
references, since a class that mypyc compiles supports none: references are counted instead. A symbol that is held stays
the same object.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from .symbol import FRESH, TABLE, make

if TYPE_CHECKING:
    from .symbol import Key

#: A table with fewer new symbols is left alone.
FEW: Final = 20_000
#: How many symbols were left the last time.
_left: list[int] = [0]


#: Fewer fresh symbols are left alone.
_FEW_FRESH: Final = 4_000


def drop_fresh(few: int = _FEW_FRESH) -> None:
    """Remove symbols made since the last call that only the table refers to, if more than `few` were made."""
    if len(FRESH) > few:
        # What a symbol is made of was made before it.
        _drop(FRESH)


def sweep(few: int = FEW) -> None:
    """Remove symbols that only the table refers to, if it has doubled and grown by more than `few` since last time."""
    if len(TABLE) < 2 * _left[0] + few:
        return
    FRESH.clear()
    for key in [key for key, symbol in TABLE.items() if symbol.kind != key[0]]:
        # A deep expression; the opaque symbol that stands for it is found again by its digest.
        del TABLE[key]
    # Last come the symbols that others are made of.
    _drop(sorted(TABLE, key=_height))
    _left[0] = len(TABLE)


def _drop(keys: list[Key]) -> None:
    """Remove those of these symbols that only the table refers to, last to first, and empty the list."""
    probe: Key = ("place", ("held by the table only",), ())
    make(*probe)
    if keys is FRESH:
        FRESH.pop()
    keys.append(probe)
    unused = -1
    while keys:
        # A key that stayed in the list would hold what its symbol is made of.
        key = keys.pop()
        found = TABLE.get(key)
        if found is None:
            continue
        held = sys.getrefcount(found)
        if unused < 0:
            unused = held
        if held <= unused or found.kind != key[0]:
            del TABLE[key]
    FRESH.clear()


def _height(key: Key) -> int:
    """A sort key by which operands come before the symbols made of them; a negation is as deep as its operand."""
    return 2 * TABLE[key].depth + (key[0] == "not")
