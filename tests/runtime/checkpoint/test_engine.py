"""Checkpoints that a Spark cluster reads: the verdict is that of one machine. `make test-engine`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import module

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java"),
]
damages = module("damages").DAMAGES


def verify(*arguments: object, cwd: Path) -> tuple[int, Any, str]:
    """Exit code, what `--json` says without the time, and stderr."""
    command = [sys.executable, "-m", "collectivelint", "ckpt", "verify", "--json", *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    data = json.loads(ran.stdout) if ran.stdout else {}
    data.pop("seconds", None)
    return ran.returncode, data, ran.stderr


def test_the_verdict_is_that_of_one_machine(made: Path, copy: Callable[[str], Path]) -> None:
    pytest.importorskip("pyspark")
    broken = copy("tensor_parallel")
    damages["flipped_bit"](broken)
    (broken / "__3_0.distcp").unlink()
    # Tensors with objects beside them, and a damaged one; by paths that are relative to the folder of the command.
    for path, code in ((made / "fsdp", 0), (broken, 1)):
        alone = verify(path.name, cwd=path.parent)
        spread = verify(path.name, "--engine", "local[2]", cwd=path.parent)
        assert spread[:2] == alone[:2]
        assert alone[0] == code


def test_a_store(made: Path, tmp_path: Path) -> None:
    # A process has a memory:// of its own: Spark's do not see that of this one, and say so.
    pytest.importorskip("pyspark")
    code = (
        "import sys, fsspec\n"
        f"fsspec.filesystem('memory').put({str(made / 'fsdp') + os.sep!r}, '/run/', recursive=True)\n"
        "from collectivelint.cli import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", code, "ckpt", "verify", "memory://run", "--engine", "local[1]"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ran.returncode == 2
    assert "error: memory://run: is not there on the machines of local[1]; name an address of a store, or" in ran.stderr


def test_there_is_no_spark(made: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['pyspark'] = None; from collectivelint.cli import main; main()"
    command = [sys.executable, "-c", code, "ckpt", "verify", str(made / "fsdp"), "--engine", "local[2]"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    text = "error: --engine local[2] needs pyspark: pip install 'collectivelint[spark]'\n"
    assert (ran.returncode, ran.stderr) == (2, text)
