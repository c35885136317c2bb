"""The launcher of the tests does what torchrun does, as far as a job can tell."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from . import forked
from .conftest import run, torchrun

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest.importorskip("torch")

_SAYS = """
import os, sys
names = ["RANK", "LOCAL_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RESTART_COUNT", "MINE"]
known = [os.environ[name] for name in [*names, "TORCHELASTIC_USE_AGENT_STORE"]]
found = [*known, __name__, __file__, sys.argv, sys.path[0], os.getcwd(), sys.stdout.isatty(), os.getpgid(0) == os.getpid()]
# Ranks share the pipe: one write each, which does not mix with the other's.
os.write(1, f"{' '.join(map(str, found))}\\n".encode())
"""
_FAILS = """
import os, sys, time
if os.environ["RANK"] == "1":
    sys.exit(3)
print("waits", flush=True)
time.sleep(600)
"""
_PID = "import os, sys, time; os.write(1, b'%d\\n' % os.getpid()); time.sleep(600)"


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        (tmp_path / "job.py").write_text(text)
        return str(tmp_path / "job.py")

    return write


def test_what_a_rank_finds(tmp_path: Path, script: Callable[[str], str]) -> None:
    path = script(_SAYS)
    said = [
        run([*launcher(2), path, "a", "-b"], tmp_path, tmp_path, MINE="mine")
        for launcher in (torchrun, forked.launcher)
    ]
    assert [job.code for job in said] == [0, 0], said
    assert len(said[0].out.splitlines()) == 2
    assert sorted(said[0].out.splitlines()) == sorted(said[1].out.splitlines())


@pytest.mark.parametrize("launcher", [torchrun, forked.launcher], ids=["torchrun", "forked"])
def test_a_rank_that_fails_ends_the_others(
    tmp_path: Path, script: Callable[[str], str], launcher: Callable[[int], list[str]]
) -> None:
    job = run([*launcher(3), script(_FAILS)], tmp_path, tmp_path)
    assert job.code == 1, job.err
    assert len(re.findall(r"Sending process \d+ closing signal SIGTERM", job.err)) == 2


@pytest.mark.parametrize("launcher", [torchrun, forked.launcher], ids=["torchrun", "forked"])
def test_a_launcher_that_is_told_to_end_ends_the_ranks(
    tmp_path: Path, script: Callable[[str], str], launcher: Callable[[int], list[str]]
) -> None:
    command = [*launcher(2), script(_PID)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        try:
            ranks = [int(process.stdout.readline()) for _ in range(2)]
            # torchrun told to end while it still notes what it has started leaves those ranks behind.
            time.sleep(1)
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 1
    assert "Received 15 death signal" in err
    for pid in ranks:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
