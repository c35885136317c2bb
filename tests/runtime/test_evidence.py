"""The stack of an event is of that call: whoever called from the same line before, in whichever thread, through which library."""

from __future__ import annotations

import json
import subprocess
import sys
import weakref
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from collectivelint.runtime.inside import sites
from collectivelint.runtime.inside.signatures import weight
from collectivelint.runtime.inside.sites import Sites, Stack, key_of
from collectivelint.runtime.traces import jobs
from collectivelint.runtime.traces.model import Place

from .conftest import line_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from collectivelint.runtime.traces.model import Event

    from .conftest import Job

pytest.importorskip("torch")
SCRIPT = "evidence.py"


def _lines(frames: tuple[str, ...]) -> list[int]:
    """The lines of frames of the job's script, innermost first."""
    return [int(frame.partition(" ")[0].rpartition(":")[2]) for frame in frames if f"{SCRIPT}:" in frame]


def _events(job: Job) -> list[list[Event]]:
    assert (job.code, job.divergence) == (0, None), job.err
    return [list(rank.events) for rank in jobs.load(job.folder).ranks.values()]


def at(text: str) -> int:
    return line_of(text, SCRIPT)


def test_the_stack_is_of_the_call_and_not_of_the_first_one_from_its_line(
    trace: Callable[..., Job], tmp_path: Path
) -> None:
    train = [at("    dist.all_reduce(tensor)"), at("        mean(torch.ones(2))")]
    evaluate = [train[0], at("    mean(torch.ones(3))"), at("    train()") + 1]
    end = at("globals()")
    for events in _events(trace(SCRIPT, "two_callers", str(tmp_path), ranks=2)):
        assert [_lines(event.place.stack) for event in events] == [
            *[[*train, at("    train()"), end]] * 3,
            [*evaluate, end],
            *[[*train, at("    train()") + 2, end]] * 3,
        ]
        assert {(event.place.via, event.place.started_at) for event in events} == {((), ())}


def test_a_thread_names_the_line_that_started_it(trace: Callable[..., Job], tmp_path: Path) -> None:
    """A thread, tasks of a pool's one thread, an asynchronous save of torch, and a thread started in a task."""
    for events in _events(trace(SCRIPT, "threads", str(tmp_path), ranks=2)):
        started = defaultdict(set)
        for event in events:
            started[_lines(event.place.started_at)[0] if event.place.started_at else 0].add(event.op)
            if not event.place.started_at:
                assert event.thread == 0
        submitted = at("pool.submit(evaluate)")
        assert {line: ops for line, ops in started.items() if "all_gather" not in ops} == {
            at("    thread.start()"): {"all_reduce"},
            submitted: {"all_reduce"},
            submitted + 1: {"all_reduce"},
            at("target=dist.barrier") + 1: {"barrier"},
            0: {"all_reduce"},
        }
        saves = [event.place for event in events if event.op == "all_gather"]
        assert {_lines(place.started_at)[0] for place in saves} == {at('"{folder}/first"'), at('"{folder}/second"')}
        # The thread that torch started has none of the job's own frames.
        assert all("torch/distributed/checkpoint/" in place.path and not _lines(place.stack) for place in saves)
        (barrier,) = (event.place for event in events if event.op == "barrier")
        assert _lines(barrier.started_at)[:2] == [at("target=dist.barrier") + 1, submitted + 2]


_FRAMEWORK = """
import torch.distributed as dist
def fit(step):
    for _ in range(2):
        step()
def synchronise():
    rank = dist.get_rank()
    if rank < 2:
        dist.barrier()
"""


def test_the_project_comes_before_the_library_that_calls_it(trace: Callable[..., Job], tmp_path: Path) -> None:
    """With a framework that owns the loop, one that makes the call, and one that is all there is in a thread."""
    installed = tmp_path / "lib" / "site-packages"
    installed.mkdir(parents=True)
    (installed / "framework.py").write_text(_FRAMEWORK)
    job = trace(SCRIPT, "library", str(tmp_path), ranks=2, PYTHONPATH=str(installed))
    called, given = at("lambda: mean"), at("framework.fit(framework.synchronise)")
    via = ("framework.py:9 synchronise: dist.barrier()", "framework.py:5 fit: step()")
    for events in _events(job):
        found = [
            (Path(event.place.path).name, event.place.line, event.place.via, _lines(event.place.stack))
            for event in events
        ]
        end = at("globals()")
        mean = at("    dist.all_reduce(tensor)")
        assert found == [
            *[(SCRIPT, mean, (), [mean, called, called, end])] * 2,
            *[(SCRIPT, given, via, [given, end])] * 2,
            ("framework.py", 9, (), []),
        ]
    # What the linter finds in the library is found again there.
    command = [sys.executable, "-m", "collectivelint", "confirm", "lib/site-packages", "--trace", str(job.folder)]
    ran = subprocess.run(
        [*command, "--output-format", "json"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    (finding,) = json.loads(ran.stdout)["findings"]
    assert (finding["code"], finding["outcome"], finding["calls"]) == ("CL201", "uniform", 3)


def test_a_report_shows_the_library_and_the_start_of_the_thread() -> None:
    place = Place(
        "a.py",
        3,
        "f",
        ("a.py:3 f: x()", "a.py:9 g: f()"),
        ("lib.py:1 h: barrier()", "lib.py:7 i: h()"),
        ("b.py:2 j: go()",),
    )
    assert place.lines(1) == ["via lib.py:1 h: barrier()", "a.py:3 f: x()", "started at b.py:2 j: go()"]
    assert Place("a.py", 3, "f", ("a.py:3 f: x()",)).lines(5) == ["a.py:3 f: x()"]


def _recursive(depth: int, tail: Callable[[], FrameType]) -> FrameType:
    return _recursive(depth - 1, tail) if depth else tail()


def test_a_stack_is_told_apart_by_every_frame_and_keeps_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def tail() -> FrameType:
        return sys._getframe()

    one, same, deeper = (key_of(_recursive(depth, tail)) for depth in (3, 3, 4))
    assert one == same
    assert len(deeper) == len(one) + 2
    assert key_of(_recursive(3, tail)) != key_of(_recursive(3, tail)), "two columns of this line"
    keys = [key_of(_recursive(3, tail)) for _ in range(2)]
    assert keys[0] == keys[1]

    class Large:
        pass

    def holding() -> tuple[Stack, weakref.ref[Large]]:
        large = Large()
        return Stack.of(sys._getframe()), weakref.ref(large)

    stack, held = holding()
    assert held() is None
    text = Sites("/no/torch").place(stack)["stack"][0]
    assert "Stack.of(sys._getframe())" in text
    monkeypatch.setattr(sites, "_WALKED", range(2))
    assert len(Stack.of(_recursive(9, tail)).codes) == 2


def test_what_starts_threads_is_noted_without_a_trace(tmp_path: Path) -> None:
    """In a process of its own: the note is gone with the thread, tracebacks and results are as before."""
    code = """
import gc, sys, threading, traceback, weakref
from concurrent.futures import ThreadPoolExecutor
sys.modules.pop("torch", None)
from collectivelint.runtime.inside import thread_starts
def frames(error):
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]
def fail():
    raise KeyError("mine")
class Argument:
    pass
def measure():
    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(fail).exception()
        total = sum(pool.map(abs, range(-3, 0)))
        argument = Argument()
        gone = weakref.ref(argument)
        pool.submit(id, argument).result()
        del argument
        pool.submit(int).result()
    odd = threading.Thread(target=fail)
    sys.excepthook = threading.excepthook = lambda args: caught.append(frames(args.exc_value))
    caught = []
    odd.start()
    odd.join()
    return frames(error), total, caught, gone()
plain = measure()
thread_starts.install()
thread_starts.install()
assert measure() == plain, (measure(), plain)
seen = []
thread = threading.Thread(target=lambda: seen.append(thread_starts.starter()))
thread.start()
thread.join()
assert seen[0].codes[0] is sys._getframe().f_code
gone = weakref.ref(thread)
del thread, seen
gc.collect()
assert gone() is None and not thread_starts._starters
assert thread_starts.starter() is None
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0


_HANDLER = """
import signal, sys, threading
from pathlib import Path
import torch, torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore
from collectivelint.runtime.activate import activate
activate(Path(sys.argv[1]))
if sys.argv[2] == "fake":
    dist.init_process_group("fake", rank=0, world_size=8, store=FakeStore())
else:
    dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
tensor, made = torch.ones(4), [0, 0, 0]
def handler(*_):
    made[1] += 1
    dist.broadcast(tensor, src=made[1] % dist.get_world_size())
    if made[1] < 400:
        signal.setitimer(signal.ITIMER_REAL, 0.0003)
def call():
    for _ in range(2000):
        made[2] += 1
        dist.barrier()
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0003)
thread = threading.Thread(target=call)
thread.start()
while made[1] < 400 or thread.is_alive():
    made[0] += 1
    dist.all_reduce(tensor)
thread.join()
print(*made)
"""


@pytest.mark.parametrize("backend", ["fake", "gloo"])
def test_a_handler_of_a_signal_that_calls_in_the_middle_of_a_record(tmp_path: Path, backend: str) -> None:
    """And another thread: every call is recorded once, and the stream's count and hash are those of its records."""
    command = [sys.executable, "-c", _HANDLER, str(tmp_path), backend]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    made = list(map(int, ran.stdout.split()))
    assert "collectivelint" not in ran.stderr
    (rank,) = jobs.load(tmp_path).ranks.values()
    assert [sum(event.op == op for event in rank.events) for op in ("all_reduce", "broadcast", "barrier")] == made
    in_order = sorted(rank.events, key=lambda event: event.sequence)
    assert [event.sequence for event in in_order] == list(range(1, sum(made) + 1))
    rolled = 0
    for event in in_order:
        rolled = (rolled * 16777619 + weight(dict(event.signature)) + event.peer) & 0xFFFFFFFF
    (stream,) = rank.streams.values()
    assert (stream.calls, stream.rolled) == (sum(made), rolled)
    # Those of the fake backend as well, whose handles have a `wait` of their own.
    assert {event.state.name for event in rank.events} == {"DONE"}


_MANY = """
import sys
from pathlib import Path
import torch, torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore
from collectivelint.runtime.activate import activate
from collectivelint.runtime.inside import places
places._MOST = 5
activate(Path(sys.argv[1]))
dist.init_process_group("fake", rank=0, world_size=8, store=FakeStore())
def again(calls):
    dist.barrier()
    if calls:
        again(calls - 1)
again(20)
"""


def test_what_has_stacks_without_end_keeps_its_site(tmp_path: Path) -> None:
    script = tmp_path / "many.py"
    script.write_text(_MANY)
    subprocess.run([sys.executable, str(script), str(tmp_path / "trace")], check=True, cwd=tmp_path)
    (rank,) = jobs.load(tmp_path / "trace").ranks.values()
    assert {(event.place.path, event.place.line, event.place.function) for event in rank.events} == {
        ("many.py", 12, "again")
    }
    assert [len(event.place.stack) for event in rank.events] == [2, 3, 4, 5, 6, *[1] * 16]
