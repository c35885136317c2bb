"""The page of a run as HTML. Everything but the lanes can be read without scripts; names from a trace are escaped."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final

from collectivelint import palette

from ...verdict.rules import RULES
from .cards import frame
from .drawing import graph, ranks_bar
from .legend import lanes
from .number_tables import tables
from .words import code, group, prose, ranks, short, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from . import stacks
    from .cards import Card
    from .model import Picture
    from .source import Source

#: The scripts of the page, in the order in which they need each other.
_SCRIPTS: Final = ("calls", "lanes", "boxes", "page")
#: How many branches a stack has at most.
_BRANCHES: Final = 6
#: Classes of lines of a diff.
_SIGNS: Final = {"-": "out", "+": "in"}
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


@dataclass(frozen=True, slots=True)
class State:
    """Whether the run still goes on, and after how many seconds a browser reloads the page; 0 for never."""

    live: int = 0
    is_running: bool = False

    def words(self) -> str:
        """`running, as of 14:03:40`; "" for a run that has ended."""
        again = "" if self.live else "; this page is not written again"
        return f"running, as of {time.strftime('%H:%M:%S')}{again}" if self.live or self.is_running else ""


_ENDED: Final = State()


def section(picture: Picture) -> Section:
    """The section of a job, as HTML."""
    # No `<` in the data may end the script that it stands in.
    calls = json.dumps(picture.calls, separators=(",", ":")).replace("<", "\\u003c")
    parts = [*_verdict(picture), lanes(picture), *_waits(picture), *_stacks(picture.stacks), *tables(picture)]
    return Section(picture.name, picture.diverged, " ".join(picture.sentences), "".join(parts), calls)


def page(
    run: str,
    sections: Sequence[Section],
    problems: Iterable[str],
    notes: Iterable[str],
    checkpoints: Iterable[str],
    state: State = _ENDED,
) -> str:
    """The whole page. The first job that diverged comes first and is expanded.

    `problems` and `notes` are about the whole run, `checkpoints` are the lines of the text report.
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
        head = f"<summary><b>{text(part.name)}</b> <span>{sign}: {text(part.headline)}</span></summary>"
        bodies.append(f'<details class="job"{" open" * (position == 0)}>{head}{body}</details>')
    lines = [f"<li>{text(line)}</li>" for line in checkpoints]
    saved = f"<section><h2>Checkpoints</h2><ul>{''.join(lines)}</ul></section>" if lines else ""
    folder = resources.files(__package__)
    names = ("page.html", "page.css", *(f"{name}.js" for name in _SCRIPTS))
    html, css, *scripts = (folder.joinpath(name).read_text(encoding="utf-8") for name in names)
    places = {
        "TITLE": text(sections[first].headline if sections else run),
        "RUN": text(run),
        "LIVE": f' data-live="{state.live}"' if state.live else "",
        "STATE": f'<b class="live" data-written="{time.time():.0f}">{state.words()}</b>' if state.words() else "",
        "STYLE": f"{palette.of_page()}\n{css}",
        "SCRIPT": "".join(scripts),
        "PROBLEMS": "".join(f'<p class="bad">{text(problem)}</p>' for problem in problems)
        + "".join(f'<p class="faint">note: {text(note)}</p>' for note in notes),
        "BODY": "".join(bodies) + saved,
    }
    # All places at once: what stands in one of them may look like another.
    return re.sub("@(" + "|".join(places) + ")@", lambda match: places[match[1]], html)


def _verdict(picture: Picture) -> Iterator[str]:
    bad = ' class="bad"' if picture.diverged else ""
    yield f'<section class="verdict"><p class="tag"><b{bad}>{text(picture.title)}</b></p>'
    yield f"<h1>{' '.join(map(prose, picture.sentences))}</h1>"
    if picture.cards:
        cards = [_card(card, picture) for card in picture.cards]
        yield f'<div class="sides">{"".join(cards)}</div>'
    if picture.rule:
        name, why = RULES[picture.rule]
        yield f'<p class="rule"><b>{picture.rule} {name}</b> explains this: {prose(why)} '
        yield f"<span class=faint>(<code>collectivelint rule {picture.rule}</code> has the details)</span></p>"
    if picture.advice:
        yield f'<p class="rule"><b>What to change:</b> {prose(picture.advice)}</p>'
    if picture.fix is not None:
        lines = "".join(f'<span class="{_SIGNS.get(line[:1], "")}">{text(line)}</span>' for line in picture.fix.lines)
        yield f'<div class="fix"><p><b>The linter suggests</b>, at {code(short(picture.fix.place))}: {prose(picture.fix.message)} '
        # What only takes lines away has none to copy.
        copy = '<button class="copy">copy</button>' if any(line.startswith("+") for line in picture.fix.lines) else ""
        yield f'{copy}</p><pre class="src">{lines}</pre></div>'
    yield "".join(f'<p class="faint">{prose(note)}</p>' for note in picture.notes)
    yield "</section>"


def _card(card: Card, picture: Picture) -> str:
    state = _PLURAL.get(card.state, card.state) if card.ranks.startswith("ranks") else card.state
    parts = [
        f'<h2>{text(card.ranks)}</h2>{ranks_bar(card.members, picture.ranks)}<p class="state">{text(state.rstrip(":"))}</p>'
    ]
    if card.call:
        label = "" if card.state in ("waits in", "waited in", "calls", "called") or card.is_call else "last call "
        parts.append(
            f'<p class="call">{label}{_call(card)} on {group(card.group, picture.kinds.get(card.group, card.group))} '
            f'<span class="faint">#{card.sequence}</span></p>'
        )
    if card.place:
        parts.append(
            f'<p class="place"><button class="find" data-find="{text(card.place)}">{text(card.place)}</button></p>'
        )
    parts += _source(card.source)
    if card.stack:
        items = "".join(
            f"<li><b>{text(f.function)}</b> <span>{text(short(f.place) or f.text)}</span> <i>{text(f.source)}</i></li>"
            for f in card.stack
        )
        parts.append(f'<ol class="stack">{items}</ol>')
    return f'<div class="side">{"".join(parts)}</div>'


def _call(card: Card) -> str:
    """The call of a card, with the parts highlighted that the other sides do not have."""
    words = code(card.call)
    for part in card.differs:
        words = words.replace(text(part), f'<b class="bad">{text(part)}</b>', 1)
    return words


def _source(source: Source) -> Iterator[str]:
    lines = "".join(
        f"<span{f' class={mark}' * bool(mark)}><i>{number}</i>{text(line) or ' '}</span>"
        for number, line, mark in source.lines
    )
    if lines:
        yield f'<pre class="src">{lines}</pre>'
    if source.problem:
        yield f'<p class="faint">{text(source.problem)}</p>'


def _waits(picture: Picture) -> Iterator[str]:
    if any(node.lacks for node in picture.nodes):
        said = "Solid: is (or was) in the call. Dashed: the call waits for these ranks."
        yield f'<section><h2>Who waits for whom</h2><p class="say">{said}</p>{graph(picture.nodes)}</section>'


def _stacks(root: stacks.Frame) -> Iterator[str]:
    if root.ranks:
        said = "Merged stacks, root first. Each frame: ranks in it, and those that are not."
        yield f'<section><h2>Where the ranks stand, or ended</h2><p class="say">{said}</p>'
        yield f'<div class="flame">{"".join(_frames(root, frozenset(root.ranks)))}</div></section>'


def _frames(above: stacks.Frame, everybody: frozenset[int]) -> Iterator[str]:
    branches = sorted(above.inner.values(), key=lambda inner: (len(inner.ranks), inner.text))
    # The smallest ones are those that matter; the largest are the usual case and stay as well.
    shown = branches if len(branches) <= _BRANCHES else [*branches[: _BRANCHES - 1], branches[-1]]
    for inner in shown:
        part = frame(inner.text)
        without = everybody - set(inner.ranks)
        missing = f" <span class=faint>| not {ranks(without)}</span>" if without else ""
        yield f'<div class="branch"><div class="frame{" part" * bool(without)}"><b>{text(part.function or part.text)}</b> <span>{text(short(part.place))}</span>'
        yield f"<i>{text(part.source)}</i><em>{ranks(inner.ranks)}{missing}</em></div>"
        below = "".join(_frames(inner, everybody))
        yield (f'<div class="inner">{below}</div>' if below else "") + "</div>"
    if len(branches) > len(shown):
        yield f'<div class="branch"><div class="frame">and {len(branches) - len(shown)} more</div></div>'
