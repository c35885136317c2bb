"""The section of the lanes: a legend of their symbols, the clock of the times, and the controls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .words import text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .model import Picture

#: Symbols (classes of page.css) and what they mean: of all lanes, of a divergence, of one that lacks ranks, of lanes that ranks share.
_ALWAYS: Final = (
    ("wait", "in a call that not all ranks have reached, or that failed or did not end"),
    ("work", "in a call that all ranks have reached"),
    ("half", "asynchronous call"),
    ("none", "the rank's own work"),
    ("late", "how far behind the rank before it came last"),
    ("dot", "the selected call on its ranks, filled where it is selected or came last"),
)
_DIVERGED: Final = (("red", "call of the divergence"), ("line", "when the last rank reached it"))
_LACKS: Final = (("cross", "a rank that has not reached it"),)
_MANY: Final = (("open", "a lane that ranks share: the height is the share of them that is in a call"),)
#: What stands in the symbol.
_WORDS: Final = {"late": "+9 ms", "cross": "&times;", "open": "▸"}


def lanes(picture: Picture) -> str:
    """The section; a script draws the lanes into it."""
    symbols = _ALWAYS + _DIVERGED * picture.diverged + _LACKS * bool(picture.calls["lacks"])
    symbols += _MANY * (len(picture.ranks) > 64)
    key = "".join(f'<li><i class="k {name}">{_WORDS.get(name, "")}</i>{words}</li>' for name, words in symbols)
    left_out = _left_out(picture.calls)
    whole = "all that is drawn" if left_out else "whole run"
    return (
        _LANES.replace("@KEY@", key)
        .replace("@WHOLE@", whole)
        .replace("@CLOCK@", _clock(picture.calls["hosts"]) + left_out)
    )


def _clock(hosts: list[str]) -> str:
    """Which host's clock the times refer to, see offsets() in verdict/meetings.py."""
    if not hosts:
        return ""
    others = len(set(hosts)) - 1
    whose = f"the clock of {text(hosts[0])}" if hosts[0] else "the clock of the first rank"
    if others:
        whose += (
            f"; {others:,} other host{'s are' if others > 1 else ' is'} set to it by the ends of the calls of all ranks"
        )
    return f"Seconds since the first recorded call, by {whose}."


def _left_out(calls: Mapping[str, Any]) -> str:
    """Which calls are drawn, if not all; else ""."""
    drawn, of = sum(calls["counts"]), calls["of"]
    if drawn >= of:
        return ""
    since, until = calls["since"], calls["since"] + calls["end"] * calls["tick"]
    return f" Drawn are {drawn:,} of {of:,} calls, those from {since:.3f} s to {until:.3f} s; the verdict and the tables are of all."


_LANES: Final = """<section class="lanes"><h2>Lanes</h2>
<p class="say">Rank by time. @CLOCK@ <span class="steps"></span></p>
<p class="say many" hidden>On top: ranks of the divergence, those that came latest in all, and those searched for. Below, ranks share a lane: by host, or
those that call the same operations at the same sites. A click on its name, or Enter, opens one.</p>
<noscript><p>The lanes are drawn by a script in this file.</p></noscript><div class="draw" hidden>
<div class="tools"><input type="search" class="filter" placeholder="op, group, site or rank:3" aria-label="Filter of the calls">
<span class="count" aria-live="polite"></span><span class="legend"></span><span class="zoom"><button class="many" data-do="h" hidden>by host</button
><button class="many" data-do="g" hidden>by calls</button><button data-do="s" aria-label="zoom out">-</button
><button data-do="w" aria-label="zoom in">+</button><button data-do="f">@WHOLE@</button><button data-do="x" class="to"></button></span></div>
<canvas class="cv" tabindex="0" role="application" aria-label="Lanes: rank by time"></canvas>
<canvas class="mini" aria-hidden="true"></canvas>
<ul class="key">@KEY@</ul>
<p class="detail" aria-live="polite"></p><ol class="stack at"></ol>
<p class="hint"><kbd>w</kbd> <kbd>s</kbd> zoom <kbd>a</kbd> <kbd>d</kbd> move <kbd>f</kbd> @WHOLE@ <kbd>x</kbd> <span class="to"></span>
<kbd>/</kbd> filter <kbd>&larr;</kbd> <kbd>&rarr;</kbd> call <kbd>&uarr;</kbd> <kbd>&darr;</kbd> rank<span class="many" hidden> <kbd>h</kbd> by host
<kbd>g</kbd> by calls <kbd>Enter</kbd> opens the lane of a rank</span>. Drag moves, Ctrl + wheel or two fingers zoom. A click on a group hides it.</p>
</div></section>"""
