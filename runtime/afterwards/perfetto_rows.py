"""Encoding many Perfetto packets that differ only in numbers: copy one encoded packet, and fill in the numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..traces.columns import Column

#: The numbers of a packet by name.
Numbers: TypeAlias = "Mapping[str, int]"
#: A number of the format that is as long as it can be: seven bits in a byte. Longer than need be is allowed.
_LONGEST: Final = 9
_FIXED: Final = 8


@dataclass(frozen=True, slots=True)
class Prototype:
    """An encoded packet and its numbers. `places`: the byte positions of each; `fixed`: those that are not varints."""

    data: Column
    places: Mapping[str, Column]
    fixed: frozenset[str]

    def rows(self, count: int, numbers: Mapping[str, Column]) -> Column:
        """`count` packets with these numbers, as an array (count, bytes)."""
        found = np.repeat(self.data[np.newaxis], count, axis=0)
        for name, places in self.places.items():
            values = numbers[name].astype(np.uint64)
            if name in self.fixed:
                found[:, places] = values.astype("<u8")[:, np.newaxis].view(np.uint8)
                continue
            for position, place in enumerate(places.tolist()):
                more = 0x80 if position < len(places) - 1 else 0
                found[:, place] = (values >> np.uint64(7 * position) & np.uint64(0x7F)).astype(np.uint8) | more
        return found


def prototype(encoded: Callable[[Numbers], bytes], widths: Mapping[str, int], fixed: frozenset[str]) -> Prototype:
    """The prototype of the packets that `encoded` makes from numbers. `widths`: how many bytes each number needs."""

    def filled(digit: int, name: str = "") -> Column:
        # Each byte of a number is 1, and those of one of them are another digit.
        values = {
            one: sum((digit if one == name else 1) << (8 if one in fixed else 7) * byte for byte in range(width))
            for one, width in widths.items()
        }
        return np.frombuffer(encoded(values), np.uint8)

    data = filled(1)
    return Prototype(data, {name: np.flatnonzero(filled(2, name) != data) for name in widths}, fixed)


def width(values: Column) -> int:
    """How many bytes the largest value needs as a varint (seven bits a byte)."""
    return min(_LONGEST, max(1, -(-int(values.max(initial=0)).bit_length() // 7)))


def joined(kinds: Column, made: Mapping[int, Column], lengths: Mapping[int, int]) -> bytes:
    """The packets as bytes, in order.

    `kinds`: the kind of each packet; `made`: the packets of each kind, an array (count, bytes); `lengths`: the bytes of
    one packet of each kind.
    """
    sizes = np.zeros(len(kinds), np.int64)
    for kind, length in lengths.items():
        sizes[kinds == kind] = length
    stops = np.cumsum(sizes)
    starts = stops - sizes
    found: Any = np.empty(int(stops[-1]) if len(stops) else 0, np.uint8)
    for kind, rows in made.items():
        found[starts[kinds == kind][:, np.newaxis] + np.arange(lengths[kind])] = rows
    return bytes(found.tobytes())
