"""What torch and the auditor say of damaged checkpoints, and what looking costs: `make bench-audit`, the figures of benchmarks/audit.md.

python benchmarks/audit.py damage     the table of damages
python benchmarks/audit.py speed      reading, digesting, headers, metadata, memory
python benchmarks/audit.py online     what auditing adds to a save
python benchmarks/audit.py original   a model of 180 names, saved as plain tensors by two ranks
"""

from __future__ import annotations

import importlib.util
import os
import pickle
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

JOBS = Path(__file__).resolve().parent.parent / "tests" / "jobs"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]


def module(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, JOBS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def run(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)


# ---------------------------------------------------------------------------------------------------------- damage


def damage(folder: Path) -> None:
    """Break a checkpoint in every way; ask torch, by loading it, and the auditor."""
    from collectivelint.runtime.checkpoint.audit import Wanted, audit, opened
    from collectivelint.runtime.checkpoint.checks import manifest

    run([*TORCHRUN, "4", str(JOBS / "checkpoints.py"), str(folder), "tensor_parallel", "hand_made"], folder)
    good = folder / "tensor_parallel"
    with opened(good) as (side, _):
        manifest.write(good, manifest.make(side, {"world_size": 4}))
    print("| damage | torch's own load | the auditor, headers only | the auditor |\n|---|---|---|---|")
    damages = module("damages").DAMAGES
    for name, break_it in damages.items():
        copy = folder / "broken" / "tensor_parallel"
        shutil.rmtree(copy.parent, ignore_errors=True)
        shutil.copytree(good, copy)
        shutil.copytree(folder / "tensor_parallel-later", Path(f"{copy}-later"))
        break_it(copy)
        said = "not asked: it would run the command" if name == "gadget" else loaded(copy)
        cells = []
        for headers_only in (True, False):
            report = audit(copy, Wanted(headers_only=headers_only))
            problem = next(iter(report.problems), None)
            cells.append(f"{_level(problem)}{problem.code} {problem.where}: {problem.text}" if problem else "nothing")
        cells = [cut(cell.replace(f"{copy.parent}/", "")) for cell in (said, *cells)]
        print(f"| {name.replace('_', ' ')} | {cells[0]} | {cells[1]} | {cells[2]} |")
    for name in ("rank0", "same", "order"):
        report = audit(good, Wanted(consolidated=folder / f"hand_made-{name}.safetensors"))
        problem = next(p for p in report.problems if p.code == "CK302" and p.where in ("up", "down"))
        what = {
            "rank0": "consolidated file of rank 0",
            "same": "consolidated file of one part",
            "order": "wrong order",
        }[name]
        print(f"| {what} | loads as a file of its own | | {problem.code} {problem.where}: {problem.text} |")


def _level(problem: Any) -> str:
    return "note: " if problem.severity == "note" else ""


def cut(text: str) -> str:
    text = text.replace("|", "/").replace("\n", " ")
    return text if len(text) < 150 else text[:147] + "..."


def loaded(folder: Path) -> str:
    """What `dcp.load` says, in one process."""
    code = (
        "import sys, warnings; warnings.simplefilter('ignore')\n"
        "import torch, torch.distributed.checkpoint as dcp\n"
        "known = dcp.FileSystemReader(sys.argv[1]).read_metadata().state_dict_metadata\n"
        "state = {name: torch.ones(item.size, dtype=item.properties.dtype) for name, item in known.items()}\n"
        "dcp.load(state, checkpoint_id=sys.argv[1], no_dist=True)\n"
    )
    ran = run([sys.executable, "-c", code, str(folder)], folder)
    if ran.returncode == 0:
        return "loads without a word"
    lines = [line for line in ran.stderr.splitlines() if "Error" in line or "Exception" in line]
    return cut(lines[-1] if lines else "fails")


# ----------------------------------------------------------------------------------------------------------- speed


def speed(folder: Path) -> None:
    """2 GB in one file of each of two ranks, chunks of 16 MB."""
    import torch
    import torch.distributed.checkpoint as dcp
    from collectivelint.runtime.checkpoint.audit import Wanted, audit
    from collectivelint.runtime.checkpoint.formats.crc import crc32
    from collectivelint.runtime.checkpoint.formats.load import load

    target = folder / "large"
    state = {f"layers.{n}.weight": torch.randn(4 << 20) for n in range(128)}
    dcp.save(state, checkpoint_id=target, no_dist=True)
    del state
    files = sorted(target.glob("*.distcp"))
    size = sum(file.stat().st_size for file in files) / 1e9

    def cold() -> None:
        os.sync()
        for file in files:
            fd = os.open(file, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)

    buffer = memoryview(bytearray(1 << 20))

    def reading() -> None:
        for file in files:
            with file.open("rb", buffering=0) as stream:
                while stream.readinto(buffer):
                    pass

    cpus = os.cpu_count() or 1

    def digesting(function: Any) -> None:
        def digest(blocks: int) -> None:
            for _ in range(blocks):
                function(buffer)

        with ThreadPoolExecutor(cpus) as pool:
            list(pool.map(digest, [(int(size * 1e9) >> 20) // cpus] * cpus))

    def verifying() -> None:
        assert audit(target, Wanted()).is_sound

    rows: dict[str, list[tuple[float, float]]] = {}
    for _ in range(5):
        for name, function, before in (
            ("reading alone, cold", reading, cold),
            ("verify, cold", verifying, cold),
            ("reading alone, warm", reading, reading),
            ("CRC-32 of zlib, a thread for each CPU", lambda: digesting(zlib.crc32), lambda: None),
            ("CRC-32 of zlib-ng, a thread for each CPU", lambda: digesting(crc32), lambda: None),
            ("verify, warm", verifying, reading),
        ):
            before()
            begun, used = time.perf_counter(), time.process_time()
            function()
            rows.setdefault(name, []).append((size / (time.perf_counter() - begun), time.process_time() - used))
    # Where other work loads the machine, the time of its processors still compares.
    print(f"\n{size:.2f} GB, {cpus} CPU, by turns, medians of 5\n\n| | GB/s | processor time (s) |\n|---|---|---|")
    for name, values in rows.items():
        print(
            f"| {name} | {statistics.median(v for v, _ in values):.2f} | {statistics.median(t for _, t in values):.3f} |"
        )
    peak = peak_of(target)
    print(f"| peak memory of verify, beyond an idle `collectivelint` (MB) | {peak:.0f} |")

    times = []
    for _ in range(5):
        begun = time.perf_counter()
        report = audit(target, Wanted(headers_only=True))
        times.append((time.perf_counter() - begun) / report.chunks)
    print(f"| headers, a chunk of 16 MB (us) | {statistics.median(times) * 1e6:.0f} |")

    many = folder / "many"
    made(many, 100_000)
    begun = time.perf_counter()
    found = load(many)
    print(f"| metadata of 100,000 chunks (s) | {time.perf_counter() - begun:.2f} |")
    from collectivelint.runtime.checkpoint.checks import tiling

    begun = time.perf_counter()
    assert not [problem for tensor in found.tensors.values() for problem in tiling.check(tensor)]
    print(f"| do they tile their tensors? (s) | {time.perf_counter() - begun:.2f} |")


def peak_of(target: Path) -> float:
    """Of a process of its own, in MB."""
    code = (
        "import sys\nfrom pathlib import Path\n"
        "import collectivelint.runtime.checkpoint.cli\n"
        "from collectivelint.runtime.checkpoint.audit import Wanted, audit\n"
        "if sys.argv[2] == 'whole': audit(Path(sys.argv[1]), Wanted())\n"
        # What getrusage says begins with the parent's peak.
        "line = next(x for x in Path('/proc/self/status').read_text().splitlines() if x.startswith('VmHWM'))\n"
        "print(int(line.split()[1]) / 1024)\n"
    )
    whole, idle = (
        float(run([sys.executable, "-c", code, str(target), how], target).stdout) for how in ("whole", "idle")
    )
    return whole - idle


def made(folder: Path, chunks: int) -> None:
    """Metadata of a large job: 100 tensors of 1,000 chunks each, without the files."""
    import torch
    from torch.distributed.checkpoint.filesystem import _StorageInfo
    from torch.distributed.checkpoint.metadata import (
        ChunkStorageMetadata,
        Metadata,
        MetadataIndex,
        TensorProperties,
        TensorStorageMetadata,
    )

    folder.mkdir()
    state, storage = {}, {}
    for number in range(chunks // 1000):
        name = f"model.layers.{number}.weight"
        parts = [ChunkStorageMetadata(torch.Size([rank * 8, 0]), torch.Size([8, 4096])) for rank in range(1000)]
        state[name] = TensorStorageMetadata(TensorProperties(torch.bfloat16), torch.Size([8000, 4096]), parts)
        for rank, part in enumerate(parts):
            index = MetadataIndex(name, part.offsets, rank)
            storage[index] = _StorageInfo(f"__{rank}_0.distcp", number * 70_000, 67_000)
    with (folder / ".metadata").open("wb") as file:
        pickle.dump(Metadata(state, storage_data=storage), file, protocol=4)


# ---------------------------------------------------------------------------------------------------------- online


_SAVES = """
import sys, time
from pathlib import Path
import torch, torch.distributed as dist, torch.distributed.checkpoint as dcp
import torch.distributed.checkpoint.state_dict_saver as saver
from torch.distributed.tensor import Shard, distribute_tensor
from torch.distributed.device_mesh import init_device_mesh
from collectivelint.runtime.checkpoint.inside.auditor import Auditor
from collectivelint.runtime.checkpoint.inside.dcp_save import SaveHooks
from collectivelint.runtime.inside.sites import Sites
kind, folder, turns = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
dist.init_process_group("gloo")
mesh = init_device_mesh("cpu", (dist.get_world_size(),))
torch.manual_seed(0)
# 500 MB on each rank.
state = {f"p{n}": torch.randn(1_250_000) for n in range(100)}
if kind == "sharded":
    state = {name: distribute_tensor(torch.cat([t, t]), mesh, [Shard(0)]) for name, t in state.items()}
spent = 0.0
def timed(function):
    def call(*args):
        global spent
        begun = time.perf_counter()
        try:
            return function(*args)
        finally:
            spent += time.perf_counter() - begun
    return call
for name in ("_attach", "_attach_checksums", "_judge", "_collect", "_finished"):
    setattr(SaveHooks, name, timed(getattr(SaveHooks, name)))
stock = dict(vars(saver))
Auditor(folder / "trace", Sites(str(Path(torch.__file__).parent))).hook_saver(saver)
audited = dict(vars(saver))
for turn in range(2 * turns + 2):
    # Side by side, and in either order.
    which = (turn + turn // 2) % 2
    vars(saver).update(audited if which else stock)
    dist.barrier()
    spent, begun, used = 0.0, time.perf_counter(), time.process_time()
    dcp.save(state, checkpoint_id=folder / kind)
    dist.barrier()
    # The first ones make the files.
    if dist.get_rank() == 0 and turn > 1:
        print("TIME", which, time.perf_counter() - begun, spent, time.process_time() - used)
dist.destroy_process_group()
"""


def online(folder: Path) -> None:
    """500 MB on each of two ranks, saved with and without the audit, by turns in one job."""
    script = folder / "saves.py"
    script.write_text(_SAVES)
    print(
        "\n| state of 500 MB a rank | dcp.save (s) | audited (s) | added | in code of ours | processor time (s) | audited (s) | added |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for kind in ("plain", "sharded"):
        ran = run([*TORCHRUN, "2", str(script), kind, str(folder), "20"], folder)
        if ran.returncode:
            sys.exit(ran.stderr)
        rows: dict[str, list[list[float]]] = {"0": [], "1": []}
        for line in ran.stdout.splitlines():
            if line.startswith("TIME "):
                _, which, *numbers = line.split()
                rows[which].append([float(number) for number in numbers])
        (without, _, used), (with_it, ours, used_with) = (
            [statistics.median(column) for column in zip(*rows[which], strict=True)] for which in "01"
        )
        print(
            f"| {kind} | {without:.3f} | {with_it:.3f} | {100 * (with_it / without - 1):.1f} % | {100 * ours / without:.1f} % "
            f"| {used:.3f} | {used_with:.3f} | {100 * (used_with / used - 1):.1f} % |"
        )


# --------------------------------------------------------------------------------------------------------- original

_ORIGINAL = """
import sys, time
import torch, torch.distributed as dist, torch.distributed.checkpoint as dcp
dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(rank)
part, width, layers = 8192 // dist.get_world_size(), 768, 12
state = {}
for layer in range(layers):
    state[f"encoder_module.encoders.{layer}.weight"] = torch.rand(part, width)
    state[f"encoder_module.encoders.{layer}.bias_param"] = torch.rand(part)
for source in range(layers):
    for target in range(source, layers):
        state[f"decoder_module.decoders.{source}->{target}.weight"] = torch.rand(width, part)
        state[f"decoder_module.decoders.{source}->{target}.bias_param"] = torch.rand(width)
dcp.save(state, checkpoint_id=sys.argv[1])
dist.destroy_process_group()
"""


def original(folder: Path) -> None:
    """8,192 features, 12 layers, width 768, two ranks: 180 names, 1,132,898,304 bytes on each rank."""
    script = folder / "original.py"
    script.write_text(_ORIGINAL)
    tracer = [sys.executable, "-m", "collectivelint", "trace", "--out-dir", str(folder / "t"), "--"]
    ran = run([*tracer, *TORCHRUN, "2", str(script), str(folder / "saved")], folder)
    print(f"\n```\n{ran.stderr.strip()}\n```\n\nexit code {ran.returncode}\n")
    for file in sorted((folder / "saved").iterdir()):
        print(f"{file.stat().st_size:>12,} {file.name}")
    ran = run([sys.executable, "-m", "collectivelint", "ckpt", "verify", str(folder / "saved")], folder)
    print(f"\n```\n{ran.stdout.strip()}\n```")


def main() -> None:
    """Run what is named, or everything."""
    parts = {"damage": damage, "speed": speed, "online": online, "original": original}
    for name in sys.argv[1:] or parts:
        with tempfile.TemporaryDirectory() as folder:
            parts[name](Path(folder))


if __name__ == "__main__":
    main()
