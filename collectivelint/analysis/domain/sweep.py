"""The table of symbols, cleared of those that nothing else holds: a language server runs for days."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from .symbol import TABLE, make

if TYPE_CHECKING:
    from .symbol import Key

#: A table with fewer new symbols is left alone.
FEW: Final = 20_000
#: How many symbols were left the last time.
_left: list[int] = [0]


def sweep(few: int = FEW) -> None:
    """Forget the symbols that only the table holds, where it has doubled and grown by more than `few` since the last time.

    The table has no weak references, since a class that mypyc compiles supports none: references are counted instead. A symbol
    that is held stays the same object.
    """
    if len(TABLE) < 2 * _left[0] + few:
        return
    for key in [key for key, symbol in TABLE.items() if symbol.kind != key[0]]:
        # A deep expression; the opaque symbol that stands for it is found again by its digest.
        del TABLE[key]
    probe: Key = ("place", ("held by the table only",), ())
    make(*probe)
    # Last come the symbols that others are made of. A key that is not popped would hold them.
    keys = sorted(TABLE, key=_height)
    keys.append(probe)
    unused = -1
    while keys:
        key = keys.pop()
        found = TABLE.get(key)
        if found is None:
            continue
        held = sys.getrefcount(found)
        if unused < 0:
            unused = held
        if held <= unused:
            del TABLE[key]
    _left[0] = len(TABLE)


def _height(key: Key) -> int:
    """An order in which what a symbol is made of comes before it; a negation is as deep as what it negates."""
    return 2 * TABLE[key].depth + (key[0] == "not")
