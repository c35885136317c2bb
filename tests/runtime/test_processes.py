"""A process is ended by its number only where the start time that was recorded with it is its own."""

from __future__ import annotations

import mmap
import os
import signal
import struct
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from collectivelint.runtime.beside import watch
from collectivelint.runtime.traces import jobs, processes
from collectivelint.runtime.traces.reader import Reader, ring_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

psutil = pytest.importorskip("psutil")

_RANK = """
import os, sys, time
from pathlib import Path
from collectivelint.runtime.traces.writer import Writer
writer = Writer(Path(sys.argv[1]), rank=0, world_size=1, attempt=0, started=time.time(), host=os.uname().nodename)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def rank(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has a ring in `tmp_path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", _RANK, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def _rewritten(folder: Path, at: int, value: bytes) -> None:
    (file,) = ring_files(folder)
    with file.open("r+b") as stream:
        stream.seek(at)
        stream.write(value)


def test_the_start_is_what_psutil_says(rank: subprocess.Popen[str], tmp_path: Path) -> None:
    begun = psutil.Process(rank.pid).create_time()
    assert processes.started(rank.pid) == pytest.approx(begun, abs=0.01)
    assert Reader(ring_files(tmp_path)[0]).begun == pytest.approx(begun, abs=0.01)


def test_a_rank_is_ended(rank: subprocess.Popen[str], tmp_path: Path) -> None:
    assert watch.living(tmp_path) == [rank.pid]
    watch.end(tmp_path, ask=True)
    assert rank.wait(10) == -signal.SIGTERM


@pytest.mark.parametrize("shift", [-3600.0, 1.0])
def test_a_number_that_has_gone_to_another_process(rank: subprocess.Popen[str], tmp_path: Path, shift: float) -> None:
    """As if the rank had ended, and its number had been given to this process."""
    _rewritten(tmp_path, 184, struct.pack("<d", processes.started(rank.pid) + shift))
    said: list[str] = []
    watch.end(tmp_path, ask=False, say=said.append)
    assert said == [f"collectivelint: not ended, since their start is not the recorded one: rank 0 (pid {rank.pid})\n"]
    assert processes.send(rank.pid, processes.started(rank.pid) + shift, signal.SIGKILL) is False
    assert rank.poll() is None


def test_a_process_that_has_no_part_in_the_trace(rank: subprocess.Popen[str], tmp_path: Path) -> None:
    """Its number and its start are in the file, but it does not write to it."""
    (file,) = ring_files(tmp_path)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for source in (file, file.with_suffix(".names")):
        (foreign / source.name).write_bytes(source.read_bytes())
    watch.end(foreign, ask=False)
    assert rank.poll() is None


def test_without_psutil_nothing_is_signalled(
    rank: subprocess.Popen[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    said: list[str] = []
    watch.end(tmp_path, ask=True, say=said.append)
    assert rank.poll() is None
    (text,) = said
    assert "psutil is not installed" in text
    assert f"rank 0 (pid {rank.pid})" in text


def test_a_trace_of_the_release_before_is_read_and_its_ranks_are_left_alone(
    rank: subprocess.Popen[str], tmp_path: Path
) -> None:
    """Version 4 has no start; what stands there now was the end of the host's name."""
    _rewritten(tmp_path, 184, bytes(8))
    _rewritten(tmp_path, 8, struct.pack("<I", 4))
    found = jobs.load(tmp_path).ranks[0]
    assert (found.host, found.pid) == (os.uname().nodename, rank.pid)
    assert Reader(ring_files(tmp_path)[0]).begun == 0.0
    assert watch.living(tmp_path) == [rank.pid]
    said: list[str] = []
    watch.end(tmp_path, ask=False, say=said.append)
    assert rank.poll() is None
    assert said == [f"collectivelint: not ended, since their start is not the recorded one: rank 0 (pid {rank.pid})\n"]


def test_numbers_that_stand_for_groups_of_processes() -> None:
    for number in (0, -1, -os.getpgrp(), 1 << 40):
        assert not processes.exists(number)
        assert not processes.send(number, time.time(), signal.SIGTERM)
    assert processes.exists(os.getpid())


@pytest.mark.parametrize("begun", [float("nan"), float("inf"), float("-inf"), -1.0, 1e300, 0.0])
def test_what_is_no_start_time_is_nobodys(rank: subprocess.Popen[str], tmp_path: Path, begun: float) -> None:
    assert not processes.send(rank.pid, begun, signal.SIGTERM)
    assert processes.is_same(rank.pid, begun) is (begun == 0.0)
    _rewritten(tmp_path, 184, struct.pack("<d", begun))
    said: list[str] = []
    watch.end(tmp_path, ask=False, say=said.append)
    assert rank.poll() is None
    assert "not the recorded one" in "".join(said)


def test_only_who_writes_to_the_very_file_has_mapped_it(tmp_path: Path) -> None:
    """Not who reads it, nor who has mapped one whose name only begins the same."""
    file, longer = tmp_path / "a b\n.ring", tmp_path / "a b\n.ring more"
    for name in (file, longer):
        name.write_bytes(bytes(4096))
    with longer.open("r+b") as other, mmap.mmap(other.fileno(), 0):
        assert not processes.has_mapped(os.getpid(), file)
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ):
            assert not processes.has_mapped(os.getpid(), file)
        with file.open("r+b") as stream, mmap.mmap(stream.fileno(), 0):
            assert processes.has_mapped(os.getpid(), file)
