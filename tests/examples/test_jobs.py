"""The example job: its correct form runs, learns and resumes; its broken form differs in the lines of its bugs only."""

from __future__ import annotations

import difflib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
FILES: Final = sorted(path.name for path in (EXAMPLES / "correct").glob("*.py"))
TRAINING_RANKS: Final = range(3)
#: Seconds; about ten on two idle cores.
LIMIT: Final = 120

#: Every line that the bugs take away from, or add to, the correct form.
BUGS: Final = {
    "checkpoint.py": """
-        dist.barrier()
+        dist.barrier(group=self.group)
-        dist.barrier()
+        dist.barrier(group=self.group)
-        assert true_on_every_rank(state.step == step, self.group), f"{folder}: some train state is not of step {step}"
+        if not true_on_every_rank(state.step == step, self.group):
+            raise RuntimeError(f"{folder}: some train state is not of step {step}")
-        dist.barrier()
+        dist.barrier(group=self.group)
-            dist.barrier(group=self.group)
+        dist.barrier(group=self.group)
""",
    "metrics.py": """
-    dist.all_reduce(total)
+    dist.all_reduce(total, group=group)
""",
}


def run_job(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a four-rank job to its end; a job that does not end in time is ended, and fails the test."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "4"]
    job = subprocess.Popen(
        [*launcher, str(script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        output, errors = job.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        job.terminate()  # the launcher passes it on to its ranks, and kills those that do not listen within 30 s
        try:
            output, errors = job.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            job.kill()
            raise
        pytest.fail(f"the job did not end within {LIMIT} s\n{output}\n{errors}")
    return subprocess.CompletedProcess(job.args, job.returncode, output, errors)


def losses(output: str) -> dict[int, float]:
    """The reported loss by step."""
    return {int(step): float(loss) for step, loss in re.findall(r"^step (\d+)  loss ([\d.]+)", output, re.MULTILINE)}


def test_correct_form_learns_saves_and_resumes(tmp_path: Path) -> None:
    pytest.importorskip("torch", minversion="2.6")
    script = EXAMPLES / "correct" / "train.py"

    first = run_job(script, "--dir", str(tmp_path))
    assert first.returncode == 0, first.stderr
    assert "Warning" not in first.stderr
    curve = losses(first.stdout)
    assert list(curve) == [5, 10, 15, 20]
    assert curve[20] < curve[5] / 2
    assert "the checkpoint of step 20 was loaded back: all parameters agree" in first.stdout

    # The leader kept the two newest checkpoints, each with the files of every training rank and none of the teacher's.
    expected = {".metadata"}
    expected |= {f"__{rank}_0.distcp" for rank in TRAINING_RANKS}
    expected |= {f"train_state_{rank}.json" for rank in TRAINING_RANKS}
    assert {path.name for path in tmp_path.iterdir()} == {"latest", "step_00000015", "step_00000020"}
    for step in (15, 20):
        assert {path.name for path in (tmp_path / f"step_{step:08d}").iterdir()} == expected
    assert (tmp_path / "latest").read_text() == "20"

    # Back to step 15: model, optimizer and data position are restored if step 20 comes out as it did before.
    shutil.rmtree(tmp_path / "step_00000020")
    (tmp_path / "latest").write_text("15")
    second = run_job(script, "--dir", str(tmp_path), "--steps", "5")
    assert second.returncode == 0, second.stderr
    assert "start at step 15" in second.stdout
    assert losses(second.stdout) == {20: curve[20]}
    assert (tmp_path / "latest").read_text() == "20"


def test_both_forms_have_the_same_files() -> None:
    assert sorted(path.name for path in (EXAMPLES / "broken").glob("*.py")) == FILES
    assert set(BUGS) <= set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_broken_form_differs_in_the_bugs_only(name: str) -> None:
    broken, correct = ((EXAMPLES / form / name).read_text().splitlines() for form in ("broken", "correct"))
    changes = [line for line in difflib.unified_diff(broken, correct, n=0, lineterm="") if not line.startswith("@@")]
    assert changes[2:] == BUGS.get(name, "").strip("\n").splitlines()


@pytest.mark.parametrize("form", ["broken", "correct"])
@pytest.mark.parametrize("name", FILES)
def test_both_forms_compile(form: str, name: str) -> None:
    path = EXAMPLES / form / name
    compile(path.read_text(), str(path), "exec")
