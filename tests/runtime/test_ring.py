"""The file format: full, overwritten, torn and damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from collectivelint.runtime import ring
from collectivelint.runtime.record import State

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, calls: int) -> Path:
    writer = ring.Writer(folder, rank=1, world_size=2, attempt=0, started=5.0, host="host")
    group = writer.name("group", {"ranks": [0, 1], "ordinal": 0, "description": "default_pg"})
    place = writer.name("place", {"path": "a.py", "line": 3, "function": "f", "stack": ["a.py:3 f: barrier()"]})
    signature = writer.name("signature", {"op": "barrier"})
    for call in range(calls):
        number = writer.add(0, group, call + 1, signature, place, -1, False, float(call))
        writer.mark(number, State.DONE, call + 0.5)
    (file,) = ring.files(folder)
    return file


def test_round_trip(tmp_path: Path) -> None:
    rank = ring.read(write(tmp_path, 3))
    assert (rank.rank, rank.world_size, rank.host, rank.end, rank.lost) == (1, 2, "host", "running", 0)
    assert [(event.sequence, event.start, event.end, event.op) for event in rank.events] == [
        (1, 0.0, 0.5, "barrier"),
        (2, 1.0, 1.5, "barrier"),
        (3, 2.0, 2.5, "barrier"),
    ]
    assert rank.events[0].place.stack == ("a.py:3 f: barrier()",)


def test_old_events_make_room(tmp_path: Path) -> None:
    rank = ring.read(write(tmp_path, ring.CAPACITY + 10))
    assert (len(rank.events), rank.lost) == (ring.CAPACITY, 10)
    assert [rank.events[0].sequence, rank.events[-1].sequence] == [11, ring.CAPACITY + 10]


def test_the_end_of_a_process(tmp_path: Path) -> None:
    writer = ring.Writer(tmp_path, rank=0, world_size=1, attempt=0, started=0.0, host="host")
    writer.finish("raised", "ValueError: ü" + "x" * 500)
    rank = ring.read(ring.files(tmp_path)[0])
    assert rank.end == "raised"
    assert rank.error.startswith("ValueError: ü")


def test_a_torn_name_table_costs_only_the_events_that_need_it(tmp_path: Path) -> None:
    file = write(tmp_path, 3)
    names = file.with_suffix(".names")
    names.write_bytes(names.read_bytes()[:-20])
    assert ring.read(file).events == ()


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
        ring.read(file)


@pytest.mark.parametrize(
    "line", ['{"id": 1, "group": 3}', '{"id": 2, "place": {}}', '{"id": [], "group": {}}', "null", "[]"]
)
def test_damaged_name_table_is_a_clear_error(tmp_path: Path, line: str) -> None:
    file = write(tmp_path, 3)
    names = file.with_suffix(".names")
    names.write_text(line + "\n" + names.read_text())
    try:
        ring.read(file)
    except ring.TraceError as error:
        assert names.name in str(error)


def test_no_trace_at_all(tmp_path: Path) -> None:
    with pytest.raises(ring.TraceError, match="no trace here"):
        ring.load(tmp_path)
