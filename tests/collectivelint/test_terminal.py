"""What a person sees on a terminal: the progress bar, and `--watch`. Run on a real pseudo-terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BAD = "import torch.distributed as dist\n\nif dist.get_rank() == 0:\n    dist.barrier(group=dist.group.WORLD)\n"


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, folder: Path, *args: str, program: tuple[str, ...] = ("-m", "collectivelint")) -> None:
        self.master, slave = pty.openpty()
        self.seen = ""
        self.process = subprocess.Popen(
            [sys.executable, *program, *args],
            cwd=folder,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "NO_COLOR": "1"},
        )
        os.close(slave)

    def until(self, text: str, longest: float = 60) -> str:
        """What is written up to this text; fails when it does not come."""
        end = time.monotonic() + longest
        while text not in self.seen:
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            try:
                data = os.read(self.master, 65536) if ready else b""
            except OSError:
                data = b""
            if not data:
                pytest.fail(f"{text!r} did not come; there was {self.seen!r}")
            self.seen += data.decode()
        before, _, self.seen = self.seen.partition(text)
        return before

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for one in opened:
        one.close()


def test_watch_lints_again_after_a_change(tmp_path: Path, terminal: list[Terminal]) -> None:
    pytest.importorskip("watchfiles")
    file = tmp_path / "main.py"
    file.write_text(_BAD)
    terminal.append(watching := Terminal(tmp_path, "--watch", "--isolated", "--output-format", "concise"))
    assert "main.py:4:5: CL201" in watching.until("Ctrl-C ends it.")
    file.write_text(_BAD.replace("if dist.get_rank() == 0:", "if True:"))
    assert "No findings in 1 file." in watching.until("Ctrl-C ends it.")
    (tmp_path / "other.py").write_text(_BAD)
    assert "other.py:4:5: CL201" in watching.until("Ctrl-C ends it.")
    watching.process.send_signal(signal.SIGINT)
    assert watching.process.wait(20) == 0


def test_watch_does_not_change_files(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "collectivelint", "--watch", "--fix", "."]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2
    assert "--watch only shows findings: leave out --fix" in ran.stderr


#: Every run counts as long, however fast the machine is.
_IMPATIENT = "from collectivelint.cli import main, progress; progress._PATIENCE = 0; main()"


def test_a_long_run_shows_how_far_it_is(tmp_path: Path, terminal: list[Terminal]) -> None:
    for number in range(80):
        (tmp_path / f"m{number}.py").write_text(
            "import torch.distributed as dist\n\n\ndef f(x):\n    dist.all_reduce(x)\n"
        )
    options = ("--isolated", "--no-cache", "--select", "CL201", "--jobs", "1")
    terminal.append(run := Terminal(tmp_path, *options, program=("-c", _IMPATIENT)))
    before = run.until("No findings in 80 files.")
    assert "Linting" in before
    # The bar is gone before the result: the cursor went back to its line, and the line was erased.
    assert re.search(r"\x1b\[2K[^L]*$", before)


def test_no_bar_in_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(_BAD)
    command = [sys.executable, "-m", "collectivelint", "--min-confidence", "low", "--isolated", "--no-cache", "."]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ran.stderr == ""
    assert "\x1b" not in ran.stdout


def test_the_page_of_a_rule_is_rendered(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "rule", "CL201")
    try:
        page = terminal.until("References")
    finally:
        terminal.close()
    assert "\x1b[1;4mWhat it does" in page
    assert "##" not in page
    assert "```" not in page
    # Neither a colour of ours, since NO_COLOR is set, nor a background.
    assert not re.search(r"\x1b\[[0-9;]*(?<![0-9])[349][0-9]", page)
