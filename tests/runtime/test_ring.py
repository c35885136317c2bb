"""The file format: full, overwritten, torn and damaged."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from collectivelint.runtime.traces import jobs, ring, validation
from collectivelint.runtime.traces.model import State
from collectivelint.runtime.traces.reader import Reader, read_rank, ring_files
from collectivelint.runtime.traces.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, calls: int) -> Path:
    writer = Writer(folder, rank=1, world_size=2, attempt=0, started=5.0, host="host")
    group = writer.name("group", {"ranks": [0, 1], "ordinal": 0, "description": "default_pg"})
    place = writer.name("place", {"path": "a.py", "line": 3, "function": "f", "stack": ["a.py:3 f: barrier()"]})
    signature = writer.name("signature", {"op": "barrier"})
    stream = writer.stream({"group": group, "kind": "collective", "op": "", "peer": -1, "tag": 0})
    for call in range(calls):
        number = writer.add(0, group, call + 1, signature, place, -1, False, float(call), 0, stream, call * 3)
        writer.end(number, State.DONE, call + 0.5)
    (file,) = ring_files(folder)
    return file


def test_round_trip(tmp_path: Path) -> None:
    rank = read_rank(write(tmp_path, 3))
    assert (rank.rank, rank.world_size, rank.host, rank.end, rank.lost) == (1, 2, "host", "running", 0)
    assert [(event.sequence, event.start, event.end, event.op) for event in rank.events] == [
        (1, 0.0, 0.5, "barrier"),
        (2, 1.0, 1.5, "barrier"),
        (3, 2.0, 2.5, "barrier"),
    ]
    assert rank.events[0].place.stack == ("a.py:3 f: barrier()",)
    assert rank.streams == {(((0, 1), 0), "collective"): (3, 6, 0)}


def test_a_stream_keeps_its_hash_at_every_block(tmp_path: Path) -> None:
    rank = read_rank(write(tmp_path, ring.BLOCK * 2 + 1))
    assert rank.streams == {(((0, 1), 0), "collective"): (129, 128 * 3, 127 * 3)}


def test_calls_that_go_on_are_read_however_old_they_are(tmp_path: Path) -> None:
    writer = Writer(tmp_path, rank=0, world_size=1, attempt=0, started=0.0, host="host")
    group = writer.name("group", {"ranks": [0], "ordinal": 0, "description": ""})
    place = writer.name("place", {"path": "a.py", "line": 3, "function": "f", "stack": []})
    signature = writer.name("signature", {"op": "barrier"})
    stream = writer.stream({"group": group, "kind": "collective", "op": "", "peer": -1, "tag": 0})
    reader = Reader(ring_files(tmp_path)[0])
    assert reader.head().events == ()
    for call in range(1, 1001):
        writer.add(0, group, call, signature, place, -1, False, 1.0, 7 if call == 10 else 0, stream, 0)
        if call in (10, 20):
            writer.mark(call, State.WAITING, 7 if call == 10 else 0)
        else:
            writer.end(call, State.DONE if call != 30 else State.ISSUED, 2.0)
    assert [event.number for event in reader.head().events] == [10, 20, 1000]
    assert [(event.number, event.thread) for event in reader.head().blocked] == [(20, 0), (10, 7)]
    assert [event.number for event in reader.whole(2).events] == [10, 20, 999, 1000]
    assert len(reader.whole().events) == 1000


def test_a_trace_that_is_just_being_made_is_none_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads it in the middle would miss what stands last in it: which job the rank belongs to."""
    name, seen = Writer.name, []

    def looked_at(writer: Writer, what: str, value: object) -> int:
        with pytest.raises(ring.TraceError):
            Reader(ring_files(tmp_path)[0])
        seen.append(what)
        return name(writer, what, value)

    with monkeypatch.context() as patched:
        patched.setattr(Writer, "name", looked_at)
        Writer(tmp_path, rank=0, world_size=2, attempt=0, started=0.0, host="host", local=2, job="job")
    assert seen == ["job"]
    reader = Reader(ring_files(tmp_path)[0])
    assert (reader.job, reader.local, reader.host) == (("job", 2), 2, "host")


def test_a_process_says_where_it_is(tmp_path: Path) -> None:
    writer = Writer(tmp_path, rank=0, world_size=1, attempt=0, started=0.0, host="host")
    reader = Reader(ring_files(tmp_path)[0])
    assert writer.asked == 0
    reader.ask()
    assert writer.asked == 1
    writer.answer(1, ["train.py:3 load: read()"])
    assert reader.head().stack == ("train.py:3 load: read()",)


def test_what_is_written_while_it_is_read_is_whole_or_left_out(tmp_path: Path) -> None:
    """A writer in another thread goes round the ring many times; no event may be put together from two."""
    import threading

    writer = Writer(tmp_path, rank=0, world_size=1, attempt=0, started=0.0, host="host")
    group = writer.name("group", {"ranks": [0], "ordinal": 0, "description": ""})
    place = writer.name("place", {"path": "a.py", "line": 3, "function": "f", "stack": []})
    signature = writer.name("signature", {"op": "barrier"})
    stream = writer.stream({"group": group, "kind": "collective", "op": "", "peer": -1, "tag": 0})
    ended = threading.Event()

    def write_on() -> None:
        call = 0
        while not ended.is_set():
            call += 1
            writer.add(0, group, call % 2**32, signature, place, -1, False, float(call), 0, stream, 0)

    thread = threading.Thread(target=write_on)
    thread.start()
    try:
        reader = Reader(ring_files(tmp_path)[0])
        while reader.written < 2 * ring.CAPACITY:
            for event in reader.whole(500).events:
                assert event.sequence == event.number == event.start
    finally:
        ended.set()
        thread.join()


def test_a_record_that_is_just_being_written_is_absent_and_hides_no_other(tmp_path: Path) -> None:
    """Its number is 0 until all of it is there: also where its process was killed before."""
    writer = Writer(tmp_path, rank=0, world_size=1, attempt=0, started=0.0, host="host")
    group = writer.name("group", {"ranks": [0], "ordinal": 0, "description": ""})
    place = writer.name("place", {"path": "a.py", "line": 3, "function": "f", "stack": []})
    signature = writer.name("signature", {"op": "barrier"})
    for call in range(1, 6):
        writer.add(0, group, call, signature, place, -1, False, 1.0, 0, ring.STREAMS, 0)
    (file,) = ring_files(tmp_path)
    with file.open("r+b") as stream:
        stream.seek(ring.RECORDS_AT + ring.RECORD.size)
        stream.write(bytes(8))
    assert [event.number for event in Reader(file).whole().events] == [1, 3, 4, 5]
    # The calls that go on and the last event: all of them.
    assert [event.number for event in Reader(file).head().events] == [1, 3, 4, 5]


def test_old_events_make_room(tmp_path: Path) -> None:
    rank = read_rank(write(tmp_path, ring.CAPACITY + 10))
    # The oldest that is there may be the one that is just being overwritten.
    assert (len(rank.events), rank.lost) == (ring.CAPACITY - 1, 11)
    assert [rank.events[0].sequence, rank.events[-1].sequence] == [12, ring.CAPACITY + 10]


def test_the_end_of_a_process(tmp_path: Path) -> None:
    writer = Writer(tmp_path, rank=0, world_size=1, attempt=0, started=0.0, host="host")
    writer.finish("raised", "ValueError: ü" + "x" * 500)
    rank = read_rank(ring_files(tmp_path)[0])
    assert rank.end == "raised"
    assert rank.error.startswith("ValueError: ü")


def test_a_torn_name_table_costs_only_the_events_that_need_it(tmp_path: Path) -> None:
    file = write(tmp_path, 3)
    names = file.with_suffix(".names")
    names.write_bytes(names.read_bytes().partition(b'{"op"')[0])
    assert read_rank(file).events == ()


@pytest.mark.parametrize("damage", ["empty", "short", "magic", "version", "end"])
def test_damaged_file_is_a_clear_error(tmp_path: Path, damage: str) -> None:
    file = write(tmp_path, 3)
    data = bytearray(file.read_bytes())
    match damage:
        case "empty":
            data = bytearray()
        case "short":
            data = data[:1000]
        case "magic":
            data[0:4] = b"NOPE"
        case "version":
            data[8] = 9
        case "end":
            data[48] = 200
    file.write_bytes(bytes(data))
    with pytest.raises(ring.TraceError, match=file.name):
        read_rank(file)


_WRONG = [
    "null", "[]", "5", "not JSON", "[" * 100_000, '{"id": 1}', '{"id": [], "group": {}}', '{"id": 1, "group": 3}',
    '{"id": 9, "group": {"ranks": [], "ordinal": 0, "description": ""}}',
    '{"id": 9, "group": {"ranks": [0, true], "ordinal": 0, "description": ""}}',
    '{"id": 9, "group": {"ranks": [0, 0], "ordinal": 0, "description": ""}}',
    '{"id": 9, "place": {}}', '{"id": 9, "place": {"path": true, "line": 1, "function": "f", "stack": []}}',
    '{"id": 9, "place": {"path": "a", "line": 1e999, "function": "f", "stack": []}}',
    '{"id": 9, "place": {"path": "a", "line": 1, "function": "f", "stack": [Infinity]}}',
    '{"id": 9, "signature": {"op": 3}}', '{"id": 9, "signature": {"op": "x", "tensors": [5]}}',
    '{"id": 9, "signature": {"op": "x", "sent": [[["a"], "float32"]]}}',
    '{"id": 9, "signature": {"op": "x", "tensors": [[[4294967296, 4294967296], "float32"]]}}',
    '{"id": 9, "signature": {"op": "x", "output_split_sizes": 3}}', '{"id": 9, "signature": {"op": "x", "tag": "y"}}',
    '{"id": 9, "stream": {"group": 1}}', '{"caller": {"group": 77, "thread": 1}}', '{"destroyed": 77}',
    '{"threads": ["a"]}', '{"job": 5}', '{"stack": [5]}', '{"stack": [], "time": "x"}',
    '{"raised": {"group": 77}}', '{"raised": {"group": 1, "op": 5}}', '{"ended": 5}', '{"ended": {"failure": []}}',
    '{"ended": {"failure": "mine", "error": "x", "time": 1, "place": null}}', '{"ended": {"failure": "own", "error": 1}}',
]  # fmt: skip


@pytest.mark.parametrize("line", _WRONG, ids=range(len(_WRONG)))
def test_a_wrong_name_is_left_out_and_counted(tmp_path: Path, line: str) -> None:
    file = write(tmp_path, 3)
    names = file.with_suffix(".names")
    names.write_text(line + "\n" + names.read_text())
    reader = Reader(file)
    assert len(reader.whole().events) == 3
    assert reader.wrong == f"{names}: 1 line is not a record of a trace and ignored"


@pytest.mark.parametrize("suffix", [".names", ".ring"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "device"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, suffix: str, kind: str) -> None:
    file = write(tmp_path, 3)
    taken = file.with_suffix(suffix)
    content = taken.read_bytes()
    taken.unlink()
    match kind:
        case "pipe":
            os.mkfifo(taken)
        case "folder":
            taken.mkdir()
        case "link":
            (tmp_path / "elsewhere").write_bytes(content)
            taken.symlink_to("elsewhere")
        case "device":
            taken.symlink_to("/dev/zero")
    with pytest.raises(ring.TraceError, match=taken.name):
        Reader(file)


@pytest.mark.parametrize("at", [0, 1 << 27])
def test_a_table_without_an_end(tmp_path: Path, at: int) -> None:
    """A file that is all hole: of a size that no trace has, or with a line that none has."""
    file = write(tmp_path, 3)
    os.truncate(file.with_suffix(".names"), at or 1 << 40)
    with pytest.raises(ring.TraceError, match="too large"):
        Reader(file)


def test_names_are_read_on_when_they_have_been_removed(tmp_path: Path) -> None:
    writer = Writer(tmp_path, rank=0, world_size=1, attempt=0, started=0.0, host="host")
    (file,) = ring_files(tmp_path)
    reader = Reader(file, keep=True)
    file.unlink()
    file.with_suffix(".names").unlink()
    group = writer.name("group", {"ranks": [0], "ordinal": 0, "description": ""})
    place = writer.name("place", {"path": "a.py", "line": 3, "function": "f", "stack": []})
    signature = writer.name("signature", {"op": "barrier"})
    writer.add(0, group, 1, signature, place, -1, False, 1.0, 0, ring.STREAMS, 0)
    assert [event.op for event in reader.whole().events] == ["barrier"]


def test_a_trace_that_is_cut_while_it_is_read(tmp_path: Path) -> None:
    file = write(tmp_path, 3)
    reader = Reader(file)
    os.truncate(file, 4096)
    with pytest.raises(ring.TraceError, match="truncated"):
        reader.whole()


@pytest.mark.parametrize(
    ("at", "value"),
    [(12, b"\xff\xff\xff\x7f"), (16, b"\xff\xff\xff\xff"), (20, b"\x01\0\0\0"), (32, b"\0\0\0\0\0\0\xf8\x7f")],
    ids=["capacity", "rank", "world size", "started"],
)
def test_a_header_that_is_none_of_ours(tmp_path: Path, at: int, value: bytes) -> None:
    file = write(tmp_path, 3)
    with file.open("r+b") as stream:
        stream.seek(at)
        stream.write(value)
    with pytest.raises(ring.TraceError, match="damaged"):
        Reader(file)


def test_no_trace_at_all(tmp_path: Path) -> None:
    with pytest.raises(ring.TraceError, match="no trace here"):
        jobs.load(tmp_path)


def test_a_call_that_was_refused_counts_for_nothing(tmp_path: Path) -> None:
    file = write(tmp_path, 1)
    writer = Writer(tmp_path / "second", rank=0, world_size=1, attempt=0, started=0.0, host="host")
    assert read_rank(file).streams
    group = writer.name("group", {"ranks": [0], "ordinal": 0, "description": ""})
    place = writer.name("place", {"path": "a.py", "line": 3, "function": "f", "stack": []})
    signature = writer.name("signature", {"op": "barrier"})
    stream = writer.stream({"group": group, "kind": "collective", "op": "", "peer": -1, "tag": 0})
    number = writer.add(0, group, 1, signature, place, -1, False, 1.0, 0, stream, 9)
    writer.recount(stream, 0, 0)
    writer.end(number, State.REJECTED, 2.0)
    rank = read_rank(ring_files(tmp_path / "second")[0])
    assert (rank.events, rank.streams) == ((), {(((0,), 0), "collective"): (0, 0, 0)})


def _job(folder: Path, rank: int, job: str, started: float, end: str = "running", **more: int) -> Reader:
    writer = Writer(
        folder / f"{job}{rank}{started}", rank=rank, world_size=2, attempt=more.get("attempt", 0), started=started,
        host="h", job=job,
    )  # fmt: skip
    if end != "running":
        writer.finish("finished")
    return Reader(ring_files(folder / f"{job}{rank}{started}")[0])


def test_jobs_are_told_apart(tmp_path: Path) -> None:
    """An evaluation that a rank starts, an attempt before this one, and a run that ended before this one began."""
    outer = [_job(tmp_path, rank, "a", 10.0) for rank in (0, 1)]
    inner = _job(tmp_path, 0, "b", 20.0, "finished")
    assert jobs.by_job([inner, *outer]) == [outer, [inner]]
    again = _job(tmp_path, 0, "a", 30.0, attempt=1)
    assert jobs.by_job([*outer, again]) == [[again]]
    past = [_job(tmp_path, rank, "c", 10.0, "finished") for rank in (0, 1)]
    now = _job(tmp_path, 0, "c", 14.0)
    assert jobs.by_job([*past, now]) == [[now]]
    assert jobs.by_job([*past]) == [past]


def test_groups_of_thousands_of_ranks_are_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[object] = []
    group = validation.group
    monkeypatch.setattr(validation, "group", lambda value: parsed.append(value) or group(value))
    ranks = list(range(3000))
    for rank in range(3):
        writer = Writer(tmp_path, rank=rank, world_size=3000, attempt=0, started=5.0, host="host")
        for _ in range(rank):
            # The same group has another number on each rank.
            writer.name("signature", {"op": "barrier"})
        writer.name("group", {"ranks": ranks, "ordinal": 0, "description": "the-only-one"})
        # A line of one that is damaged is none, however often it comes.
        writer.name("group", {"ranks": [*ranks, -1], "ordinal": 0, "description": "damaged"})
    readers = [Reader(file) for file in ring_files(tmp_path)]
    names = [reader.names.groups for reader in readers]
    assert [sorted(some) for some in names] == [[2], [3], [4]]
    assert all(group is names[0][2] for some in names for group in some.values())
    assert [reader.wrong.partition(": ")[2] for reader in readers] == [
        "1 line is not a record of a trace and ignored"
    ] * 3
    assert sum(isinstance(value, dict) and value.get("description") == "the-only-one" for value in parsed) == 1
