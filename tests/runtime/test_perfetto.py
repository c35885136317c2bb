"""The trace for Perfetto, read with Perfetto's own classes: it has what the trace of the run has."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from collectivelint.runtime.afterwards.statistics import size
from collectivelint.runtime.report import report

from . import made_up
from .test_damaged import _rank

if TYPE_CHECKING:
    from pathlib import Path

protos = pytest.importorskip("perfetto.protos.perfetto.trace.perfetto_trace_pb2")
from collectivelint.runtime.afterwards import perfetto, perfetto_packets  # noqa: E402


class Parsed:
    """A trace as Perfetto's trace processor reads it: names are looked up, slices of a track are closed innermost first."""

    def __init__(self, file: Path) -> None:
        trace = protos.Trace.FromString(file.read_bytes())
        self.tracks: dict[int, Any] = {}
        self.slices: dict[int, list[dict[str, Any]]] = defaultdict(list)
        self.counters: dict[int, list[tuple[int, int]]] = defaultdict(list)
        names: dict[str, dict[int, Any]] = defaultdict(dict)
        events = []
        assert trace.packet[0].sequence_flags == protos.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
        for packet in trace.packet:
            assert packet.trusted_packet_sequence_id
            for field, entries in packet.interned_data.ListFields():
                for entry in entries:
                    text = entry.str.decode() if "string_values" in field.name else entry.name
                    assert names[field.name].setdefault(entry.iid, text) == text
            if packet.HasField("track_descriptor"):
                self.tracks[packet.track_descriptor.uuid] = packet.track_descriptor
            if packet.HasField("track_event"):
                event = packet.track_event
                assert event.track_uuid in self.tracks
                values = {"op": names["event_names"].get(event.name_iid), "flows": list(event.flow_ids)}
                values["kind"] = next((names["event_categories"][iid] for iid in event.category_iids), None)
                for argument in event.debug_annotations:
                    kind = argument.WhichOneof("value")
                    value = getattr(argument, kind)
                    found = names["debug_annotation_string_values"][value] if kind == "string_value_iid" else value
                    values[names["debug_annotation_names"][argument.name_iid]] = found
                events.append((packet.timestamp, event, values))
        open_: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for time, event, values in sorted(events, key=lambda item: item[0]):
            track = event.track_uuid
            if event.type == protos.TrackEvent.TYPE_COUNTER:
                self.counters[track].append((time, event.counter_value))
            elif event.type == protos.TrackEvent.TYPE_SLICE_BEGIN:
                made = {**values, "start": time, "end": None}
                self.slices[track].append(made)
                open_[track].append(made)
                assert len(open_[track]) == 1, "slices of a track do not overlap"
            else:
                open_[track].pop()["end"] = time

    def path(self, track: int) -> list[str]:
        """The names of a track and of those that it is below, outermost first."""
        found = self.tracks[track]
        return [*(self.path(found.parent_uuid) if found.parent_uuid else []), found.name]


def _time(seconds: float) -> int:
    return round(seconds * 1e6) * 1000


def test_it_has_what_the_trace_has(tmp_path: Path) -> None:
    job = made_up.job(100)
    file = tmp_path / "run.perfetto-trace"
    perfetto.write([job], [""], file, [])
    parsed = Parsed(file)
    trace = job.trace([])
    slices = {
        (parsed.path(track)[1], made["number"]): (made, parsed.path(track)[2:])
        for track, some in parsed.slices.items()
        for made in some
    }
    events = [event for rank in trace.ranks.values() for event in rank.events]
    assert len(slices) == len(events)
    flows: dict[int, set[tuple[Any, ...]]] = defaultdict(set)
    for event in events:
        made, below = slices[f"rank {event.rank} ({trace.ranks[event.rank].host})", event.number]
        ahead = made_up.AHEAD if event.rank >= 4 else 0.0
        assert made["start"] == _time(event.start - ahead)
        assert made["end"] == (_time(event.end - ahead) if event.end else None)
        assert (made["op"], made["kind"], made["sequence"]) == (event.op, event.kind, event.sequence)
        assert made["site"] == f"{event.place.path}:{event.place.line}"
        assert made["state"] == event.state.name.lower()
        assert made.get("bytes", 0) == size(event.signature)
        assert made.get("peer", -1) == event.peer
        assert made.get("is_async", False) == event.is_async
        assert str(event.group.description) in made["group"]
        # What runs beside the calls of the main thread has a track of its own below the rank's.
        assert bool(below) >= (event.is_async or bool(event.thread))
        assert len(made["flows"]) == (event.kind == "collective")
        for flow in made["flows"]:
            flows[flow].add((event.group.key, event.sequence))
    # A flow is one collective, and leads through all of its ranks.
    assert all(len(calls) == 1 for calls in flows.values())
    assert len(flows) == len({(event.group.key, event.sequence) for event in events if event.kind == "collective"})
    for track, values in parsed.counters.items():
        rank = trace.ranks[int(parsed.path(track)[1].split()[1])]
        assert parsed.path(track)[2:] == ["bytes in flight"]
        assert parsed.tracks[track].counter.unit == protos.CounterDescriptor.UNIT_SIZE_BYTES
        assert max(value for _, value in values) > 0
        assert values[-1][1] == sum(size(event.signature) for event in rank.events if not event.end)
    assert len(parsed.counters) == made_up.RANKS
    job_track = next(track for track in parsed.tracks.values() if not track.parent_uuid)
    assert job_track.child_ordering == protos.TrackDescriptor.EXPLICIT
    orders = [track.sibling_order_rank for track in parsed.tracks.values() if track.parent_uuid == job_track.uuid]
    assert orders == list(range(made_up.RANKS))


def test_batches_and_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perfetto_packets, "BATCH", 3)
    job = made_up.job(20)
    perfetto.write([job, job], ["first", "second"], tmp_path / "two", [])
    parsed = Parsed(tmp_path / "two")
    by_job = defaultdict(list)
    for track, some in parsed.slices.items():
        by_job[parsed.path(track)[0]] += [flow for made in some for flow in made["flows"]]
    assert sorted(by_job) == ["first", "second"]
    # No flow leads from one job to the other.
    assert not set(by_job["first"]) & set(by_job["second"])
    assert sum(map(len, parsed.slices.values())) == 2 * sum(len(rank.events) for rank in job.trace([]).ranks.values())


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for rank in range(2):
        _rank(tmp_path / "run", rank, 3)
    file = tmp_path / "out"
    file.write_text("of an earlier report")
    assert CliRunner().invoke(report, [str(tmp_path / "run"), "--perfetto", str(file)]).exit_code == 0
    assert sum(map(len, Parsed(file).slices.values())) == 6
    written = file.read_bytes()
    # A device is written to, and stays one.
    assert CliRunner().invoke(report, [str(tmp_path / "run"), "--perfetto", os.devnull]).exit_code == 0
    monkeypatch.setitem(sys.modules, "perfetto.protos.perfetto.trace.perfetto_trace_pb2", None)
    ran = CliRunner().invoke(report, [str(tmp_path / "run"), "--perfetto", str(file)])
    text = "error: --perfetto needs perfetto: pip install 'collectivelint[report]'\n"
    assert (ran.exit_code, ran.output) == (2, text)
    assert file.read_bytes() == written
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    _rank(tmp_path / "run", 0, 3)
    secret = tmp_path / "secret"
    secret.touch(0o600)
    assert CliRunner().invoke(report, [str(tmp_path / "run"), "--perfetto", str(secret)]).exit_code == 0
    assert secret.stat().st_mode & 0o777 == 0o600
    missing, link = tmp_path / "missing" / "out", tmp_path / "link"
    link.symlink_to(missing)
    for file, why in (
        (missing, "No such file or directory"),
        (link, "is a symbolic link to a file that does not exist"),
    ):
        ran = CliRunner().invoke(report, [str(tmp_path / "run"), "--perfetto", str(file)])
        assert (ran.exit_code, ran.output) == (2, f"error: {file}: {why}\n")
