"""Checkpoints as other libraries write them: does the auditor call them sound, and what does it say when they are damaged?

`make test-layouts`, or `python benchmarks/checkpoint_layouts.py [--python PYTHON] [KIND...]`. The libraries are installed into a new
environment in a temporary folder (gigabytes), or are those of PYTHON. Each kind is saved twice by a job of two ranks
(tests/jobs/layouts.py), at different steps. Then every file of it in turn is removed, is cut off, has one bit of its values flipped, is
replaced by that of the other save, and is copied as that of a further rank. Where a library makes one file of its checkpoint, the two
are compared. Exit code 1 if a whole one is not sound, or a file that is missing, cut off or flipped goes unnoticed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from collectivelint.runtime.checkpoint.audit import Report, Wanted, audit, opened
from collectivelint.runtime.checkpoint.model import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT: Final = Path(__file__).parents[1]
JOB: Final = ROOT / "tests" / "jobs" / "layouts.py"
LIBRARIES: Final = (
    "deepspeed", "lightning", "accelerate", "transformers", "safetensors", "megatron-core", "torch_checkpointing", "numpy",
)  # fmt: skip
KINDS: Final = (
    "zero1", "zero2", "zero3", "universal", "accelerate", "accelerate_fsdp", "lightning", "lightning_fsdp", "trainer", "megatron", "fsdp1_sharded", "fsdp1_local", "titan",
    "torch_checkpointing",
)  # fmt: skip
#: Files without which a checkpoint is what it was: scripts, settings, and a tracker that only names its folder.
OPTIONAL: Final = re.compile(
    r"\.py$|\.json$|(^|/)latest\w*$|training_args\.bin$|scheduler\.(pt|bin)$|metadata\.pkl$|random_states|rng_state|step_\d+\.pt$"
)
#: Where nothing in a file tells that its bytes are others than were written.
WITHOUT_CHECKSUMS: Final = (".safetensors", ".pkl")


def main() -> int:
    """Try all kinds, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", type=Path, help="the Python of an environment that has the libraries")
    parser.add_argument("kinds", nargs="*", default=KINDS)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="layouts") as folder:
        # DeepSpeed compiles; a lock that another job has left behind in the usual place would make it wait for ever.
        os.environ["TORCH_EXTENSIONS_DIR"] = f"{folder}/extensions"
        python = asked.python.absolute() if asked.python else installed(Path(folder) / "venv")
        rows = [row(kind, python, Path(folder)) for kind in asked.kinds]
    print(
        "\n| layout | sound | missing | cut off | flipped | of another step | one more rank |\n|---|---|---|---|---|---|---|"
    )
    for text, _ in rows:
        print(text)
    return int(any(failed for _, failed in rows))


def installed(folder: Path) -> Path:
    """A new environment with the libraries."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [
        str(folder / "bin" / "pip"),
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--constraint",
        str(ROOT / "constraints.txt"),
    ]
    subprocess.run([*pip, "torch", *LIBRARIES], check=True)
    return folder / "bin" / "python"


def run(python: Path, *words: str | Path) -> None:
    """A command of that environment to its end."""
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **os.environ,
        "PATH": path,
        "OMP_NUM_THREADS": "1",
        "DS_ACCELERATOR": "cpu",
        "PYTHONWARNINGS": "ignore",
    }
    ran = subprocess.run([str(python), *map(str, words)], env=environment, capture_output=True, text=True, timeout=600)
    if ran.returncode:
        raise RuntimeError("\n".join((ran.stdout + ran.stderr).splitlines()[-30:]))


def saved(kind: str, python: Path, folder: Path, steps: int) -> Path:
    """A checkpoint of that kind, at a step."""
    target = folder / f"{kind}-{steps}"
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    if kind == "universal":
        source = saved("zero3", python, folder / "for-universal", steps)
        convert = (
            "-m",
            "deepspeed.checkpoint.ds_to_universal",
            "--num_extract_workers",
            "1",
            "--num_merge_workers",
            "1",
        )
        to = target / f"global_step{steps}_universal"
        run(
            python,
            *convert,
            "--inject_missing_state",
            "--input_folder",
            source / f"global_step{steps}",
            "--output_folder",
            to,
        )
        return target
    run(python, *torchrun, JOB, kind, target, str(steps))
    return target


def whole(kind: str, python: Path, checkpoint: Path) -> Path | None:
    """The one file that the library itself makes of it."""
    if kind.startswith("zero"):
        target = checkpoint.parent / f"{checkpoint.name}-whole"
        run(python, checkpoint / "zero_to_fp32.py", checkpoint, target)
        return target / "pytorch_model.bin"
    file = checkpoint.parent / f"{checkpoint.name}-whole.pt"
    return file if file.exists() else None


def row(kind: str, python: Path, folder: Path) -> tuple[str, bool]:
    """What was found of one kind, and whether something was not."""
    try:
        first, second = (saved(kind, python, folder, steps) for steps in (2, 3))
        file = whole(kind, python, first)
    except RuntimeError as error:
        print(f"{kind}: {error}", flush=True)
        return f"| {kind} | could not be saved |||||| |", True
    report = audit(first, Wanted())
    failures = [f"sound: {problem}" for problem in report.problems if problem.severity == "error"]
    failures += [f"sound: {item}" for item in report.coverage.unread]
    if file is not None:
        compared = audit(first, Wanted(consolidated=file))
        # zero_to_fp32 leaves frozen parameters out at stage 1, which is what is said of it.
        wrong = [p for p in compared.problems if p.severity == "error" and not (kind == "zero1" and "frozen" in p.text)]
        failures += [f"compared: {item}" for item in (*wrong, *compared.coverage.unread)]
    counts: defaultdict[str, list[bool]] = defaultdict(list)
    for damage, name, copy, is_certain in damaged(first, second, folder / "copy"):
        found = noticed(copy, may_not_tell=damage == "another step")
        counts[damage].append(found)
        if is_certain and not found:
            failures.append(f"{damage}: {name} goes unnoticed")
    cells = [f"{sum(counts[d])} of {len(counts[d])}" if counts[d] else "-" for d in DAMAGES]
    text = f"| {report.layout} | {'yes' if not failures else 'NO'} | {' | '.join(cells)} |"
    print(text, *failures, sep="\n  ", flush=True)
    return text, bool(failures)


def noticed(path: Path, *, may_not_tell: bool) -> bool:
    """Whether the verdict is another than sound, or says that it cannot be told whether all files are of one save."""
    try:
        report: Report = audit(path, Wanted())
    except CheckpointError:
        return True
    return not (report.is_sound and report.is_complete) or (
        may_not_tell and report.coverage.one_save == "cannot be told"
    )


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _flip(file: Path, place: int) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 0x10
    file.write_bytes(bytes(data))


def values_of(checkpoint: Path) -> dict[str, int]:
    """A byte in the middle of some tensor of each file that has any."""
    with opened(checkpoint) as (side, _):
        return {
            (part.checkpoint.folder / values.storage.file).relative_to(checkpoint).as_posix(): values.storage.offset
            + values.storage.length // 2
            for part in side.parts
            for values in part.values.values()
            if values.storage.length
        }


DAMAGES: Final[dict[str, Callable[[Path], None] | None]] = {
    "missing": Path.unlink, "cut off": _cut, "flipped": None, "another step": None, "one more rank": None,
}  # fmt: skip


def damaged(first: Path, second: Path, copy: Path) -> Iterator[tuple[str, str, Path, bool]]:
    """Each damage of each file: what, which file, the damaged copy, and whether it has to be noticed."""
    places = values_of(first)
    is_one = sum(not OPTIONAL.search(file.name) for file in first.rglob("*") if file.is_file()) == 1
    others = {_plain(file.relative_to(second)): file for file in second.rglob("*") if file.is_file()}
    for file in sorted(file for file in first.rglob("*") if file.is_file()):
        name = file.relative_to(first)
        for damage, change in DAMAGES.items():
            is_certain = damage in ("missing", "cut off", "flipped") and not OPTIONAL.search(name.as_posix())
            if damage == "another step" and is_one:
                # A file alone is not mixed with any.
                continue
            if damage == "flipped" and (name.as_posix() not in places or name.name.endswith(WITHOUT_CHECKSUMS)):
                continue
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(first, copy)
            target = copy / name
            if damage == "another step":
                other = others.get(_plain(name))
                if other is None or OPTIONAL.search(name.as_posix()) or other.read_bytes() == file.read_bytes():
                    continue
                shutil.copy(other, target)
            elif damage == "one more rank":
                further = re.sub(r"(rank_|__|_)1(?=[_.])", r"\g<1>7", name.name)
                if further == name.name or OPTIONAL.search(name.as_posix()):
                    continue
                shutil.copy(file, target.with_name(further))
            elif damage == "flipped":
                _flip(target, places[name.as_posix()])
            elif change is not None:
                change(target)
            yield damage, name.as_posix(), copy, is_certain


def _plain(name: Path) -> str:
    """The path without the step."""
    return re.sub(r"(step|checkpoint-)\d+", r"\1", name.as_posix())


if __name__ == "__main__":
    sys.exit(main())
