"""Jobs of many calls: what is read as columns, counted by an engine and judged by a part is what is found with an Event for each call."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from collectivelint.runtime import large
from collectivelint.runtime.report import report
from collectivelint.runtime.traces import columns, jobs
from collectivelint.runtime.traces import writer as writing
from collectivelint.runtime.traces.model import State
from collectivelint.runtime.traces.reader import Reader, ring_files
from collectivelint.runtime.traces.ring import KINDS

from .test_picture import BROWSER, _shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest.importorskip("duckdb")
pytest.importorskip("ibis")

WORLD, PAIRS = (0, 1, 2, 3), ((0, 1), (2, 3))


@dataclass
class _Rank:
    """A rank that writes its ring; `now` is its time."""

    writer: writing.Writer
    rank: int
    now: float = 10.0
    names: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def name(self, what: str, value: Any) -> int:
        text = f"{what} {json.dumps(value)}"
        if text not in self.names:
            self.names[text] = self.writer.stream(value) if what == "stream" else self.writer.name(what, value)
        return self.names[text]

    def call(
        self,
        op: str,
        line: int,
        members: tuple[int, ...] = WORLD,
        *,
        kind: str = "collective",
        peer: int = -1,
        state: State = State.DONE,
        is_async: bool = False,
        late: float = 0.0,
        **signature: Any,
    ) -> None:
        group = self.name(
            "group", {"ranks": members, "ordinal": 0, "description": "default_pg" if members == WORLD else ""}
        )
        stack = [f"train.py:{line} step: dist.{op}()", "train.py:90 main: step()"]
        place = self.name("place", {"path": "train.py", "line": line, "function": "step", "stack": stack})
        said = self.name("signature", {"op": op, **signature})
        row = {"group": group, "kind": kind, "op": op if kind == "p2p" else "", "peer": peer, "tag": 0}
        stream = self.name("stream", row if kind == "p2p" else {**row, "peer": -1})
        key = f"{kind} {members} {row['op']} {peer if kind == 'p2p' else ''}"
        sequence = self.counts[key] = self.counts.get(key, 0) + 1
        start = self.now + late + self.rank / 1024
        number = self.writer.add(
            KINDS.index(kind),
            group,
            sequence,
            said,
            place,
            peer,
            is_async,
            start,
            0,
            stream,
            sequence,  # type: ignore[arg-type]
        )
        self.now += 1 / 16
        if state is State.DONE:
            self.writer.end(number, state, self.now + 1 / 32)
        else:
            self.writer.mark(number, state)

    def step(self, late: float = 0.0, **signature: Any) -> None:
        self.call("all_reduce", 10, next(pair for pair in PAIRS if self.rank in pair), tensors=[[[2], "torch.float32"]])
        self.call("all_reduce", 12, late=late, **{"tensors": [[[4, 2], "torch.float32"]], **signature})
        self.call("broadcast", 13, peer=0, is_async=True, tensors=[[[8], "torch.int64"]])


def _slow(rank: _Rank) -> str:
    for step in range(40):
        rank.step(late=0.03 * (rank.rank == 2 and step > 7))
    return "finished"


def _shape(rank: _Rank) -> str:
    for step in range(40):
        rank.step(**({"tensors": [[[3, 2], "torch.float32"]]} if rank.rank == 1 and step == 25 else {}))
    return "finished"


def _root(rank: _Rank) -> str:
    for step in range(20):
        rank.step()
        rank.call("broadcast", 20, peer=int(rank.rank == 3 and step == 11), tensors=[[[8], "torch.int64"]])
    return "finished"


def _fitting(rank: _Rank) -> str:
    """Calls that differ and yet fit."""
    for step in range(20):
        rank.step(tensors=[[[2, 4] if rank.rank else [8], "torch.float32"]])
        rank.call("all_gather_object", 21, tensors=[[[rank.rank + step], "torch.uint8"]])
    return "finished"


def _splits(rank: _Rank) -> str:
    for step in range(20):
        rank.step()
        rows = [2, 2, 2, 2]
        wrong = [2, 2, 2, 3] if (rank.rank, step) == (1, 9) else rows
        rank.call("all_to_all_single", 22, output_split_sizes=wrong, input_split_sizes=rows)
    return "finished"


def _skipped(rank: _Rank) -> str:
    for step in range(30):
        rank.call("all_reduce", 10, tensors=[[[2], "torch.float32"]])
        if not (rank.rank == 3 and step == 20):
            rank.call("broadcast", 11, peer=0, tensors=[[[2], "torch.float32"]])
        rank.call("all_gather", 12, tensors=[[[2], "torch.float32"]])
    return "finished"


def _deadlock(rank: _Rank) -> str:
    for _ in range(30):
        rank.step()
    if rank.rank < 3:
        rank.call("barrier", 40, state=State.ENTERED)
    else:
        rank.call("all_reduce", 41, (2, 3), state=State.ENTERED, tensors=[[[2], "torch.float32"]])
    return "running"


def _unmatched(rank: _Rank) -> str:
    for _ in range(30 + (rank.rank in PAIRS[0])):
        rank.call("barrier", 9)
        rank.call("all_reduce", 10, PAIRS[rank.rank // 2], tensors=[[[2], "torch.float32"]])
        if rank.rank != 3 or rank.counts["collective (0, 1, 2, 3)  "] < 20:
            rank.call("all_reduce", 14, is_async=True, tensors=[[[2], "torch.float32"]])
    return "finished"


def _outsider(rank: _Rank) -> str:
    for step in range(30):
        rank.step()
        if rank.rank == 3 and step in (12, 14):
            rank.call("all_reduce", 30, (0, 1), kind="outsider")
    return "finished"


def _order(rank: _Rank) -> str:
    for step in range(10):
        rank.step()
        rank.call("new_group", 30, kind="create", ranks=[0, 1] if rank.rank < 3 or step != 5 else [2, 3])
    return "finished"


def _both_receive(rank: _Rank) -> str:
    for _ in range(20):
        rank.step()
        if rank.rank < 2:
            rank.call("send" if rank.rank == 0 else "recv", 50, kind="p2p", peer=1 - rank.rank)
    if rank.rank < 2:
        rank.call("recv", 51, kind="p2p", peer=1 - rank.rank, state=State.ENTERED)
    return "running"


JOBS: list[Callable[[_Rank], str]] = [
    _slow, _shape, _root, _fitting, _splits, _skipped, _deadlock, _unmatched, _outsider, _order, _both_receive,
]  # fmt: skip


def _run(folder: Path, job: Callable[[_Rank], str], monkeypatch: pytest.MonkeyPatch, capacity: int = 400) -> Path:
    monkeypatch.setattr(writing, "CAPACITY", capacity)
    for number in WORLD:
        rank = _Rank(
            writing.Writer(folder, rank=number, world_size=4, attempt=0, started=1.0, host="host", job="job"), number
        )
        rank.writer.finish(job(rank))  # type: ignore[arg-type]
    return folder


def _reported(run: Path, page: Path) -> tuple[int, str, str]:
    ran = CliRunner().invoke(report, [str(run), "--html", str(page)])
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exc_info
    return ran.exit_code, ran.output, page.read_text(encoding="utf-8")


@pytest.mark.parametrize("capacity", [400, 48])
@pytest.mark.parametrize("job", JOBS)
def test_the_same_is_said_of_a_job_of_many_calls(
    job: Callable[[_Rank], str], capacity: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _run(tmp_path / "run", job, monkeypatch, capacity)
    code, text, page = _reported(run, tmp_path / "small.html")
    monkeypatch.setattr(large, "LARGE", 1)
    # Not all calls as an Event each.
    parts: list[Any] = []
    part_of = large.part_of
    monkeypatch.setattr(large, "part_of", lambda *given: parts.append(part_of(*given)) or parts[-1])
    assert _reported(run, tmp_path / "large.html") == (code, text, page)
    assert parts[0] is not None
    kept = sum(len(rank.events) for rank in parts[0].trace.ranks.values())
    assert kept < sum(parts[0].calls.values()) / (2 if job is not _splits else 1)


def test_a_part_of_the_calls_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _run(tmp_path / "run", _slow, monkeypatch)
    monkeypatch.setattr(large, "LARGE", 1)
    monkeypatch.setattr("collectivelint.runtime.afterwards.picture.packed_columns.MOST", 100)
    _, text, page = _reported(run, tmp_path / "run.html")
    calls = json.loads(re.search(r'class="calls">(.*?)</script>', page, re.S)[1])  # type: ignore[index]
    assert (calls["of"], sum(calls["counts"]) < 150, min(calls["counts"]) > 20) == (480, True, True)
    # Where the slow rank came last by most is among them, and it stands in time where it did.
    assert 0 < calls["at"] < calls["end"]
    assert calls["since"] > 0
    drawn = re.search(r"Drawn are (\d+) of 480 calls, those from ([\d.]+) s to ([\d.]+) s", page)
    assert drawn is not None
    assert (int(drawn[1]), float(drawn[2])) == (sum(calls["counts"]), round(calls["since"], 3))
    if BROWSER is not None:
        shown = dict(re.findall(r'data-(from|to|at)="([\d.]+)"', _shown(tmp_path / "run.html")))
        moments = [float(shown[name]) for name in ("from", "at", "to")]
        assert sorted(moments) == moments
        assert calls["since"] - 1e-5 < moments[0] < moments[2] < calls["since"] + calls["end"] * calls["tick"] + 1e-5
        assert "all that is drawn</button>" in page
    # The numbers are of all calls.
    assert "rank 0 of 4: 120 calls" in text


@pytest.mark.parametrize("capacity", [400, 50])
def test_columns_have_what_events_have(capacity: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for job in (_slow, _outsider, _deadlock):
        run = _run(tmp_path / job.__name__, job, monkeypatch, capacity)
        for file in ring_files(run):
            _compare(Reader(file))


def test_columns_leave_out_what_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file, *_) = ring_files(_run(tmp_path / "run", _outsider, monkeypatch))
    data = bytearray(file.read_bytes())
    start = len(data) - 400 * 64
    for slot, (at, value) in enumerate(
        [
            (0, 99),
            (8, 255),
            (16, 255),
            (20, 255),
            (28, 9),
            (29, 7),
            (39, 0x7F),
            (29, State.REJECTED),
            (47, 0xFF),
            (20, 0),
        ],
        3,
    ):
        data[start + slot * 64 + at] = value
    file.write_bytes(data)
    assert len(_compare(Reader(file))) < 90


def _compare(reader: Reader) -> columns.Calls:
    catalog = columns.Catalog()
    calls = columns.of_reader(reader, catalog)
    found = [
        (
            call["number"], KINDS[call["kind"]], catalog.ops[call["op"]], catalog.groups[call["group"]], call["sequence"], call["peer"],
            catalog.signatures[call["signature"]], call["is_async"], State(call["state"]), call["start"], call["end"],
            catalog.sites[call["site"]], call["thread"],
        )
        for call in calls
    ]  # fmt: skip
    rank = reader.whole()
    assert found == [
        (
            event.number, event.kind, event.op, event.group, event.sequence, event.peer, event.signature, event.is_async,
            event.state, event.start, event.end, event.place, event.thread,
        )
        for event in rank.events
    ]  # fmt: skip
    again = columns.of_rank(rank, columns.Catalog())
    assert all((again[name] == calls[name]).all() for name in again.dtype.names or ())
    return calls


def test_data_that_is_checked_needs_all_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def checked(rank: _Rank) -> str:
        for step in range(20):
            rank.step()
            rank.writer.checksum(rank.writer._last - 1, 5 + (rank.rank == 1 and step == 11))
        return "finished"

    run = _run(tmp_path / "run", checked, monkeypatch)
    found = jobs.read(run, [])
    monkeypatch.setattr(large, "LARGE", 1)
    code, text, _ = _reported(run, tmp_path / "run.html")
    assert "have different results of call" in text
    assert (code, len(found)) == (1, 1)
