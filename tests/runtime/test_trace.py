"""What is recorded, and how jobs are started, ended and left alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from collectivelint.runtime.traces import jobs

from collectivelint import runtime

from .conftest import JOBS, line_of, run, torchrun

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Job

pytest.importorskip("torch")


def test_every_way_to_communicate_is_recorded(trace: Callable[..., Job], tmp_path: Path) -> None:
    job = trace("everything.py", str(tmp_path / "checkpoint"), ranks=2, launcher=torchrun)
    assert (job.code, job.divergence) == (0, None), job.err
    ranks = jobs.load(job.folder).ranks
    assert sorted(ranks) == [0, 1]
    unfinished = [event for rank in ranks.values() for event in rank.events if event.state.name != "DONE"]
    # Handles that C++ waits for are only known to have been issued.
    assert all(event.is_async and event.state.name == "ISSUED" for event in unfinished), unfinished
    for rank in ranks.values():
        assert all(event.group.ranks == (0, 1) and event.group.ordinal == 0 for event in rank.events)
        at = Counter(
            (event.op, event.place.line) for event in rank.events if event.place.path.endswith("everything.py")
        )
        for op, text in [
            ("all_reduce", "op=dist.ReduceOp.MAX"),
            ("broadcast", "dist.broadcast(tensor, src=1)"),
            ("reduce", "dist.reduce("),
            ("all_gather", "dist.all_gather("),
            ("gather", "dist.gather("),
            ("scatter", "dist.scatter("),
            ("reduce_scatter_tensor", "dist.reduce_scatter_tensor("),
            ("all_to_all_single", "dist.all_to_all_single("),
            ("monitored_barrier", "dist.monitored_barrier("),
            ("barrier", "    dist.barrier()"),
            ("all_reduce", "async_op=True"),
            ("all_reduce", "dist.all_reduce(torch.ones(2))"),  # inference mode
            ("all_reduce", "dist.all_reduce(torch.ones(5))"),  # a thread
            ("send", "batch_p2p_ops("),  # in C++, from one operator
            ("recv", "batch_p2p_ops("),
            ("all_reduce", "ddp(torch.ones(2, 4)).sum().backward()"),  # DDP's C++ reducer
            ("all_gather_into_tensor", "sharded(torch.ones(2, 4)).sum().backward()"),  # FSDP2
            ("all_gather_into_tensor", "tensor.full_tensor()"),  # DTensor
            ("all_reduce", "float(value.sum())"),  # functional: it runs when the value is needed
            ("all_reduce", "float(compiled(torch.ones(3)).sum())"),  # torch.compile
        ]:
            line = line_of(text, "everything.py")
            nearby = at[(op, line)] + at[(op, line - 1)]
            assert nearby >= 1, f"{op} at line {line} of everything.py is missing from {sorted(at)}"
        for op, text in [("all_gather", "all_gather_object"), ("all_gather", "dcp.save"), ("broadcast", "dcp.load")]:
            assert at[(op, line_of(text, "everything.py"))] >= 1, (op, text)
    sent = [
        event
        for event in ranks[0].events
        if event.op == "send" and event.place.line == line_of("dist.send(torch.ones(3), dst=1)", "everything.py")
    ]
    assert [(event.peer, event.signature["sent"]) for event in sent] == [(1, [[[3], "torch.float32"]])]
    first = ranks[0].events[0]
    assert (first.op, first.signature["reduce_op"], first.signature["tensors"]) == (
        "all_reduce",
        "MAX",
        [[[4], "torch.float32"]],
    )
    assert first.place.function == "plain"
    assert [event.number for event in ranks[0].events] == list(range(1, len(ranks[0].events) + 1))


def test_groups_are_recorded_where_names_were_bound_early(trace: Callable[..., Job]) -> None:
    job = trace("scenarios.py", "early_bound", launcher=torchrun)
    events = jobs.load(job.folder).ranks[0].events
    made = [event for event in events if event.kind == "create"]
    assert [(event.op, event.signature["ranks"]) for event in made] == [("new_group", [0, 1])]
    used = [event for event in events if event.group.description == "early"]
    assert [(event.op, event.group.ranks, event.sequence) for event in used] == [("all_reduce", (0, 1), 1)]


def test_report_reads_a_trace_again(trace: Callable[..., Job]) -> None:
    job = trace("scenarios.py", "reduce_op", options=("--on-divergence", "report"))
    out = subprocess.run(
        [sys.executable, "-m", "collectivelint", "report", "--output-format", "json", str(job.folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=job.folder,
    )
    assert out.returncode == 1, out.stderr
    data = json.loads(out.stdout)
    assert [verdict["what"] for verdict in data["verdicts"]] == ["reduce operation"]
    (only,) = data["jobs"]
    assert {row["op"] for row in only["calls"]} == {"all_reduce", "barrier"}
    assert [(rank["rank"], rank["end"]) for rank in only["ranks"]] == [
        (0, "finished"),
        (1, "finished"),
        (2, "finished"),
    ]


def test_exit_code_of_the_job_is_passed_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "collectivelint", "trace", "--out-dir", str(tmp_path / "trace"), "--"]
    job = run([*command, sys.executable, "-c", "import sys; print('out'); sys.exit(7)"], tmp_path / "trace", tmp_path)
    assert (job.code, job.out) == (7, "out\n")
    assert "nothing was traced" in job.err


@pytest.mark.parametrize("command", [[], ["--", "no-such-launcher"]])
def test_a_command_that_cannot_run_is_a_usage_error(tmp_path: Path, command: list[str]) -> None:
    job = run([sys.executable, "-m", "collectivelint", "trace", *command], tmp_path, tmp_path)
    assert job.code == 2
    assert "Usage" in job.err


def test_job_runs_on_when_it_cannot_be_traced(tmp_path: Path) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("in the way of the trace directory")
    command = [*torchrun(2), str(JOBS / "scenarios.py"), "agree_only"]
    home = (runtime.__file__ or "").rpartition("/")[0]
    import collectivelint

    job = run(
        command,
        tmp_path,
        tmp_path,
        COLLECTIVELINT_TRACE=str(blocked),
        COLLECTIVELINT_HOME=collectivelint.__path__[0],
        COLLECTIVELINT_RUNTIME_HOME=home,
        PYTHONPATH=f"{home}/bootstrap",
    )
    assert job.code == 0, job.err
    assert "runs untraced" in job.err


def test_users_own_sitecustomize_still_runs(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "sitecustomize.py").write_text("import sys; sys.stdout.write('mine\\n')")
    command = [sys.executable, "-m", "collectivelint", "trace", "--out-dir", str(tmp_path / "trace"), "--"]
    job = run([*command, sys.executable, "-c", "print('job')"], tmp_path, tmp_path, PYTHONPATH=str(tmp_path / "mine"))
    # Once in the job, before its own words, and once in the launcher, whenever that flushes its output.
    assert sorted(job.out.splitlines()) == ["job", "mine", "mine"]
    assert job.out.index("mine") < job.out.index("job")


def test_module_form_and_context_manager(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, torch, torch.distributed as dist\n"
        "from collectivelint.runtime import trace\n"
        "with trace(out_dir=sys.argv[1]):\n"
        "    dist.init_process_group('gloo')\n"
        "    dist.all_reduce(torch.ones(1))\n"
        "    dist.destroy_process_group()\n"
    )
    inside = run([*torchrun(1), str(script), str(tmp_path / "inside")], tmp_path, tmp_path)
    assert inside.code == 0, inside.err
    assert [event.op for event in jobs.load(tmp_path / "inside").ranks[0].events] == ["all_reduce"]
    script.write_text(
        script.read_text().replace("trace(out_dir=sys.argv[1])", "__import__('contextlib').nullcontext()")
    )
    outside = run(
        [*torchrun(1), "-m", "collectivelint.runtime", str(script), "x"],
        tmp_path,
        tmp_path,
        COLLECTIVELINT_TRACE=str(tmp_path / "outside"),
    )
    assert outside.code == 0, outside.err
    assert [event.op for event in jobs.load(tmp_path / "outside").ranks[0].events] == ["all_reduce"]


def test_reading_a_trace_needs_no_torch(tmp_path: Path) -> None:
    code = "import sys, collectivelint.runtime.cli; sys.exit('torch' in sys.modules or 'libcst' in sys.modules)"
    # Not in the checkout: there `-c` would find its folders instead of what is installed.
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path).returncode == 0
