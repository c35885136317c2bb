"""What is refused before a job starts, and in which words."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from collectivelint.runtime.traces import folders

from collectivelint import atomic, colour

if TYPE_CHECKING:
    from pathlib import Path


def _run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "collectivelint", *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with what a command may name by mistake."""
    (tmp_path / "ok.py").write_text("print(1)\n")
    (tmp_path / "bare.py").write_text("print(1)\n")
    (tmp_path / "bare.py").chmod(0o755)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("gone")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--outdir", "st", "--", "true"], "such option '--outdir'. Did you mean '--out-dir'?"),
        (["--outdir=st", "true"], "such option '--outdir'. Did you mean '--out-dir'?"),
        (["-x", "true"], "such option '-x'"),
        (["--", "./ok.py"], "./ok.py is not executable; put `python` in front"),
        (["ok.py"], "ok.py is not executable; put `python` in front"),
        (["bare.py"], "bare.py is not found in PATH; put `python` in front"),
        (["./bare.py"], "./bare.py: Exec format error; put `python` in front"),
        (["empty"], "empty is a folder"),
        (["no-such-launcher"], "no-such-launcher: command not found"),
        (["--out-dir", "", "true"], "'--out-dir': the name is empty"),
        (["--out-dir", "link", "true"], "link: is a symbolic link to a folder that does not exist"),
        (["--out-dir", "link/below", "true"], "link: is a symbolic link to a folder that does not exist"),
    ],
)
def test_why_nothing_runs(place: Path, words: list[str], said: str) -> None:
    ran = _run(place, "trace", *words)
    assert ran.returncode == 2
    # The words for an option are click's.
    assert said.lower() in ran.stderr.lower()
    assert folders.runs(place / "collectivelint-trace") == []


@pytest.mark.parametrize("words", [["report", ""], ["watch", ""], ["confirm", ".", "--trace", ""]])
def test_a_name_of_a_trace_that_is_empty(tmp_path: Path, words: list[str]) -> None:
    ran = _run(tmp_path, *words)
    assert ran.returncode == 2
    assert "the name is empty" in ran.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[tool.collectivelint]\nexpected-groups = "x"\n', "`expected-groups` has to be a table"),
        ('[tool.collectivelint]\nexpected-group = { dp = "0" }\n', "unknown key `expected-group`"),
        ("[tool.collectivelint\n", "pyproject.toml"),
    ],
)
def test_a_broken_configuration_is_told_before_the_job(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    folders.create(tmp_path / "known")
    for words in (["trace", "touch", "ran"], ["report", "known"]):
        ran = _run(tmp_path, *words)
        assert (ran.returncode, ran.stdout) == (2, "")
        assert said in ran.stderr
        assert "no divergence" not in ran.stderr
    assert not (tmp_path / "ran").exists()


def test_a_rule_that_is_not_installed_keeps_no_job_from_running(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.collectivelint]\nselect = ["XX999"]\n')
    ran = _run(tmp_path, "trace", "touch", "ran")
    assert ran.returncode == 0
    assert "unknown rule `XX999`" in ran.stderr
    assert (tmp_path / "ran").exists()


def test_a_full_disk_names_the_path(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8, 8))\n"
        "sys.argv[1:] = ['trace', '--out-dir', 'full', 'true']\n"
        "from collectivelint.cli import main; main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr == "error: full/.collectivelint-trace: File too large\n"


def test_a_write_that_fails_names_what_was_to_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        atomic.write(tmp_path / "missing" / "page.html", "text")
    assert caught.value.filename == str(tmp_path / "missing" / "page.html")


@pytest.mark.parametrize(("value", "coloured"), [("", False), ("0", False), ("false", False), ("1", True), ("3", True)])
def test_colours_by_force(tmp_path: Path, value: str, coloured: bool) -> None:
    ran = _run(tmp_path, "trace", "true", FORCE_COLOR=value, NO_COLOR="")
    assert ran.returncode == 0
    assert ("\x1b[" in ran.stderr) is coloured


def test_no_colours_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    outer, inner = os.openpty()
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    with os.fdopen(outer, "rb"), os.fdopen(inner, "w") as terminal:
        assert colour.is_wanted(terminal)
        monkeypatch.setenv("FORCE_COLOR", "0")
        assert not colour.is_wanted(terminal)
