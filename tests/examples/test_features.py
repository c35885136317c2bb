"""The example with tensor parallelism by hand: linter, tracer and auditor tell its two forms apart."""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

FEATURES: Final = Path(__file__).parents[2] / "examples" / "features"
LIMIT: Final = 120


def collectivelint(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "collectivelint", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=LIMIT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def traced(form: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return collectivelint("trace", "--", *torchrun, str(FEATURES / f"{form}.py"), "--dir", "saved", cwd=cwd)


def test_the_forms_differ_in_how_they_save_only() -> None:
    broken, correct = ((FEATURES / f"{form}.py").read_text().splitlines() for form in ("broken", "correct"))
    changed = [line for line in difflib.ndiff(broken, correct) if line.startswith("- ")]
    assert [line[2:].strip() for line in changed if "torchrun" not in line] == [
        "state = model.state_dict()",
        'torch.save(state, folder.with_suffix(".pt"))',
    ]


def test_the_linter_knows_before_the_run(tmp_path: Path) -> None:
    found = collectivelint(
        "check", "--isolated", "--no-cache", "--output-format", "concise", str(FEATURES), cwd=tmp_path
    )
    lines = [line for line in found.stdout.splitlines() if " CL" in line]
    assert [("broken.py" in line, line.split(" ")[1]) for line in lines] == [(True, "CL402"), (True, "CL401")], (
        found.stdout
    )


@pytest.mark.parametrize("form", ["broken", pytest.param("correct", marks=pytest.mark.slow)])
def test_tracer_and_auditor_know_when_it_is_saved(tmp_path: Path, form: str) -> None:
    pytest.importorskip("torch", minversion="2.6")
    if form == "broken":
        # A right file to compare with later.
        right = traced("correct", tmp_path)
        assert right.returncode == 0, right.stderr
        (tmp_path / "saved" / "dictionary.pt").rename(tmp_path / "right.pt")
    job = traced(form, tmp_path)
    verified = collectivelint(
        "ckpt", "verify", "saved/dictionary", "--consolidated", "saved/dictionary.pt", cwd=tmp_path
    )
    if form == "correct":
        assert (job.returncode, verified.returncode) == (0, 0), job.stderr + verified.stdout
        assert "1 checkpoint audited, nothing lost" in job.stderr
        assert "Sound" in verified.stdout
        return
    assert (job.returncode, verified.returncode) == (1, 1), job.stderr + verified.stdout
    assert "CHECKPOINT LOSES DATA: 3 names are plain tensors on several ranks" in job.stderr
    assert "CHECKPOINT HOLDS ONE RANK'S PART: `encode`" in job.stderr
    assert "error  CK303 [manifest] encode: ranks held different values when it was saved" in verified.stdout
    # Which files hold what is told without the manifest too, where a right file is there to compare with.
    compared = collectivelint("ckpt", "verify", "saved/dictionary", "--consolidated", "right.pt", cwd=tmp_path)
    assert (
        "encode: the checkpoint holds only rows 0..127 of 256: one rank's part, taken for a replica (CL402)"
        in compared.stdout
    )
