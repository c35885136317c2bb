"""The page of a run: its verdict can be read without scripts, and its lanes open at the divergence."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from collectivelint.runtime.afterwards import group_usage
from collectivelint.runtime.afterwards.picture import write
from collectivelint.runtime.afterwards.picture.model import picture
from collectivelint.runtime.afterwards.statistics import Statistics
from collectivelint.runtime.beside import judging
from collectivelint.runtime.traces.jobs import Job as TracedJob
from collectivelint.runtime.traces.model import Event, Group, Place, Rank, State, Trace
from collectivelint.runtime.verdict import matching

from .conftest import line_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Job

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def _page(job: Job, code: int) -> Path:
    page = job.folder.parent / "run.html"
    command = [sys.executable, "-m", "collectivelint", "report", str(job.folder), "--html", str(page)]
    ran = subprocess.run(command, cwd=page.parent, capture_output=True, text=True, check=False)
    assert ran.returncode == code, ran.stderr
    return page


def _shown(page: Path, hash_: str = "") -> str:
    """The document after its script has run without an error."""
    assert BROWSER is not None
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=5000"]
    flags += [f"--user-data-dir={page.parent / 'profile'}", "--dump-dom", f"{page.as_uri()}{hash_}"]
    ran = subprocess.run([BROWSER, *flags], capture_output=True, text=True, timeout=120, check=False)
    assert "</html>" in ran.stdout, ran.stderr
    assert "CONSOLE" not in ran.stderr, ran.stderr
    return ran.stdout


def test_the_verdict_stands_in_the_page(trace: Callable[..., Job]) -> None:
    page = _page(trace("scenarios.py", "exception", ranks=2), 1)
    text = page.read_text()
    line = line_of('        raise ValueError("rank 1 cannot read its shard")', "scenarios.py")
    assert "<h1>Rank 0 waits for rank 1. Rank 1 raised ValueError: rank 1 cannot read its shard at " in text
    assert f"<i>{line}</i>        raise ValueError(&quot;rank 1 cannot read its shard&quot;)</span>" in text
    assert "lacks rank 1</text>" in text
    assert "rank 1 <span class=faint>| not rank 0</span>" in text
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)
    if BROWSER is None:
        pytest.skip("no Chromium: the lanes were not looked at")
    shown = _shown(page, "#q=rank:1")
    seen = dict(re.findall(r'data-(from|to|at)="([\d.]+)"', shown))
    assert float(seen["from"]) <= float(seen["at"]) < float(seen["to"])
    calls = re.search(r'class="count"[^>]*>(\d+) of (\d+) calls<', shown)
    assert calls is not None
    assert 0 < int(calls[1]) < int(calls[2])


def test_a_sound_run(trace: Callable[..., Job]) -> None:
    page = _page(trace("scenarios.py", "agree_only", ranks=2), 0)
    text = page.read_text()
    assert re.search(r"<h1>No divergence in \d+ calls of 2 ranks\.</h1>", text)
    assert "The latest arrival: rank " in text
    assert 'class="bad"' not in text
    assert "Who waits for whom" not in text
    if BROWSER is not None:
        assert "latest arrival</button>" in _shown(page)


def _made_up(ranks: int, name: str) -> Trace:
    """Ranks that wait in a barrier, which the last of them never comes to."""
    group = Group(tuple(range(ranks)), 0, name)
    place = Place(f"{name}.py", 3, name, (f"{name}.py:3 {name}: {name}",))
    found = {}
    for number in range(ranks):
        events = [
            Event(
                number,
                call,
                "collective",
                name,
                group,
                call + 1,
                -1,
                {},
                False,
                State.DONE,
                call + 1.0,
                call + 1.5,
                place,
            )
            for call in range(3)
        ]
        is_last = number == ranks - 1
        if not is_last:
            stuck = Event(number, 3, "collective", name, group, 4, -1, {}, False, State.ENTERED, 4.0, 0.0, place)
            events.append(stuck)
        end = "finished" if is_last else "running"
        found[number] = Rank(
            number, ranks, number, f"{name}{number // 8}", 0, 0.0, end, "", tuple(events), alive=not is_last
        )
    return Trace(found)


def _made_up_page(trace: Trace) -> str:
    job = TracedJob("", len(trace.ranks), 0, 0.0, recorded=trace)
    judged = judging.summed(job, "", trace, matching.compare(trace, over=True))
    drawn = picture(judged, trace, Statistics(trace), group_usage.uses(trace))
    return write.page("run", [write.section(drawn)], [], [], [])


def test_hostile_names_stay_text() -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>@SCRIPT@\x1b\u202e\"'"
    text = _made_up_page(_made_up(2, evil))
    assert text.count("<script") == _made_up_page(_made_up(2, "plain")).count("<script") == 2
    assert "<img" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_file_that_is_not_the_recorded_one_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one\ntwo\nsecret\n")
    name = str(tmp_path / "a")
    assert "secret" not in _made_up_page(_made_up(2, name))


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_more_ranks_than_lanes(tmp_path: Path) -> None:
    page = tmp_path / "run.html"
    page.write_text(_made_up_page(_made_up(200, "barrier")))
    assert "<h1>Ranks 0-198 wait for rank 199. Rank 199 has finished.</h1>" in page.read_text()
    shown = _shown(page, "#q=rank:7")
    assert ">4 of 799 calls<" in shown
