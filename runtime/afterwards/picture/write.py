"""The page of a run as HTML. Everything but the lanes can be read without scripts; names from a trace are escaped."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from html import escape
from importlib import resources
from itertools import islice
from typing import TYPE_CHECKING, Final

from collectivelint.printable import one_line

from ...quantities import amount, ranks_text
from ...verdict.rules import RULES
from .drawing import graph
from .model import frame
from .named import compact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from . import stacks
    from .model import Card, Picture

#: The scripts of the page, in the order in which they need each other.
_SCRIPTS: Final = ("calls", "lanes", "boxes", "page")
#: How many rows tables have at most, and how many branches a stack.
_ROWS: Final = 100
_RANKS: Final = 16
_BRANCHES: Final = 6
#: So many characters of a list of ranks are shown.
_LONG: Final = 80
#: The states of several ranks.
_PLURAL: Final = {"waits in": "wait in", "calls": "call", "has finished": "have finished"}


@dataclass(frozen=True, slots=True)
class Section:
    """A job on the page: its HTML and the packed calls, without its events."""

    name: str
    diverged: bool
    headline: str
    html: str
    calls: str


def section(picture: Picture) -> Section:
    """The part of a job, as HTML."""
    # No `<` in the data may end the script that it stands in.
    calls = json.dumps(picture.calls, separators=(",", ":")).replace("<", "\\u003c")
    parts = [*_verdict(picture), _LANES, *_waits(picture), *_stacks(picture.stacks), *_tables(picture)]
    return Section(picture.name, picture.diverged, " ".join(picture.sentences), "".join(parts), calls)


def page(
    run: str,
    sections: Sequence[Section],
    problems: Iterable[str],
    notes: Iterable[str],
    checkpoints: Iterable[str],
    live: int = 0,
) -> str:
    """The whole page. The first job that diverged comes first and is open.

    `problems` and `notes` are about the whole run, `checkpoints` are the lines of the text report. `live`: the job runs, and
    after so many seconds a browser is to read the file again; 0 for the last page.
    """
    first = next((number for number, part in enumerate(sections) if part.diverged), 0)
    order = [first, *(number for number in range(len(sections)) if number != first)] if sections else []
    bodies = []
    for position, number in enumerate(order):
        part = sections[number]
        body = f'{part.html}<script type="application/json" class="calls">{part.calls}</script>'
        if len(sections) == 1:
            bodies.append(f'<article class="job">{body}</article>')
            continue
        sign = "diverged" if part.diverged else "no divergence"
        head = f"<summary><b>{_text(part.name)}</b> <span>{sign}: {_text(part.headline)}</span></summary>"
        bodies.append(f'<details class="job"{" open" * (position == 0)}>{head}{body}</details>')
    lines = [f"<li>{_text(line)}</li>" for line in checkpoints]
    saved = f"<section><h2>Checkpoints</h2><ul>{''.join(lines)}</ul></section>" if lines else ""
    folder = resources.files(__package__)
    names = ("page.html", "page.css", *(f"{name}.js" for name in _SCRIPTS))
    html, css, *scripts = (folder.joinpath(name).read_text(encoding="utf-8") for name in names)
    places = {
        "TITLE": _text(sections[first].headline if sections else run),
        "RUN": _text(run),
        "LIVE": f' data-live="{live}"' if live else "",
        "STATE": f'<b class="live">running, as of {time.strftime("%H:%M:%S")}</b>' if live else "",
        "STYLE": css,
        "SCRIPT": "".join(scripts),
        "PROBLEMS": "".join(f'<p class="bad">{_text(problem)}</p>' for problem in problems)
        + "".join(f'<p class="faint">note: {_text(note)}</p>' for note in notes),
        "BODY": "".join(bodies) + saved,
    }
    # All places at once: what stands in one of them may look like another.
    return re.sub("@(" + "|".join(places) + ")@", lambda match: places[match[1]], html)


def _text(value: object) -> str:
    return escape(one_line(compact(str(value))))


def _prose(value: object) -> str:
    """A sentence of the report: what stands in backticks there is a name."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", _text(value))


def _code(value: object) -> str:
    return f"<code>{_text(value)}</code>"


def _verdict(picture: Picture) -> Iterator[str]:
    bad = ' class="bad"' if picture.diverged else ""
    yield f'<section class="verdict"><p class="tag"><b{bad}>{_text(picture.title)}</b></p>'
    yield f"<h1>{' '.join(map(_prose, picture.sentences))}</h1>"
    if picture.cards:
        yield f'<div class="sides">{"".join(map(_card, picture.cards))}</div>'
    if picture.rule:
        name, why = RULES[picture.rule]
        yield f'<p class="rule"><b>{picture.rule} {name}</b> explains this: {_prose(why)} '
        yield f"<span class=faint>(<code>collectivelint rule {picture.rule}</code> has the details)</span></p>"
    yield "".join(f'<p class="faint">{_prose(note)}</p>' for note in picture.notes)
    yield "</section>"


def _card(card: Card) -> str:
    state = _PLURAL.get(card.state, card.state) if card.ranks.startswith("ranks") else card.state
    parts = [f'<h2>{_text(card.ranks)}</h2><p class="state">{_text(state.rstrip(":"))}</p>']
    if card.call:
        label = "" if card.state in ("waits in", "waited in", "calls", "called") else "last call "
        parts.append(
            f'<p class="call">{label}{_code(card.call)} on {_group(card.group, card.kind)} '
            f'<span class="faint">#{card.sequence}</span></p>'
        )
    if card.place:
        parts.append(
            f'<p class="place"><button class="find" data-find="{_text(card.place)}">{_text(card.place)}</button></p>'
        )
    if card.source:
        lines = "".join(
            f"<span{' class=here' * here}><i>{number}</i>{_text(line) or ' '}</span>"
            for number, line, here in card.source
        )
        parts.append(f'<pre class="src">{lines}</pre>')
    if card.stack:
        items = "".join(
            f"<li><b>{_text(f.function)}</b> <span>{_text(_short(f.place) or f.text)}</span> <i>{_text(f.source)}</i></li>"
            for f in card.stack
        )
        parts.append(f'<ol class="stack">{items}</ol>')
    return f'<div class="side">{"".join(parts)}</div>'


def _group(group: str, kind: str) -> str:
    return f'<span class="group" data-kind="{_text(kind)}">{_prose(group)}</span>'


def _short(place: str) -> str:
    """The last two parts of a path."""
    return "/".join(place.replace("\\", "/").rsplit("/", 2)[-2:])


_LANES: Final = """<section class="lanes"><h2>Lanes</h2>
<p class="say">Rank by time. Hatched: in the call before the last rank of the group is there, or in one that failed or did not end. Solid: the rest of the call. Half height:
asynchronous. Blank: the rank's own work. Red outline: a call of the divergence. <span class="steps"></span></p>
<p class="say many" hidden>On top: ranks of the divergence, those that came latest in all, and those searched for. Below, ranks share a lane, which shows the
share of them that is in a call: by host, or those that call the same operations at the same sites. A click on its name, or Enter, opens one.</p>
<noscript><p>The lanes are drawn by a script in this file.</p></noscript><div class="draw" hidden>
<div class="tools"><input type="search" class="filter" placeholder="op, group, site or rank:3" aria-label="Filter of the calls">
<span class="count" aria-live="polite"></span><span class="legend"></span><span class="zoom"><button class="many" data-do="h" hidden>by host</button
><button class="many" data-do="c" hidden>by calls</button><button data-do="s" aria-label="zoom out">-</button
><button data-do="w" aria-label="zoom in">+</button><button data-do="f">whole run</button><button data-do="x" class="to"></button></span></div>
<canvas class="cv" tabindex="0" role="application" aria-label="Lanes: rank by time"></canvas>
<canvas class="mini" aria-hidden="true"></canvas>
<p class="detail" aria-live="polite"></p>
<p class="hint"><kbd>w</kbd> <kbd>s</kbd> zoom <kbd>a</kbd> <kbd>d</kbd> move <kbd>f</kbd> whole run <kbd>x</kbd> <span class="to"></span>
<kbd>/</kbd> filter <kbd>&larr;</kbd> <kbd>&rarr;</kbd> call <kbd>&uarr;</kbd> <kbd>&darr;</kbd> rank<span class="many" hidden> <kbd>h</kbd> by host
<kbd>c</kbd> by calls <kbd>Enter</kbd> opens the lane of a rank</span>. Drag moves, Ctrl + wheel zooms.</p>
</div></section>"""


def _waits(picture: Picture) -> Iterator[str]:
    if any(node.lacks for node in picture.nodes):
        said = "Solid: is (or was) in the call. Dashed: the call lacks these ranks."
        yield f'<section><h2>Who waits for whom</h2><p class="say">{said}</p>{graph(picture.nodes)}</section>'


def _stacks(root: stacks.Frame) -> Iterator[str]:
    if root.ranks:
        said = "Merged stacks, root first. Each frame: ranks in it, and those that are not."
        yield f'<section><h2>Where the ranks stand, or ended</h2><p class="say">{said}</p>'
        yield f'<div class="flame">{"".join(_frames(root, frozenset(root.ranks)))}</div></section>'


def _frames(above: stacks.Frame, ranks: frozenset[int]) -> Iterator[str]:
    branches = sorted(above.inner.values(), key=lambda inner: (len(inner.ranks), inner.text))
    # The smallest ones are those that matter; the largest are the usual case and stay as well.
    shown = branches if len(branches) <= _BRANCHES else [*branches[: _BRANCHES - 1], branches[-1]]
    for inner in shown:
        part = frame(inner.text)
        without = ranks - set(inner.ranks)
        missing = f" <span class=faint>| not {_ranks(without)}</span>" if without else ""
        yield f'<div class="branch"><div class="frame{" part" * bool(without)}"><b>{_text(part.function or part.text)}</b> <span>{_text(_short(part.place))}</span>'
        yield f"<i>{_text(part.source)}</i><em>{_ranks(inner.ranks)}{missing}</em></div>"
        below = "".join(_frames(inner, ranks))
        yield (f'<div class="inner">{below}</div>' if below else "") + "</div>"
    if len(branches) > len(shown):
        yield f'<div class="branch"><div class="frame">and {len(branches) - len(shown)} more</div></div>'


def _ranks(ranks: Iterable[int]) -> str:
    text = ranks_text(ranks)
    return _text(text if len(text) <= _LONG else f"{text[:_LONG].rpartition(',')[0]} and more")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int, more: str = "", kind: str = "") -> str:
    """`numbers`: how many of the columns, from the second on, stand right."""
    right = range(1, numbers + 1)
    heads = "".join(f'<th scope="col"{" class=n" * (i in right)}>{name}</th>' for i, name in enumerate(head))
    cells = "".join(
        "<tr>" + "".join(f"<td{' class=n' * (i in right)}>{cell}</td>" for i, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table{f" class={kind}" * bool(kind)}><thead><tr>{heads}</tr></thead><tbody>{cells}</tbody></table></div>{more}'


def _more(count: int, what: str, one: str) -> str:
    return f'<p class="faint">and {count:,} more {one if count == 1 else what}</p>' if count > 0 else ""


def _tables(picture: Picture) -> Iterator[str]:
    rows = [
        (
            f'{_code(row.op)}<button class="find under" data-find="{_text(row.site)}">{_text(_short(row.site))}</button>',
            f"{row.calls:,}",
            amount(row.bytes),
            f"{row.seconds:.3f}",
            f"{row.waited:.3f}",
            f"{row.skew:.3f}",
            f'<button class="find" data-find="{_text(row.site)}" title="{_text(row.site)}">{_text(_short(row.site))}</button>',
            _group(row.group, picture.kinds.get(row.group, "")),
            _ranks(row.ranks),
        )
        for row in islice(picture.rows, _ROWS)
    ]
    said = '<p class="say">Seconds of all ranks together. Waited: until the last rank of the group was there. Skew: first to last rank.</p>'
    yield f"<section><h2>Calls by site and group</h2>{said}"
    heads = ("operation", "calls", "bytes", "seconds", "waited", "skew", "site", "group", "ranks")
    yield _table(heads, rows, 5, _more(len(picture.rows) - _ROWS, "rows", "row"), "sites") + "</section>"
    ranks = [
        (
            f'<button class="find" data-find="rank:{rank}">rank {rank}</button>',
            f"{last:,}",
            f"{late:.3f}",
            f"{waited:.3f}",
            f"{seconds:.3f}",
            _text(host),
        )
        for rank, host, seconds, waited, last, late in picture.late[:_RANKS]
    ]
    yield '<section><h2>Ranks that came last</h2><p class="say">Late: seconds behind the rank before, in all.</p>'
    yield (
        _table(
            ("rank", "was last", "late", "waited", "in calls", "host"),
            ranks,
            4,
            _more(len(picture.late) - _RANKS, "ranks that were less late", "rank that was less late"),
        )
        + "</section>"
    )
    uses = [
        (
            _group(use.group, use.kind),
            f"{use.calls:,}",
            _text(_cut(use.by)),
        )
        for use in picture.uses[:_ROWS]
    ]
    yield f"<section><h2>Groups</h2>{_table(('group', 'calls', 'used by'), uses, 1, _more(len(picture.uses) - _ROWS, 'groups', 'group'))}</section>"


def _cut(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[:_LONG]} ..."
