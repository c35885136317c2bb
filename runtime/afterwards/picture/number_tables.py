"""The tables of the page: calls by site and group, how often ranks came last, groups."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from ...quantities import amount
from .words import LONG, code, group, ranks, short, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .model import Picture

#: How many rows tables have at most, and that of the ranks.
_ROWS: Final = 100
_RANKS: Final = 16


def tables(picture: Picture) -> Iterator[str]:
    """Each as a section."""
    rows = [
        (
            f'{code(row.op)}<button class="find under" data-find="{text(row.site)}">{text(short(row.site))}</button>',
            f"{row.calls:,}",
            amount(row.bytes),
            f"{row.seconds:.3f}",
            f"{row.waited:.3f}",
            f"{row.skew:.3f}",
            f'<button class="find" data-find="{text(row.site)}" title="{text(row.site)}">{text(short(row.site))}</button>',
            group(row.group, picture.kinds.get(row.group, "")),
            ranks(row.ranks),
        )
        for row in islice(picture.rows, _ROWS)
    ]
    said = '<p class="say">Seconds of all ranks together. Waited: until the last rank of the group was there. Skew: first to last rank.</p>'
    yield f"<section><h2>Calls by site and group</h2>{said}"
    heads = ("operation", "calls", "bytes", "seconds", "waited", "skew", "site", "group", "ranks")
    yield _table(heads, rows, 5, _more(len(picture.rows) - _ROWS, "rows", "row"), "sites") + "</section>"
    late_ranks = [
        (
            f'<button class="find" data-find="rank:{rank}">rank {rank}</button>',
            f"{last:,}",
            f"{late:.3f}",
            f"{waited:.3f}",
            f"{seconds:.3f}",
            text(host),
        )
        for rank, host, seconds, waited, last, late in picture.late[:_RANKS]
    ]
    yield f"<section>{_late(picture, late_ranks)}</section>"
    uses = [
        (
            group(use.group, use.kind),
            f"{use.calls:,}",
            text(_cut(use.by)),
        )
        for use in picture.uses[:_ROWS]
    ]
    yield '<section><h2>Groups</h2><p class="say">Used by: the members that made a call on the group.</p>'
    yield (
        _table(("group", "calls", "used by"), uses, 1, _more(len(picture.uses) - _ROWS, "groups", "group"))
        + "</section>"
    )


def _late(picture: Picture, rows: Sequence[Sequence[str]]) -> str:
    """The ranks that came last; folded if ranks diverged, since being a little late matters little then."""
    title = "Ranks that came last"
    said = "Over all calls that every rank of their group made. Late: seconds behind the rank before, in all."
    more = _more(len(picture.late) - _RANKS, "ranks that were less late", "rank that was less late")
    table = _table(("rank", "was last", "late", "waited", "in calls", "host"), rows, 4, more)
    body = f'<p class="say">{said}</p>{table}'
    if picture.diverged:
        return f'<details class="fold"><summary><h2>{title}</h2> <span>before the divergence</span></summary>{body}</details>'
    return f"<h2>{title}</h2>{body}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int, more: str = "", kind: str = "") -> str:
    """An HTML table. `numbers`: how many columns, from the second on, are aligned to the right."""
    right = range(1, numbers + 1)
    heads = "".join(f'<th scope="col"{" class=n" * (i in right)}>{name}</th>' for i, name in enumerate(head))
    cells = "".join(
        "<tr>" + "".join(f"<td{' class=n' * (i in right)}>{cell}</td>" for i, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table{f" class={kind}" * bool(kind)}><thead><tr>{heads}</tr></thead><tbody>{cells}</tbody></table></div>{more}'


def _more(count: int, what: str, one: str) -> str:
    return f'<p class="faint">and {count:,} more {one if count == 1 else what}</p>' if count > 0 else ""


def _cut(value: str) -> str:
    return value if len(value) <= LONG else f"{value[:LONG]} ..."
