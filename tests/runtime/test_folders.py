"""Where traces go: every run has a folder of its own, and nothing else in the folder that was named is touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from collectivelint.runtime.beside import judging
from collectivelint.runtime.checkpoint import records
from collectivelint.runtime.traces import folders, jobs, run_end
from collectivelint.runtime.traces.reader import ring_files
from collectivelint.runtime.traces.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path

LAUNCHER = [sys.executable, "-m", "collectivelint", "trace"]
JOB = [sys.executable, "-c", "print('job')"]


def _writer(folder: Path, rank: int = 0, **more: object) -> Writer:
    about = {"world_size": 1, "attempt": 0, "started": 1.0, "host": "host", **more}
    return Writer(folder, rank=rank, **about)  # type: ignore[arg-type]


def test_nothing_of_a_users_folder_is_touched(tmp_path: Path) -> None:
    """With the names that a trace has as well, of whatever kind."""
    host = os.uname().nodename
    mine = [
        "link-checker.py",
        "divergence.json",
        f"rank0-{host}-1.ring",
        f"rank0-{host}-1.names",
        "run.json",
        "stopped",
    ]
    for name in (*mine, f"checkpoint-{host}-1.jsonl", f"watch-{host}.lock"):
        (tmp_path / name).write_text(f"precious {name}")
    (tmp_path / "run-1").mkdir()
    (tmp_path / "run-1" / "notes.txt").write_text("precious notes")
    (tmp_path / "link-0-0.out").symlink_to("link-checker.py")
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    ran = subprocess.run([*LAUNCHER, "--out-dir", ".", "--", *JOB], cwd=tmp_path, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "job\n"), ran.stderr
    assert {file: file.read_bytes() for file in before} == before
    assert (tmp_path / "link-0-0.out").is_symlink()
    (run,) = folders.runs(tmp_path)
    added = {file.name for file in tmp_path.iterdir()} - {file.relative_to(tmp_path).parts[0] for file in before}
    assert added == {run.name, folders.MARKER}


def test_runs_that_start_at_the_same_moment(tmp_path: Path) -> None:
    jobs = [subprocess.Popen([*LAUNCHER, "--", *JOB], cwd=tmp_path, stdout=subprocess.DEVNULL) for _ in range(3)]
    try:
        assert [job.wait(60) for job in jobs] == [0, 0, 0]
    finally:
        for job in jobs:
            job.kill()
    assert len(folders.runs(tmp_path / "collectivelint-trace")) == 3


def test_one_process_starts_several_runs(tmp_path: Path) -> None:
    made = [folders.create(tmp_path) for _ in range(3)]
    assert len(set(made)) == 3
    assert sorted(folders.runs(tmp_path)) == sorted(made)


def test_the_newest_run_is_read_and_named(tmp_path: Path) -> None:
    first = folders.create(tmp_path)
    data = json.loads((first / folders.MANIFEST).read_text())
    (first / folders.MANIFEST).write_text(json.dumps({**data, "started": data["started"] - 100}))
    second = folders.create(tmp_path)
    for world_size, run in enumerate((first, second), 1):
        for rank in range(world_size):
            _writer(run, rank, world_size=world_size).finish("finished")
    assert folders.newest(tmp_path) == second
    assert folders.newest(first) == first
    assert sorted(jobs.load(tmp_path).ranks) == [0, 1]
    command = [sys.executable, "-m", "collectivelint", "report", "."]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.stdout.startswith(f"Run: {second.name}, the newest of 2 runs\n\nrank 0 of 2")
    assert ran.stdout.endswith("collectivelint: no divergence in 0 calls of 2 ranks\n")
    old = subprocess.run([*command[:-1], str(first)], cwd=tmp_path, capture_output=True, text=True)
    assert old.stdout.startswith("rank 0 of 1")
    assert old.stdout.endswith("collectivelint: no divergence in 0 calls of 1 rank\n")


def test_traces_of_earlier_releases_lie_in_the_folder_itself(tmp_path: Path) -> None:
    _writer(tmp_path).finish("finished")
    assert folders.newest(tmp_path) == tmp_path
    assert sorted(jobs.load(tmp_path).ranks) == [0]


def test_what_only_looks_like_a_run_is_none(tmp_path: Path) -> None:
    run = folders.create(tmp_path / "other")
    (tmp_path / "run-link").symlink_to(run)
    (tmp_path / "run-mine").mkdir()
    (tmp_path / "run-mine" / folders.MANIFEST).write_text('{"name": "a run of another tool"}')
    (tmp_path / "run-pipe").mkdir()
    os.mkfifo(tmp_path / "run-pipe" / folders.MANIFEST)
    (tmp_path / "run-file").touch()
    assert folders.runs(tmp_path) == []


_JOIN = "import sys; from pathlib import Path; from collectivelint.runtime.traces.folders import join_run; print(join_run(Path(sys.argv[1])))"


def test_ranks_without_a_launcher_find_the_same_run(tmp_path: Path) -> None:
    """They have the process in common that has started them; what they start belongs to their run."""
    again = f"{_JOIN}; import os, subprocess; subprocess.run([sys.executable, '-c', {_JOIN!r}, os.environ['COLLECTIVELINT_TRACE']])"
    environment = {**os.environ, "COLLECTIVELINT_TRACE": str(tmp_path)}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", again, str(tmp_path)], stdout=subprocess.PIPE, env=environment, cwd=tmp_path
        )
        for _ in range(3)
    ]
    printed = {line for rank in ranks for line in rank.communicate(timeout=60)[0].decode().split()}
    (run,) = folders.runs(tmp_path)
    assert printed == {str(run)}


def test_the_run_of_a_launcher_on_another_host_is_made(tmp_path: Path) -> None:
    """Its file system is not this host's."""
    named = tmp_path / "run-20260131-120000-other.host-4711"
    assert folders.join(named) == named
    assert folders.is_run(named)


def test_a_link_in_the_place_of_the_run_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    outer = tmp_path / "trace"
    name = folders.join(outer).name
    other = tmp_path / "shared"
    other.mkdir()
    (other / name).symlink_to(victim)
    with pytest.raises(FileExistsError):
        folders.join(other)
    assert list(victim.iterdir()) == []


def test_no_link_in_a_run_is_written_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = folders.create(tmp_path / "trace")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    name = f"rank0-host-{os.getpid()}"
    for link, target in [("divergence.json", victim), (f"{name}.ring", victim), (f"{name}.names", tmp_path / "absent")]:
        (run / link).symlink_to(target)
    _writer(run, world_size=2).finish("finished")
    assert [file.name.startswith(f"{name}-") for file in ring_files(run)] == [True]
    (run / "end.json").symlink_to(victim)
    judging.write(run, [{"job": {}}])
    run_end.write(run, run_end.RunEnd(code=3))
    assert not (run / "divergence.json").is_symlink()
    assert judging.read(run) == [{"job": {}}]
    assert run_end.read(run) == run_end.RunEnd(code=3)
    assert (victim.read_text(), (tmp_path / "absent").exists()) == ("precious", False)
    assert not list(run.glob(".*.tmp"))


def test_records_of_checkpoints_are_not_written_through_a_link(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from collectivelint.runtime.checkpoint.inside.context import Context
    from collectivelint.runtime.inside.sites import Sites

    run = folders.create(tmp_path / "trace")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (run / f"checkpoint-{os.uname().nodename}-{os.getpid()}.jsonl").symlink_to(victim)
    context = Context(run, Sites(""))
    context.guarded(lambda: context.record("save", {}))
    assert "could not be audited" in capsys.readouterr().err
    assert victim.read_text() == "precious"
    assert records.read(run) == []


def test_a_ring_that_has_no_room_leaves_nothing_behind(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; from pathlib import Path; from collectivelint.runtime.traces.writer import Writer\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "try:\n"
        "    Writer(Path(sys.argv[1]), rank=0, world_size=1, attempt=0, started=0.0, host='host')\n"
        "except OSError:\n"
        "    print('refused')\n"
    )
    folder = tmp_path / "trace"
    ran = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, cwd=tmp_path)
    assert ran.stdout == "refused\n", ran.stderr
    assert list(folder.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    ran = subprocess.run(
        [*LAUNCHER, "--out-dir", "taken/below", "--", *JOB], cwd=tmp_path, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "taken" in ran.stderr.splitlines()[-1]
    assert "Traceback" not in ran.stderr


def test_a_pipe_does_not_hold_up_who_writes_or_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the place of what ranks and monitors leave for each other."""
    from collectivelint.runtime.beside.host_link import Link
    from collectivelint.runtime.checkpoint.inside.context import Context
    from collectivelint.runtime.inside.sites import Sites

    run = folders.create(tmp_path / "trace")
    context = Context(run, Sites(""))
    for name in ("link-0-0.in", "link-0-0.out", f"checkpoint-{os.uname().nodename}-{os.getpid()}.jsonl"):
        os.mkfifo(run / name)
    os.mkfifo(context._asked_file("/somewhere"))
    assert Link(run, 0).received() == []
    assert context._asked_elsewhere("/somewhere") == {}
    context.guarded(lambda: context.record("save", {}))
    assert "could not be audited" in capsys.readouterr().err
    assert records.read(run) == []
