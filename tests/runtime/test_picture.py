"""The page of a run: its verdict can be read without scripts, and its lanes open at the divergence."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from collectivelint.runtime.afterwards import group_usage
from collectivelint.runtime.afterwards.picture import write
from collectivelint.runtime.afterwards.picture.drawing import graph, ranks_bar
from collectivelint.runtime.afterwards.picture.kinds import kinds_of
from collectivelint.runtime.afterwards.picture.model import picture
from collectivelint.runtime.afterwards.picture.packed import FromTrace, Marked, of_verdict
from collectivelint.runtime.afterwards.picture.source import Source, around, on_the_way
from collectivelint.runtime.afterwards.picture.suggested import suggested
from collectivelint.runtime.afterwards.picture.waits import Node
from collectivelint.runtime.afterwards.statistics import Statistics
from collectivelint.runtime.beside import judging
from collectivelint.runtime.traces.jobs import Job as TracedJob
from collectivelint.runtime.traces.model import Event, Group, Place, Rank, State, Trace
from collectivelint.runtime.verdict import explain, matching
from collectivelint.runtime.verdict.meetings import meetings
from collectivelint.runtime.verdict.model import Side

from .conftest import line_of
from .test_slow_ranks import _steps as slow_steps
from .test_slow_ranks import _trace as steps_of

if TYPE_CHECKING:
    from collections.abc import Callable

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
    assert "waits for rank 1</text>" in text
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
    drawn = picture(judged, trace, FromTrace(trace, meetings(trace)), Statistics(trace), group_usage.uses(trace))
    return write.page("run", [write.section(drawn)], [], [], [])


def test_many_groups_of_a_kind_share_a_row() -> None:
    pairs = [Group((rank, rank + 1), 0, f"dp_{rank // 2}") for rank in range(0, 60, 2)]
    place = Place("a.py", 3, "step", ("a.py:3 step: dist.all_reduce(x)",))
    events = {
        rank: Event(rank, 0, "collective", "all_reduce", group, 1, -1, {}, False, State.DONE, 1.0, 1.5, place)
        for group in pairs
        for rank in group.ranks
    }
    found = {
        rank: Rank(rank, 60, rank, "node", 0, 0.0, "finished", "", (event,), alive=False)
        for rank, event in events.items()
    }
    text = _made_up_page(Trace(found))
    assert text.count(">30 groups <code>dp</code></span>") == 2
    assert "<td class=n>60</td>" in text
    assert text.count('data-find="a.py:3"') == 2


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


#: What a person might do with the lanes, and what is there then.
_TRIED = """<pre id="seen"></pre><script>
const tried = setInterval(() => {
  if (!drawn.length || !isKept) return;
  clearInterval(tried);
  const view = drawn[0], names = lanes => lanes.map(lane => lane.text), shared = () => view.lanes.filter(lane => !lane.key.startsWith("alone"));
  const seen = { top: names(view.lanes.filter(lane => lane.key.startsWith("alone"))), hosts: names(shared()), count: view.one(".count").textContent };
  view.filter(""); view.picked = null; view.toggle(shared()[0]); seen.opened = names(shared().slice(0, 10)); view.toggle(shared()[0]);
  view.do("g"); seen.classes = names(shared());
  // A frame does not count the calls of lanes itself, it has them counted in pieces. What is in view makes ranks alike.
  view.made.clear(); view.tasks.clear(); view.look(0, view.data.end); view.paint(); seen.asked = [...view.tasks.keys()].filter(key => key.startsWith("levels")).length;
  while (view.tasks.size) view.count(Infinity);
  seen.counted = shared().every(lane => view.made.has(lane.key));
  const alike = (from, to) => new Set(finish(view.classing(from, to))).size;
  seen.alike = [alike(0, 2 / view.data.tick), alike(0, view.data.end)];
  const fits = () => view.fits.reduce((sum, is) => sum + is, 0), chip = view.one(".legend button");
  seen.hidden = [fits()]; chip.click(); seen.hidden.push(fits(), chip.getAttribute("aria-pressed")); chip.click(); seen.hidden.push(fits());
  // Two fingers on the lanes: a synthetic pointer cannot be captured.
  view.paint(); view.cv.setPointerCapture = () => {}; const box = view.cv.getBoundingClientRect(), { gut, right } = view.geo;
  const point = (kind, pointerId, x) => view.cv.dispatchEvent(new PointerEvent(kind, { pointerId, clientX: box.left + x, clientY: box.top + 50 }));
  view.look(0, view.data.end); view.paint(); const quarter = (right - gut) / 4;
  point("pointerdown", 1, gut + quarter); point("pointerdown", 2, gut + 2 * quarter); point("pointermove", 2, gut + 3 * quarter); point("pointerup", 1, 0); point("pointerup", 2, 0);
  seen.pinched = [view.a / view.data.end, view.b / view.data.end];
  const levels = view.levels(shared()[0]); seen.levels = levels.map(level => level.find(Boolean).length); seen.last = levels[2].find((part, slot) => part && slot % 2).at(-1);
  document.getElementById("seen").textContent = JSON.stringify(seen);
}, 50);
</script>"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_more_ranks_than_lanes(tmp_path: Path) -> None:
    page = tmp_path / "run.html"
    page.write_text(_made_up_page(_made_up(200, "barrier")))
    assert "<h1>Ranks 0-198 wait for rank 199. Rank 199 has finished.</h1>" in page.read_text()
    with page.open("a") as file:
        file.write(_TRIED)
    shown = _shown(page, "#q=rank:7")
    seen = json.loads(html.unescape(re.findall(r"<pre id=.seen.>(.*?)</pre>", shown)[0]))
    assert seen["count"] == "4 of 799 calls"
    # 25 hosts share lanes. The first three ranks, the last one and that searched for have their own; nobody came last.
    assert seen["top"] == ["0", "1", "2", "7", "199"]
    assert seen["hosts"] == [f"{host * 8}-{host * 8 + 7}" for host in range(25)]
    assert seen["opened"] == ["0-7", *map(str, range(8)), "8-15"]
    # Those that wait are alike. The one that does not has a lane of its own already.
    assert seen["classes"] == ["0-198"]
    # As many parts of the run as its calls need, and half of them, ...: ranks wait for all of the end of it.
    assert (seen["asked"], seen["counted"]) == (1, True)
    assert seen["alike"] == [1, 2]
    assert seen["hidden"] == [1, 0, "false", 1]
    # What was between two fingers is twice as wide, where the first one stands.
    assert seen["pinched"] == [pytest.approx(0.125, abs=0.01), pytest.approx(0.625, abs=0.01)]
    assert seen["levels"] == [1024, 512, 256]
    assert seen["last"] > 240


def test_a_slow_rank_has_a_card() -> None:
    group = Group((0, 1, 2, 3), 0, "default_pg")
    text = _made_up_page(steps_of(group, slow_steps(group, 100, slow=2, since=40, late=0.1)))
    said = "Rank 2 is slow: it came last in 60 of 60 calls of all_reduce at train.py:7 since #41, 5.98 s behind in all."
    assert f"<h1>{said} Its time goes between one of these calls and the next.</h1>" in text
    assert '<h2>rank 2</h2><svg class="bar"' in text
    assert (
        "comes last here: in 60 of 60 calls since #41, 5.98 s behind the other ranks in all of these; its time goes between one of these calls and the next</p>"
        in text
    )
    # Its lane stands out.
    assert '"named":[2]' in text


#: The dots of links and the words in the lanes, in the order in which they are drawn.
_DRAWN = """<pre id="seen"></pre><script>
const tried = setInterval(() => {
  if (!drawn.length || !isKept) return;
  clearInterval(tried);
  const view = drawn[0], x = view.cv.getContext("2d"), seen = [], at = view.start[view.picked[1]], around = 0.2 / view.data.tick;
  view.look(at - around, at + around);
  for (const name of ["arc", "fillText"]) { const draw = x[name].bind(x); x[name] = (...given) => { seen.push(name === "arc" ? "dot" : given[0]); draw(...given); }; }
  view.paint(); document.getElementById("seen").textContent = JSON.stringify(seen);
}, 50);
</script>"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
@pytest.mark.parametrize("words", ["+", "barrier #4"])
def test_links_do_not_cross_words(words: str, tmp_path: Path) -> None:
    group = Group((0, 1, 2, 3), 0, "default_pg")
    slow = steps_of(group, slow_steps(group, 100, slow=2, since=40, late=0.1))
    page = tmp_path / "run.html"
    page.write_text(_made_up_page(slow if words == "+" else _made_up(4, "barrier")) + _DRAWN)
    seen = json.loads(html.unescape(re.findall(r"<pre id=.seen.>(.*?)</pre>", _shown(page))[0]))
    last = len(seen) - 1 - seen[::-1].index("dot")
    assert any(text.startswith(words) for text in seen[last:]), seen
    assert not any(text.startswith(words) for text in seen[:last]), seen


def test_a_wait_that_rounds_to_nothing_is_not_said() -> None:
    trace = _made_up(4, "barrier")
    found = matching.compare(trace, over=True)
    assert found is not None
    for waited, said in ((0.04, 0.0), (0.06, 0.06)):
        assert of_verdict(trace, replace(found, waited=waited), Marked((), None, {}))["waited"] == said


def _of_lines(lines: dict[int, list[int]], differs: int) -> Trace:
    """Ranks that call all_reduce at these lines, with other shapes from call `differs` (from 0) on."""
    group = Group((0, 1), 0, "default_pg")
    ranks = {}
    for rank in group.ranks:
        events = [
            Event(
                rank, n, "collective", "all_reduce", group, n + 1, -1,
                {"tensors": [[[1 if n < differs else rank + 1], "torch.float32"]]}, False, State.DONE, n + 1.0, n + 1.5, Place("a.py", line, "f"),
            )
            for n, line in enumerate(lines[rank])
        ]  # fmt: skip
        ranks[rank] = Rank(rank, 2, rank, "host", 0, 0.0, "finished", "", tuple(events))
    return Trace(ranks)


def test_a_mismatch_at_one_line_says_what_each_side_passed() -> None:
    text = _made_up_page(_of_lines({0: [3, 4], 1: [3, 4]}, 1))
    said = "Rank 0 calls all_reduce with float32[1], rank 1 with float32[2], at a.py:4. These meet as call #2 on the default group {0,1}."
    assert f"<h1>{said}</h1>" in text
    assert [
        f"all_reduce({mark})" for mark in ('<b class="bad">float32[1]</b>', '<b class="bad">float32[2]</b>')
    ] == re.findall(r"<code>(all_reduce.*?)</code> on", text)


def test_what_many_sides_of_a_mismatch_passed() -> None:
    group, place = Group(tuple(range(9)), 0, "default_pg"), Place("a.py", 3, "f")
    ranks = {}
    for rank in group.ranks:
        signature = {"reduce_op": "SUM", "tensors": [[[max(3, rank)], "torch.int64"]]}
        event = Event(rank, 1, "collective", "all_reduce", group, 1, -1, signature, False, State.DONE, 1.0, 2.0, place)
        ranks[rank] = Rank(rank, 9, rank, "host", 0, 0.0, "finished", "", (event,))
    text = _made_up_page(Trace(ranks))
    assert (
        "<h1>Ranks 0-3 call all_reduce with int64[3], rank 4 with int64[4], rank 5 with int64[5], 3 other ranks with yet others, at a.py:3."
        in text
    )


def test_where_the_sides_of_a_mismatch_part() -> None:
    # Which of them left out a call cannot be told: what differs is the way, not the shape.
    text = _made_up_page(_of_lines({0: [3, 4, 3, 4], 1: [3, 4, 4, 3]}, 3))
    assert (
        "<h1>Rank 0 calls all_reduce at a.py:4 while rank 1 calls all_reduce at a.py:3. These meet as call #4" in text
    )
    assert (
        "From call #3 of the group on, these ranks are at different lines: rank 0 at a.py:3, rank 1 at a.py:4; what"
        in text
    )


@pytest.mark.parametrize(
    ("lines", "differs", "shown"),
    [
        # The round before had line 4; the other rank was there and went on.
        ({0: [3, 4, 5, 3, 4], 1: [3, 4, 5, 3, 5]}, 4, "In the calls before, "),
        ({0: [3, 4, 5], 1: [3, 5, 6]}, 2, "On rank 0, "),
    ],
)
def test_a_skipped_call_is_named(lines: dict[int, list[int]], differs: int, shown: str) -> None:
    trace = _of_lines(lines, differs)
    text = _made_up_page(trace)
    assert ">MISMATCH: a skipped call shows as another shape</b>" in text
    assert (
        "<h1>Rank 1 skipped all_reduce at a.py:4. Its next call, all_reduce at a.py:5, meets that of rank 0 at" in text
    )
    assert f"{shown}all_reduce at a.py:5 came after the skipped call." in text
    assert "Let every rank make the call all_reduce at a.py:4: " in text
    found = matching.compare(trace, over=True)
    assert found is not None
    assert explain.headline(found).startswith(
        "MISMATCH: rank 1 skipped all_reduce at a.py:4; rank 0 and rank 1 disagree"
    )


def test_sides_that_meet_from_one_line_have_not_parted() -> None:
    """Another call before was at two lines, as in `if rank == 0: broadcast(...)`, `else: broadcast(...)`."""
    assert "at different lines" not in _made_up_page(_of_lines({0: [3, 4, 6], 1: [3, 5, 6]}, 2))


def test_the_fix_of_the_line_that_ranks_stand_in(tmp_path: Path) -> None:
    file = shutil.copy(Path(__file__).parents[2] / "examples" / "broken" / "checkpoint.py", tmp_path)
    line = Path(file).read_text().splitlines().index("        dist.barrier()") + 1
    found = suggested("CL101", [(str(file), line)])
    assert found is not None
    assert found.lines == ("-        dist.barrier()", "+        dist.barrier(group=self.group)")
    assert suggested("CL101", [(str(file), 1)]) is None


def test_a_bar_of_ranks() -> None:
    assert ranks_bar([0], [0]) == ""
    assert ranks_bar([0, 2], range(4)).count('class="all"') == 2
    # 100 ranks share 64 cells: of one of them only one rank of two is there.
    shared = ranks_bar(range(99), range(100))
    assert (shared.count('class="part"'), shared.count('class="none"')) == (1, 0)


def test_numbers_that_fit_into_no_column() -> None:
    group, place = Group((0, 1), 0, "default_pg"), Place("a.py", 3, "step")
    # A damaged ring may lack a start, and a dump of the Flight Recorder has numbers of 64 bits.
    starts = {0: 1e9, 1: 0.0}
    call = ("collective", "barrier", group, 2**32 + 7, -1, {}, False, State.DONE)
    events = {rank: Event(rank, 0, *call, start, 1e9 + 1, place) for rank, start in starts.items()}
    ranks = {rank: Rank(rank, 2, rank, "host", 0, 0.0, "finished", "", (event,)) for rank, event in events.items()}
    assert "No divergence in 2 calls of 2 ranks" in _made_up_page(Trace(ranks))


def test_many_ranks_of_a_side_are_counted_in_the_graph() -> None:
    ranks, place = (*range(4), *range(5, 20_000)), Place("a.py", 3, "step")
    event = Event(
        0, 0, "collective", "barrier", Group((*ranks, 4), 0, ""), 1, -1, {}, False, State.ENTERED, 1.0, 0.0, place
    )
    missing = Node(Side((4,), None, "has finished"), (), 0)
    drawn = graph([Node(Side(ranks, event, "waits in"), (4,), 20_000), missing])
    assert ">19,999 ranks</text>" in drawn
    assert ">rank 4</text>" in drawn
    assert ">waits for rank 4</text>" in drawn


def test_the_source_of_a_changed_file_is_the_recorded_line(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("one\ntwo\nthree\n")
    now = file.stat().st_mtime
    assert around(f"{file}:2", "two", now) == Source(
        ((1, "one", ""), (2, "two", "here"), (3, "three", "")), "", is_current=True
    )
    assert "has changed since the run, the marked line has not" in around(f"{file}:2", "two", now - 9).problem
    changed = around(f"{file}:2", "dist.barrier()", now)
    assert (changed.lines, changed.is_current) == (((2, "dist.barrier()", "here"),), False)
    assert changed.problem == f"Line 2 of {file} has changed since the run. Shown is the line that the trace holds."
    assert around(f"{file}:7", "x", now).problem.startswith(f"There is no line 7 in {file} any more")
    assert around("b.py:2", "x", now).problem.startswith("There is no file b.py in ")
    assert around(f"{file}:2", "", now).problem.endswith("The trace holds no text of line 2.")


@pytest.mark.parametrize(
    ("text", "before", "after", "marked"),
    [
        ("def step():\n    load()\n    first()\n    second()\n", 4, 3, [2]),
        ("for x in xs:\n    load()\n    first()\n    more()\n    second()\n", 3, 5, [4]),
        ("for x in xs:\n    load()\n    first()\n", 3, 3, [2]),
        ("import a\nfirst()\nsecond()\n", 2, 3, []),
    ],
)
def test_the_lines_on_the_way_of_a_slow_rank(
    tmp_path: Path, text: str, before: int, after: int, marked: list[int]
) -> None:
    file = tmp_path / "a.py"
    file.write_text(text)
    here = around(f"{file}:{after}", text.splitlines()[after - 1], 1e12)
    found = on_the_way(here, f"{file}:{before}", f"{file}:{after}")
    assert [line for line, _, mark in found.lines if mark == "way"] == marked


def test_groups_without_a_name_have_colours_of_their_own_where_they_are_few() -> None:
    few = [
        Group((0, 1), 0, ""),
        Group((2, 3), 0, "undefined"),
        Group((0, 1, 2, 3), 0, "default_pg"),
        Group((0, 2), 0, "tp_0"),
    ]
    assert [*kinds_of(few).values()] == ["group {0,1}", "group {2,3}", "default group", "tp"]
    many = [Group(ranks, 0, "") for first in range(3) for ranks in ((first, first + 1), (first, first + 4))]
    assert set(kinds_of(many).values()) == {"groups of 2 ranks", "groups of 2 ranks, every 4 ranks"}
