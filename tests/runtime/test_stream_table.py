"""A trace that is read again and again while it is written reads as it does to whoever opens it only then."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from collectivelint.runtime.traces import writer
from collectivelint.runtime.traces.model import State
from collectivelint.runtime.traces.reader import Reader, ring_files
from collectivelint.runtime.traces.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path

COLLECTIVE, P2P = 0, 1


class Job:
    """A rank that does at random what a job may do: old and new groups, streams and signatures, calls that go on for long."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.writer = Writer(folder, rank=1, world_size=4, attempt=0, started=5.0, host="host")
        self.place = self.writer.name("place", {"path": "a.py", "line": 3, "function": "f", "stack": []})
        self.groups: list[int] = []
        self.signatures: list[int] = []
        #: Kind, group, peer, place in the table and count of each stream.
        self.streams: list[list[int]] = []
        self.open: list[int] = []
        self.group()
        self.stream()

    def group(self) -> None:
        ranks = sorted({1, *self.random.sample(range(4), 2)})
        stored = {"ranks": ranks, "ordinal": len(self.groups), "description": ""}
        self.groups.append(self.writer.name("group", stored))

    def stream(self) -> None:
        group, is_p2p = self.random.choice(self.groups), self.random.random() < 0.9
        kind, op = ("p2p", "send") if is_p2p else ("collective", "")
        peer, tag = (0, len(self.streams)) if is_p2p else (-1, 0)
        # The same stream may come a second time, see `Tracer._stream`.
        number = self.writer.stream({"group": group, "kind": kind, "op": op, "peer": peer, "tag": tag})
        self.streams.append([P2P if is_p2p else COLLECTIVE, group, peer, number, 0])

    def call(self) -> None:
        if not self.signatures or self.random.random() < 0.1:
            shape = [len(self.signatures)]
            self.signatures.append(self.writer.name("signature", {"op": "send", "tensors": [[shape, "torch.int8"]]}))
        stream = self.random.choice(self.streams)
        stream[4] += 1
        kind, group, peer, number, count = stream
        signature, now = self.random.choice(self.signatures), self.random.random() * 100
        rolled = self.random.randrange(1 << 32)
        event = self.writer.add(kind, group, count, signature, self.place, peer, False, now, 0, number, rolled)
        self.open.append(event)

    def go_on(self) -> None:
        if self.open:
            event = self.random.choice(self.open[-20:])
            if self.random.random() < 0.5:
                self.writer.end(event, self.random.choice([State.DONE, State.FAILED]), 200.0)
            else:
                self.writer.mark(event, self.random.choice([State.ISSUED, State.WAITING]), self.random.choice([0, 7]))

    def take_back(self) -> None:
        stream = self.random.choice(self.streams)
        if stream[4]:
            stream[4] -= 1
            self.writer.recount(stream[3], stream[4], 5)

    def name(self) -> None:
        group = self.random.choice(self.groups)
        self.writer.name(*self.random.choice([("destroyed", group), ("caller", {"group": group, "thread": 7})]))


@pytest.mark.parametrize("seed", range(8))
def test_reading_on_gives_what_a_new_reader_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """The ring is run over many times, and so is the table of streams."""
    monkeypatch.setattr(writer, "CAPACITY", 64)
    job = Job(tmp_path, seed)
    (file,) = ring_files(tmp_path)
    reader = Reader(file)
    actions = {
        job.call: 60,
        job.go_on: 40,
        job.stream: 5 if seed % 2 else 40,
        job.group: 1,
        job.take_back: 2,
        job.name: 1,
    }
    kept = []
    for _ in range(60):
        for action in job.random.choices(list(actions), list(actions.values()), k=job.random.choice([0, 1, 30, 300])):
            action()
        last = job.random.choice([None, 1, 20])
        found, fresh = reader.whole(last), Reader(file).whole(last)
        assert found == fresh
        kept.append((found, dict(found.streams), dict(found.peers)))
    assert found.peers
    assert found.lost > 0
    # What was read before has not changed with what was read later.
    assert all(rank.streams == streams and rank.peers == peers for rank, streams, peers in kept)


def test_a_name_that_comes_late_or_again_is_that_of_its_stream(tmp_path: Path) -> None:
    job = Writer(tmp_path, rank=0, world_size=2, attempt=0, started=5.0, host="host")
    (file,) = ring_files(tmp_path)
    names = file.with_suffix(".names")
    reader = Reader(file)
    group = job.name("group", {"ranks": [0, 1], "ordinal": 0, "description": ""})
    place = job.name("place", {"path": "a.py", "line": 3, "function": "f", "stack": []})
    signature = job.name("signature", {"op": "barrier"})
    with names.open("r+b") as table:
        whole = table.read()
        stream = job.stream({"group": group, "kind": "collective", "op": "", "peer": -1, "tag": 0})
        line = names.read_bytes()[len(whole) :]
        table.truncate(len(whole) + 10)
        job.add(0, group, 1, signature, place, -1, False, 1.0, 0, stream, 4)
        assert (reader.whole().streams, Reader(file).whole().streams) == ({}, {})
        table.seek(len(whole))
        table.write(line)
    assert reader.whole().streams == Reader(file).whole().streams == {(((0, 1), 0), "collective"): (1, 4, 0)}
    with names.open("ab") as table:
        table.write(line.replace(b"collective", b"outsider"))
    assert reader.whole().streams == Reader(file).whole().streams == {(((0, 1), 0), "outsider"): (1, 4, 0)}
