"""The last lines of `collectivelint trace`, and what a terminal gets of a trace that others wrote."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from collectivelint.runtime.beside import closing, judging
from collectivelint.runtime.beside.closing import NOBODY
from collectivelint.runtime.report import report
from collectivelint.runtime.traces import folders
from collectivelint.runtime.traces.model import Exit, Trace
from collectivelint.runtime.traces.writer import Writer

from .conftest import Job, line_of, torchrun
from .made_up import job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def test_the_verdict_stands_last_and_in_red(trace: Callable[..., Job]) -> None:
    job = trace("scenarios.py", "outsider", launcher=torchrun, FORCE_COLOR="1", NO_COLOR="")
    assert job.code == 1
    lines = _COLOUR.sub("", job.err).splitlines()
    # At once in a line, and in full when the job has said all it had to say.
    first = next(number for number, line in enumerate(lines) if "DEADLOCK" in line)
    assert lines[first].endswith("rank 2 will never reach it; stopping the job")
    last = next(number for number, line in enumerate(lines) if line.startswith("DEADLOCK"))
    assert lines[last - 2] == f"collectivelint: trace in {job.folder}"
    assert f"scenarios.py:{line_of('        dist.barrier()')}" in lines[last + 1]
    assert lines[-1] == "collectivelint: the ranks diverged, see above; compared 23 calls of 3 ranks"
    assert "\x1b[31m\x1b[1mDEADLOCK" in job.err
    # What torchrun says of ranks that were ended for the verdict is left out; a rank may say that its peers have gone.
    assert "ChildFailedError" not in job.err
    assert "collectivelint: torchrun has ended the ranks" in lines


def test_an_error_of_the_job_is_shown_in_full(trace: Callable[..., Job]) -> None:
    """What torchrun and the rank say of it is theirs."""
    report = ("--on-divergence", "report")
    job = trace("scenarios.py", "exception", launcher=torchrun, options=report, FORCE_COLOR="1", NO_COLOR="1")
    assert "ValueError: rank 1 cannot read its shard" in job.err
    assert "ChildFailedError" in job.err
    assert "\x1b[3" not in "".join(line for line in job.err.splitlines() if "collectivelint:" in line)


_FAKE = (
    "import time, torch, torch.distributed as d; from torch.testing._internal.distributed.fake_pg import FakeStore as S\n"
    "d.init_process_group('fake', rank=0, world_size=1, store=S())"
)
_REMOVE = "import os, shutil; shutil.rmtree(os.environ['COLLECTIVELINT_TRACE'])"
_REMOVED = "the trace folder was removed while the job ran"
#: No file may grow any more.
_FULL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))"


@pytest.mark.parametrize(
    ("code", "last"),
    [
        ("pass", f"collectivelint: nothing was traced; {NOBODY}"),
        ("import sys; sys.exit(7)", f"{NOBODY}, but the job's exit code is 7"),
        ("import os; os.kill(os.getpid(), 9)", f"{NOBODY}, but the job was ended by SIGKILL"),
        (f"{_FAKE}; d.barrier()", "collectivelint: no divergence in 1 call of 1 rank"),
        (_REMOVE, f"collectivelint: nothing was traced; {_REMOVED}"),
        pytest.param(
            f"{_FAKE}; d.barrier(); time.sleep(1)\n{_REMOVE}\nd.barrier()",
            f"no divergence in 2 calls of 1 rank, but {_REMOVED}",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            f"{_FULL}\n{_FAKE}; d.barrier()",
            "nothing was traced; rank 0 was not recorded: not even the start of the process could be written",
            marks=pytest.mark.slow,
        ),
        (
            f"{_FAKE}; d.barrier()\n{_FULL}\nfor _ in range(3):\n    d.all_reduce(torch.ones(1))",
            "no divergence in 1 call of 1 rank, but rank 0 is recorded only until its call 1",
        ),
        (f"{_FAKE}\n{_FULL}\nd.barrier()", "collectivelint: nothing was traced; rank 0 was not recorded"),
    ],
)
def test_what_was_looked_at(tmp_path: Path, code: str, last: str) -> None:
    command = [sys.executable, "-m", "collectivelint", "trace", "--", sys.executable, "-c", code]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.stderr.splitlines()[-1].endswith(last)
    assert "\x1b" not in ran.stderr
    assert ("runs untraced" in ran.stderr) is (_FULL in code)


_KILLED = """
import os, sys
from pathlib import Path
from collectivelint.runtime.traces.writer import Writer
for rank in (0, 1):
    writer = Writer(Path(sys.argv[1]), rank=rank, world_size=2, attempt=0, started=1.0, host=os.uname().nodename, job="here:1")
os.kill(os.getpid(), 9)
"""


def test_a_job_of_which_every_process_was_killed(tmp_path: Path) -> None:
    """The launcher as well: nobody has recorded an exit code."""
    run = folders.create(tmp_path / "trace")
    assert subprocess.run([sys.executable, "-c", _KILLED, run], cwd=tmp_path, check=False).returncode == -9
    ran = CliRunner().invoke(report, [str(run)])
    last = "collectivelint: no divergence in 0 calls of 2 ranks, but ranks 0-1 left no record of their end, as killed processes do"
    assert (ran.exit_code, ran.output.splitlines()[-1]) == (0, last)


def test_nothing_is_said_of_the_end_of_a_rank_on_another_host(tmp_path: Path) -> None:
    """Whether it runs is not seen from here."""
    run = folders.create(tmp_path / "trace")
    code = _KILLED.replace("os.uname().nodename", "'elsewhere'")
    subprocess.run([sys.executable, "-c", code, run], cwd=tmp_path, check=False)
    ran = CliRunner().invoke(report, [str(run)])
    assert ran.output.splitlines()[-1] == "collectivelint: no divergence in 0 calls of 2 ranks"


def test_a_process_that_is_sent_a_signal_by_keyword(tmp_path: Path) -> None:
    code = (
        "import pathlib, signal, subprocess, sys\nfrom collectivelint.runtime.inside.children import Children\n"
        "Children(pathlib.Path('.')).hook_subprocess(subprocess)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "child.send_signal(sig=signal.SIGTERM)\nprint(child.wait())"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        == "-15\n"
    )


@pytest.mark.parametrize(
    ("code", "said"), [(-9, "was killed by SIGKILL"), (7, "exited with code 7 without reporting an error")]
)
def test_ranks_that_ended_badly_and_that_no_rank_waited_for(code: int, said: str) -> None:
    made = job(8)
    ranks = {
        number: replace(rank, end="running", exit=Exit(code, "", 9.0), events=())
        for number, rank in made.trace([]).ranks.items()
    }
    judged = judging.judge(made, "", Trace(ranks), told=False)
    assert closing.ended_badly(judged, ended_well=False) == [f"ranks 0-5 {said.replace('was ', 'were ')}"]
    assert closing.ended_badly(judging.judge(made, "", Trace(ranks), told=True), ended_well=False) == []


_EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A run that somebody else has left, with control characters wherever there is a text."""
    run = folders.create(tmp_path / "foreign")
    for rank in (0, 1):
        writer = Writer(run, rank=rank, world_size=2, attempt=0, started=1.0, host=f"h{_EVIL}", job=_EVIL)
        group = writer.name("group", {"ranks": [0, 1], "ordinal": 0, "description": f"d{_EVIL}"})
        frame = f"a{_EVIL}.py:3 f{_EVIL}: x{_EVIL}"
        place = writer.name("place", {"path": f"a{_EVIL}.py", "line": 3, "function": f"f{_EVIL}", "stack": [frame]})
        signature = writer.name("signature", {"op": f"op{_EVIL}{rank}", "reduce_op": _EVIL, "tensors": [[[1], _EVIL]]})
        stream = writer.stream({"group": group, "kind": "collective", "op": "", "peer": -1, "tag": 0})
        writer.add(0, group, 1, signature, place, -1, False, 2.0, 0, stream, 7)
        writer.finish("raised", f"E{_EVIL}")
    record = {"kind": f"save{_EVIL}", "wrong": True, "path": f"p{_EVIL}", "errors": [f"e{_EVIL}"], "time": 1.0}
    record["site"] = {"path": f"s{_EVIL}", "line": 3}
    (run / "checkpoint-x-1.jsonl").write_text(json.dumps(record) + "\n")
    return run


def _printed(tmp_path: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "collectivelint", *arguments]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    text = (ran.stdout + ran.stderr).decode()
    assert "Traceback" not in text
    assert not set(text) & set(_EVIL) - set("0123456789m]owned;[J"), text
    return text


def test_a_foreign_trace_does_nothing_to_the_terminal(foreign: Path, tmp_path: Path) -> None:
    text = _printed(tmp_path, "report", str(foreign))
    assert "MISMATCH" in text
    assert "\\x1b]0;owned" in text
    assert "CHECKPOINT: p\\x1b" in text
    (tmp_path / "a.py").write_text("import torch.distributed as dist\n\n\ndist.barrier()\n")
    _printed(tmp_path, "confirm", "a.py", "--trace", str(foreign))
    (foreign / f"rank0{_EVIL}.ring").write_text("not a trace")
    assert "not a collectivelint trace; what follows covers" in _printed(tmp_path, "report", str(foreign))


def test_a_foreign_dump_of_the_flight_recorder(tmp_path: Path) -> None:
    entry = {
        "record_id": 0, "process_group": ["0", f"d{_EVIL}"], "collective_seq_id": 1, "p2p_seq_id": 0, "is_p2p": False,
        "time_created_ns": 1, "state": "scheduled", "retired": False, "input_sizes": [[1]], "input_dtypes": [_EVIL],
        "frames": [{"filename": f"a{_EVIL}.py", "line": 3, "name": f"f{_EVIL}"}],
    }  # fmt: skip
    folder = tmp_path / "dumps"
    folder.mkdir()
    for rank, op in enumerate((f"gloo:a{_EVIL}", "gloo:barrier")):
        (folder / f"rank_{rank}.json").write_text(json.dumps({"entries": [{**entry, "profiling_name": op}]}))
    assert "MISMATCH" in _printed(tmp_path, "report", str(folder))
