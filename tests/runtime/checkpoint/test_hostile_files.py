"""Hostile files under `ckpt inspect`, `verify` and `diff`: nothing is executed, memory and time are bounded, no traceback is printed."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from . import hostile

if TYPE_CHECKING:
    from pathlib import Path

#: Runs each command of a JSON list in a child of its own, with 2 GB of memory and a minute; importing is done once.
_RUNNER = """
import json, os, resource, sys
import numpy
from collectivelint.cli import main
import collectivelint.runtime.checkpoint.cli

def run(arguments, out):
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
        fd = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        sys.argv = ["collectivelint", *arguments]
        code = 99
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        except BaseException:
            import traceback
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), open(out, errors="replace").read(1 << 20)

commands = json.load(sys.stdin)
print(json.dumps([run(command, sys.argv[1]) for command in commands]))
"""


def run(commands: list[list[str]], folder: Path) -> list[tuple[int, str]]:
    """Exit code, negative for a signal, and output of each command."""
    ran = subprocess.run(
        [sys.executable, "-c", _RUNNER, str(folder / "output")],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        timeout=600,
    )
    found: list[tuple[int, str]] = [tuple(row) for row in json.loads(ran.stdout)]
    return found


def checked(files: dict[str, Path], folder: Path, good: Path) -> dict[str, tuple[int, str]]:
    """What `verify` says of each; that the other commands do no harm either is checked on the way."""
    commands = []
    for file in files.values():
        commands += [
            ["ckpt", "verify", str(file)],
            ["ckpt", "inspect", str(file)],
            ["ckpt", "diff", str(file), str(good)],
        ]
    rows = run(commands, folder)
    wrong = [
        (commands[n][1:3], code, output[-600:])
        for n, (code, output) in enumerate(rows)
        if code not in (0, 1, 2) or "Traceback" in output or not output.strip()
    ]
    assert not wrong
    assert not (folder / "canary").exists()
    return dict(zip(files, rows[::3], strict=True))


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return hostile.archive(tmp_path / "good.pt", hostile.GOOD)


def as_metadata(folder: Path, pickles: dict[str, bytes]) -> dict[str, Path]:
    """Each as the metadata of a folder of torch.distributed.checkpoint."""
    files = {}
    for number, (title, data) in enumerate(pickles.items()):
        files[title] = folder / f"dcp{number}"
        files[title].mkdir(parents=True)
        (files[title] / ".metadata").write_bytes(data)
    return files


def as_archives(folder: Path, pickles: dict[str, bytes]) -> dict[str, Path]:
    """Each as a file of torch.save."""
    folder.mkdir(exist_ok=True)
    return {
        title: hostile.archive(folder / f"model{number}.pt", {**hostile.GOOD, "a/data.pkl": data})
        for number, (title, data) in enumerate(pickles.items())
    }


@pytest.mark.parametrize("form", [as_metadata, as_archives])
def test_pickles_that_execute_something(tmp_path: Path, good: Path, form: Any) -> None:
    pickles = {title: hostile.proto(body) for title, body in hostile.pickles(str(tmp_path / "canary")).items()}
    said = checked(form(tmp_path, pickles), tmp_path, good)
    # What cannot do harm where it is not executed may be read as a checkpoint.
    listed = {title for title, (code, _) in said.items() if code}
    assert {
        "reduce",
        "inst",
        "obj",
        "newobj",
        "newobj_ex",
        "memo",
        "memo written twice",
        "getattr",
        "builtins.eval",
    } <= listed
    assert {"posix.system", "pty.spawn", "bdb.Bdb.run", "importlib.import_module", "pickle.loads"} <= listed


def test_the_pickles_are_real(tmp_path: Path) -> None:
    """Python itself executes what is in some of them."""
    canary = tmp_path / "canary"
    code = "import pickle, sys\ntry:\n    pickle.loads(bytes.fromhex(sys.argv[1]))\nexcept BaseException: pass\n"
    for title in REAL:
        data = hostile.proto(hostile.pickles(str(canary))[title])
        subprocess.run([sys.executable, "-c", code, data.hex()], check=True, cwd=tmp_path, capture_output=True)
        assert canary.exists(), title
        canary.unlink()


REAL = (
    "reduce", "inst", "obj", "memo", "memo written twice", "memo under 300 others", "popped", "popped with a mark",
    "getattr", "attrgetter", "methodcaller", "partial", "partial by its state", "map", "builtins.eval", "posix.system", "sqlite3.connect", "logging.FileHandler",
    "argparse._os.system", "pickle.loads", "extension that is registered", "broken behind", "truncated behind",
)  # fmt: skip


@pytest.mark.parametrize("form", [pytest.param(as_metadata, marks=pytest.mark.slow), as_archives])
def test_pickles_without_end(tmp_path: Path, good: Path, form: Any) -> None:
    pickles = {title: hostile.proto(body) for title, body in hostile.bombs().items()}
    said = checked(form(tmp_path, pickles), tmp_path, good)
    assert said["bytearray8"][0] == said["put"][0] == said["doubling lists"][0] == 1
    keys = form(tmp_path / "keys", {title: hostile.proto(body) for title, body in hostile.slow().items()})
    for code, output in run([["ckpt", "verify", str(file)] for file in keys.values()], tmp_path):
        assert code == 1
        assert "it takes more time than anything of its size needs" in output


def test_containers(tmp_path: Path, good: Path) -> None:
    said = checked(hostile.containers(tmp_path / "files", str(tmp_path / "canary")), tmp_path, good)
    # A reader of values need not refuse what it does not use; these verdicts are about what it does.
    assert {title for title, (code, _) in said.items() if not code} <= {
        "compressed only in the local header", "encrypted flag", "other checksum of the pickle",
        "safetensors with hole", "safetensors with names twice", "safetensors with true as a size",
    }  # fmt: skip


def test_a_good_file(good: Path) -> None:
    ((code, output),) = run([["ckpt", "verify", str(good)]], good.parent)
    assert code == 0, output
