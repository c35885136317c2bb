"""The wait-for graph as inline SVG: ranks on the left, the calls that they wait in on the right."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from collectivelint.printable import one_line

from ...quantities import ranks_text

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from .waits import Node

#: Cells of a bar of ranks.
_CELLS: Final = 64
#: Sides that are drawn, and the units of the drawing.
_SIDES: Final = 8
_ROW, _TOP, _LEFT, _RIGHT, _WIDTH, _HEIGHT = 104, 12, 104, 190, 270, 52


def graph(nodes: Sequence[Node]) -> str:
    """An `<svg>` with a row for each side, at most 8."""
    shown = nodes[:_SIDES]
    left_over = f"<p class=faint>and {len(nodes) - _SIDES} more sides</p>" if len(nodes) > _SIDES else ""
    height = 2 * _TOP + _ROW * (len(shown) - 1) + _HEIGHT
    said = "; ".join(
        f"{node.ranks}: {node.call}" + (f", waits for {ranks_text(node.lacks)}" if node.lacks else "") for node in shown
    )
    parts = [
        f'<svg class="graph" viewBox="0 0 470 {height}" role="img" aria-label="{_text(said, 600)}"><defs>'
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="context-stroke"/></marker></defs>'
    ]
    for number, node in enumerate(shown):
        y = _TOP + number * _ROW + _HEIGHT // 2
        for other, target in enumerate(shown):
            if set(node.lacks) & set(target.side.ranks):
                parts.append(_lacks(number, other, set(node.lacks) & set(target.side.ranks)))
        parts.append(
            f'<rect class="ranks" x="2" y="{y - 17}" width="{_LEFT}" height="34" rx="17"/>'
            f'<text class="mid" x="{2 + _LEFT // 2}" y="{y + 4}">{_ranks(node.side.ranks, 16)}</text>'
        )
        parts.append(f'<path class="waits" d="M{_LEFT + 4} {y}H{_RIGHT - 2}" marker-end="url(#tip)"/>')
        ended = "" if node.waits else " ended"
        parts.append(
            f'<rect class="box{ended}" x="{_RIGHT}" y="{y - 26}" width="{_WIDTH}" height="{_HEIGHT}" rx="5"/>'
            f'<text class="name" x="{_RIGHT + 12}" y="{y - 4}">{_text(node.call, 33)}</text>'
        )
        event = node.side.event
        if node.waits and event is not None:
            here = node.members - len(node.lacks)
            group = (
                f"#{event.sequence}, {here} of {node.members} have reached it"
                if event.kind != "p2p"
                else f"#{event.sequence}"
            )
            parts.append(f'<text class="small" x="{_RIGHT + 12}" y="{y + 14}">{_text(group, 42)}</text>')
        else:
            parts.append(f'<text class="small" x="{_RIGHT + 12}" y="{y + 14}">never reaches the call</text>')
    return "".join(parts) + f"</svg>{left_over}"


def _lacks(number: int, other: int, ranks: Collection[int]) -> str:
    """A dashed line from the call of a row to the ranks of row `other` that it waits for."""
    down = 1 if other > number else -1
    start = _TOP + number * _ROW + _HEIGHT // 2 + 14 * down
    stop = _TOP + other * _ROW + _HEIGHT // 2 - 18 * down
    x = 34 + 48 * (down < 0) + 6 * (number % 3)
    middle = (start + stop) / 2
    label = start + (30 if down > 0 else -20)
    return (
        f'<path class="lacks" d="M{_RIGHT - 2} {start}C{x + 70} {start} {x} {middle} {x} {stop}" marker-end="url(#tip)"/>'
        f'<text class="lack" x="{_RIGHT + 12}" y="{label}">waits for {_ranks(ranks, 30)}</text>'
    )


def ranks_bar(some: Collection[int], ranks: Sequence[int]) -> str:
    """An `<svg>` with a cell for each rank, filled for those in `some`; "" if `some` is empty or for a single rank.

    Jobs of more than 64 ranks share cells: each is filled by the share of its ranks in `some`, and outlined if that is
    not all or none.
    """
    if len(ranks) < 2 or not some:
        return ""
    count = min(len(ranks), _CELLS)
    size, step = (10, 13) if count <= 16 else (6, 8)
    inside = frozenset(some)
    cells = []
    for cell in range(count):
        here = ranks[cell * len(ranks) // count : (cell + 1) * len(ranks) // count]
        share = sum(rank in inside for rank in here) / len(here)
        kind = "none" if not share else "all" if share == 1 else "part"
        x = 1 + cell * step
        cells.append(f'<rect class="{kind}" x="{x}" y="1" width="{size}" height="10" rx="1.5"/>')
        if kind == "part":
            # Something of a cell is seen as soon as one rank of it is there, and something lacks as long as one does.
            tall = min(9.0, max(1.0, 10 * share))
            cells.append(f'<rect class="all" x="{x}" y="{11 - tall:.1f}" width="{size}" height="{tall:.1f}"/>')
    width = count * step + 1
    return (
        f'<svg class="bar" viewBox="0 0 {width} 12" style="width:{width}px" role="img" '
        f'aria-label="{len(inside)} of {len(ranks)} ranks">{"".join(cells)}</svg>'
    )


def _ranks(ranks: Collection[int], most: int) -> str:
    """`ranks 0-2`, or only their number if that is longer than `most` characters: a truncated list would be wrong."""
    text = ranks_text(ranks)
    return text if len(text) <= most else f"{len(ranks):,} ranks"


def _text(value: str, most: int) -> str:
    line = one_line(value)
    return escape(line if len(line) <= most else f"{line[: most - 1]}…")
