"""Ranks and bytes as reports write them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_ENDINGS: Final = {1: "st", 2: "nd", 3: "rd"}
_BITS: Final = re.compile(r"(\d+)")


def ranks_text(ranks: Iterable[int]) -> str:
    """`rank 3`, `ranks 0-2,5`."""
    ordered = sorted(ranks)
    if not ordered:
        return "no rank"
    runs: list[list[int]] = []
    for rank in ordered:
        if runs and runs[-1][-1] == rank - 1:
            runs[-1].append(rank)
        else:
            runs.append([rank])
    shown = ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"{'ranks' if len(ordered) > 1 else 'rank'} {shown}"


def ordinal(number: int) -> str:
    """`2nd`, `11th`."""
    last = 0 if number // 10 % 10 == 1 else number % 10
    return f"{number}{_ENDINGS.get(last, 'th')}"


def width(dtype: str) -> int:
    """Bytes of one element: `torch.bfloat16` 2, `torch.float8_e4m3fn` 1, `torch.bool` 1."""
    bits = _BITS.search(str(dtype))
    return (
        max(1, int(bits[1]) // 8) if bits is not None else {"Float": 4, "Double": 8, "Long": 8, "Int": 4}.get(dtype, 1)
    )


def amount(count: int) -> str:
    """A number of bytes in readable units: `1.5 MB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def and_more(count: int, noun: str) -> str:
    """` and 2 more tensors`; empty for 0."""
    return f" and {count} more {noun}{'s' * (count != 1)}" if count > 0 else ""
