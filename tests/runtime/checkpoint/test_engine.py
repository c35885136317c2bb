"""Checkpoints that a Spark cluster reads: the verdict is that of one machine. `make test-engine`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from collectivelint.runtime.checkpoint import show
from collectivelint.runtime.checkpoint.audit import Wanted, audit
from collectivelint.runtime.checkpoint.checks.engine import HERE
from collectivelint.runtime.checkpoint.cluster import connected

from .conftest import module

if TYPE_CHECKING:
    from collections.abc import Callable

    from collectivelint.runtime.checkpoint.checks.engine import Engine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java"),
]
damages = module("damages").DAMAGES


def verdict(path: Path, engine: Engine) -> dict[str, Any]:
    """What `verify --json` says, without the time."""
    data = show.as_dict(audit(path, Wanted(engine=engine)))
    del data["seconds"]
    return data


def test_the_verdict_is_that_of_one_machine(
    made: Path, copy: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One application reads all of them: starting one takes a minute where much else runs."""
    pytest.importorskip("pyspark")
    broken = copy("tensor_parallel")
    damages["flipped_bit"](broken)
    (broken / "__3_0.distcp").unlink()
    harmful = broken.parent / "harmful"
    dcp.save({"w": torch.ones(4), "extra": Harmful()}, checkpoint_id=harmful, no_dist=True)
    with connected("local[2]") as spark:
        # Tensors with objects beside them, a damaged one, and an object that runs something; by relative paths.
        for path, codes in ((made / "fsdp", set()), (broken, {"CK102"}), (harmful, {"CK102"})):
            monkeypatch.chdir(path.parent)
            alone, spread = (verdict(Path(path.name), engine) for engine in (HERE, spark))
            assert spread == alone
            errors = {problem["code"] for problem in alone["problems"] if problem["severity"] == "error"}
            assert (errors, alone["sound"]) == (codes, not codes)


class Harmful:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


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
