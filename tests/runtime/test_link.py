"""Several hosts: agents of torchrun on this one stand for them, each with its own launcher, trace and monitor."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from collectivelint.runtime.beside import host_link
from collectivelint.runtime.traces import folders, messages
from collectivelint.runtime.traces.jobs import load
from collectivelint.runtime.traces.model import Counted, Ending, Exit, Place, Raised
from collectivelint.runtime.traces.reader import ring_files
from collectivelint.runtime.verdict.model import Divergence, Side

from .conftest import JOBS, Job, line_of, run, torchrun
from .test_compare import PAIR, WORLD, rank

if TYPE_CHECKING:
    from pathlib import Path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _launched(tmp_path: Path, folder: Path, agent: list[str], scenario: str) -> Job:
    launcher = [sys.executable, "-m", "collectivelint", "trace", "--out-dir", str(folder), "--"]
    return run([*launcher, *agent, str(JOBS / "scenarios.py"), scenario], folder, tmp_path)


def _two_hosts(tmp_path: Path, scenario: str, *folders: Path) -> list[Job]:
    port = _free_port()
    traces = folders or (tmp_path / "host0", tmp_path / "host1")

    def start(node: int) -> Job:
        agent = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--node-rank", str(node)]
        where = ["--nproc-per-node", "2", "--master-addr", "127.0.0.1", "--master-port", str(port)]
        return _launched(tmp_path, traces[node], [*agent, *where], scenario)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(start, (0, 1)))


def test_ranks_of_several_hosts_are_compared(tmp_path: Path) -> None:
    jobs = _two_hosts(tmp_path, "outsider")
    for number, job in enumerate(jobs):
        assert job.code == 1, job.err
        assert sorted(load(job.folder).ranks) == [2 * number, 2 * number + 1]
        assert job.sides() == [
            ([0, 1, 2], "barrier", line_of("        dist.barrier()")),
            ([3], "broadcast", line_of("src=0, group=service")),
        ]
        assert "DEADLOCK" in job.err
        assert "CL101" in job.err


def test_events_of_other_hosts_are_asked_for(tmp_path: Path) -> None:
    """The difference is long past when it is noticed; each host alone has nothing to complain about."""
    for job in _two_hosts(tmp_path, "other_host"):
        assert job.code == 1, job.err
        assert job.divergence is not None
        assert (job.divergence["verdict"], job.divergence["what"]) == ("mismatch", "reduce operation")
        line = line_of("rank >= world // 2")
        assert job.sides() == [([0, 1], "all_reduce", line), ([2, 3], "all_reduce", line)]


@pytest.mark.slow
def test_a_correct_job_on_several_hosts(tmp_path: Path) -> None:
    for job in _two_hosts(tmp_path, "straggler"):
        assert (job.code, job.divergence) == (0, None), job.err


@pytest.mark.slow
def test_hosts_that_share_a_folder_are_read_as_one_run(tmp_path: Path) -> None:
    """Each launcher has a run of its own, and the report has the ranks of both."""
    folder = tmp_path / "shared"
    jobs = _two_hosts(tmp_path, "outsider", folder, folder)
    runs = folders.runs(folder)
    assert len(runs) == 2
    assert {len(ring_files(run)) for run in runs} == {2}
    assert [job.code for job in jobs] == [1, 1]
    for named in (folder, *runs):
        assert sorted(load(named).ranks) == [0, 1, 2, 3]
    # Another run of the same script, that of a single host, joins neither.
    again = _launched(tmp_path, folder, torchrun(2), "agree_only")
    assert again.code == 0
    assert sorted(load(folder).ranks) == [0, 1]
    assert len(folders.runs(folder)) == 3
    assert (runs[0] / "divergence.json").exists()


# ------------------------------------------------------------------------------------------------------- messages


def test_ranks_arrive_as_they_were_sent() -> None:
    sent = [
        replace(
            rank(1, ("barrier", WORLD), ("send", PAIR, 2, {"sent": [[[3], "float"]]}, 0), alive=True),
            callers={PAIR.key: frozenset({7, 8})},
            stack=("a.py:3 f: x",),
            stack_time=3.5,
            ending=Ending("own", "ValueError: x", 2.5, Place("a.py", 3, "f", ("a.py:3 f: x",))),
            raised=(Raised("all_gather_object", PAIR.key, 2, "TypeError: x", 1.5, Place("a.py", 2, "f")),),
            exit=Exit(-9, "SIGTERM", 4.5),
            streams={(WORLD.key, "collective"): Counted(5, 6, 7)},
            peers={(PAIR.key, "send", 0, 0): Counted(1, 2, 3)},
            lost=4,
        ),
        rank(2),
    ]
    assert messages.decode(json.loads(json.dumps(messages.encode(sent)))) == sent


def test_a_verdict_arrives_as_it_was_sent(tmp_path: Path) -> None:
    event = rank(0, ("barrier", WORLD)).events[0]
    sides = (Side((0, 1), event, "waits in"), Side((2,), None, "has finished", ("a.py:3 f: x",), is_consequence=True))
    found = Divergence("deadlock", WORLD, 3, "barrier", sides, 1.5, "CL201", ("a note",))
    one = host_link.Link(tmp_path, 0)
    one.send([], found=found)
    (tmp_path / "link-0-0.out").rename(tmp_path / "link-2-0.in")
    (message,) = host_link.Link(tmp_path, 2).received()
    assert host_link.decode_divergence(message["found"]) == found


_STORE = """
import sys, time
import torch.distributed as dist
store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
print(store.port, flush=True)
time.sleep(60)
"""
_JOB = """
import os, signal, sys, time
import torch, torch.distributed as dist
from pathlib import Path
from collectivelint.runtime import trace
from collectivelint.runtime.traces import folders
folder, port, server = folders.create(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
(folder / "link-0-0.out").write_bytes(b"{}")
with trace(folder):
    store = dist.TCPStore("127.0.0.1", port, is_master=False)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    for _ in range(100):
        # The thread beside the job has its connection when it has sent the message.
        if dist.PrefixStore("collectivelint/0", store).check(["from/0"]):
            break
        time.sleep(0.1)
    else:
        sys.exit("nothing was carried")
    os.kill(server, signal.SIGKILL)
    (folder / "link-0-0.out").write_bytes(b"{ }")
    time.sleep(1.5)
    for _ in range(10):
        dist.all_reduce(torch.ones(1))
print("done", flush=True)
"""


def test_a_store_that_is_gone_harms_nobody(tmp_path: Path) -> None:
    """The thread beside the job loses its store; the job, its record and its end are as ever."""
    with subprocess.Popen([sys.executable, "-c", _STORE], stdout=subprocess.PIPE, text=True, cwd=tmp_path) as server:
        assert server.stdout is not None
        try:
            port = server.stdout.readline().strip()
            command = [sys.executable, "-c", _JOB, str(tmp_path), port, str(server.pid)]
            ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60)
        finally:
            server.kill()
    assert (ran.returncode, ran.stdout) == (0, "done\n"), ran.stderr
    assert "untraced" not in ran.stderr
    rank = load(tmp_path).ranks[0]
    assert (len(rank.events), rank.end) == (10, "finished")
