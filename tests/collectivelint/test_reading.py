"""A name that is no file of source is one message each: nothing hangs, and nothing fills the memory."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from collectivelint.incremental.store import stamp
from collectivelint.reading import LARGEST, read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Project

_CODE: Final = "import torch.distributed as dist\n\ndist.barrier()\n"
#: Address space of a run, which takes 0.4 GB of it; what reads without bound ends with a MemoryError.
_MEMORY: Final = 2_000_000_000
_LONGEST_S: Final = 60

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes, sockets and devices have no names there")


@pytest.fixture
def patience() -> Iterator[None]:
    """Ends a test that hangs."""

    def end(*_: object) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(_LONGEST_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _bounded() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_one_message_each_and_the_rest_is_linted(project: Project, jobs: str) -> None:
    project.write({"good.py": _CODE} | {f"more/m{number}.py": "x = 1\n" for number in range(130)})
    os.mkfifo("pipe.py")
    Path("link.py").symlink_to("pipe")
    os.mkfifo("pipe")
    Path("device.py").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.py")
    with Path("large.py").open("wb") as stream:
        stream.truncate(3_000_000_000)
    command = [
        sys.executable,
        "-m",
        "collectivelint",
        "check",
        "--min-confidence",
        "low",
        "--output-format",
        "concise",
        "--jobs",
        jobs,
        ".",
    ]
    for _ in range(2):  # the second time with a cache
        ran = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_LONGEST_S, preexec_fn=_bounded
        )
        assert ran.stderr == ""
        assert ran.stdout.splitlines()[:-1] == [
            "device.py:1:1: CL000 [unreadable-file] cannot be read: is a device, not a regular file",
            "good.py:3:1: CL101 [missing-group] (low confidence) `barrier` has no `group` argument, so it waits for every rank in the job",
            "large.py:1:1: CL000 [unreadable-file] cannot be read: has 3.0 GB; files of more than 5 MB are not read",
            "link.py:1:1: CL000 [unreadable-file] cannot be read: is a pipe, not a regular file",
            "pipe.py:1:1: CL000 [unreadable-file] cannot be read: is a pipe, not a regular file",
            "socket.py:1:1: CL000 [unreadable-file] cannot be read: is a socket, not a regular file",
        ]
        assert ran.returncode == 1


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize(
    "options", [["--fix"], ["--diff"], ["--add-ignore"], ["--thread-groups", "--diff"], ["--write-baseline"]]
)
def test_named_by_hand(project: Project, options: list[str]) -> None:
    os.mkfifo("strange.py")
    ran = project.run("check", "--no-cache", "--isolated", *options, "strange.py")
    assert ran.code in (0, 1)
    assert Path("strange.py").is_fifo()


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("name", ["pyproject.toml", "collectivelint.toml", "known.json", "catalog.toml"])
def test_other_files_that_are_read(project: Project, name: str) -> None:
    project.write({"good.py": _CODE, "known.json": '{"version": 1, "findings": []}', "catalog.toml": ""})
    project.write(
        {"pyproject.toml": '[tool.collectivelint]\ncatalog-files = ["catalog.toml"]\nbaseline = "known.json"\n'}
    )
    (project.root / name).unlink(missing_ok=True)
    os.mkfifo(name)
    ran = project.run("check", "--no-cache", "good.py")
    assert ran.code == 2
    assert re.search(rf"^error: .*{name}: .*is a pipe, not a regular file", ran.err, re.MULTILINE)


@pytest.mark.usefixtures("patience")
def test_a_gitignore_that_is_a_pipe_hides_nothing(project: Project) -> None:
    (project.root / ".git").mkdir()
    os.mkfifo(".gitignore")
    project.write({"deep/good.py": _CODE})
    assert "good.py:3:1: CL101" in project.run("check", "--no-cache", ".").out
    assert "good.py:3:1: CL101" in project.run("check", "--no-cache", "deep").out


def test_a_file_that_grows_while_it_is_read(project: Project) -> None:
    """Files of /proc say that they are empty."""
    del project
    if not Path("/proc/self/maps").exists():
        pytest.skip("needs /proc")
    assert len(read_bytes("/proc/self/maps")) > 0
    with pytest.raises(OSError, match=r"files of more than 0 MB are not read"):
        read_bytes("/proc/self/maps", 100)


def test_the_largest_file_is_read_whole(project: Project) -> None:
    data = b"#" * LARGEST
    project.write({"large.py": data, "larger.py": data + b"#"})
    assert read_bytes("large.py") == data
    with pytest.raises(OSError, match=r"has 5\.0 MB; files of more than 5 MB are not read"):
        read_bytes("larger.py")


def test_standard_input_without_end(project: Project) -> None:
    del project
    with Path("/dev/zero").open("rb") as endless:
        ran = subprocess.run(
            [sys.executable, "-m", "collectivelint", "check", "--min-confidence", "low", "--stdin-filename", "main.py"],
            stdin=endless,
            capture_output=True,
            text=True,
            check=False,
            timeout=_LONGEST_S,
            preexec_fn=_bounded,
        )
    assert (ran.returncode, ran.stderr) == (1, "")
    assert ran.stdout.startswith("main.py:1:1: CL000 [unreadable-file] cannot be read: has more than 5 MB\n")


def test_a_notebook_with_pictures_is_treated_as_any_other(project: Project) -> None:
    """Its pictures make it larger than a source may be: it is linted, remembered, fixed, silenced and piped."""
    cells = [
        {
            "cell_type": "code",
            "source": "import torch.distributed as dist\ndist.barrier()",
            "outputs": [],
            "metadata": {},
        },
        {"cell_type": "code", "source": "", "outputs": ["a" * LARGEST], "metadata": {}},
    ]
    project.write({"a.ipynb": json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})})
    data = (project.root / "a.ipynb").read_bytes()
    assert stamp("a.ipynb", None)[2]
    piped = subprocess.run(
        [
            sys.executable,
            "-m",
            "collectivelint",
            "check",
            "--min-confidence",
            "low",
            "--stdin-filename",
            "a.ipynb",
            "--isolated",
            "--no-cache",
        ],
        input=data,
        capture_output=True,
        check=False,
        timeout=_LONGEST_S,
    )
    assert b"a.ipynb:cell 1:2:1: CL101" in piped.stdout
    assert project.run("check", "--fix", "--explicit-world", "a.ipynb").code == 0
    assert "dist.barrier(group=dist.group.WORLD)" in project.text("a.ipynb")
    project.write({"a.ipynb": data})
    assert "Silenced 1 finding." in project.run("check", "--add-ignore", "a.ipynb").out
    assert project.run("check", "a.ipynb").code == 0
