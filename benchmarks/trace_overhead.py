"""What the tracer adds to a collective, and to a training step.

`make bench-trace`. On the `fake` backend there is no network: what is left of a call is Python, the dispatcher and we. That
is measured in processor time, which other work on the machine changes least, also with `--check-data`, for a tensor and for
gradients. Then the same call with gloo on two ranks, beside
TORCH_DISTRIBUTED_DEBUG=DETAIL. Plain and traced processes take turns, and the medians of their rounds are compared. Last, the
calls that a step of the example job makes, times what one costs, as a share of the step; and steps of a small model on two ranks with
and without `--check-data`, with DDP and with gradients that are reduced one by one.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

ROUNDS: Final = 5
HERE: Final = Path(__file__).parent
FAKE: Final = """
import sys, time, statistics
from pathlib import Path
import torch
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore
mode, folder = sys.argv[1:]
if mode != "plain":
    from collectivelint.runtime.activate import activate
    activate(Path(folder), check_data=mode.endswith("checked"))
dist.init_process_group("fake", rank=0, world_size=8, store=FakeStore())
if mode in ("kernels", "backward"):
    # As in a job that uses DDP: calls from C++ have to be seen as well.
    dist._broadcast_coalesced(dist.group.WORLD, [torch.ones(1)], 1024, 0)
if mode == "backward":
    # As in a backward pass there, whoever calls.
    from collectivelint.runtime.inside import torch_regions
    inside = torch_regions.called()
    inside.__enter__()
tensors = [torch.ones(16)] * 100
if mode.startswith("gradients"):
    model = torch.nn.Sequential(*(torch.nn.Linear(4, 4, bias=False) for _ in range(100)))
    for parameter in model.parameters():
        parameter.grad = torch.ones(4, 4)
    tensors = [parameter.grad for parameter in model.parameters()]
for tensor in tensors * 20:
    dist.all_reduce(tensor)
times = []
for _ in range(40):
    start = time.thread_time()
    for tensor in tensors * 5:
        dist.all_reduce(tensor)
    times.append((time.thread_time() - start) / 500 * 1e6)
if mode != "plain":
    from collectivelint.runtime.traces import jobs
    assert jobs.load(Path(folder)).ranks[0].events, "nothing was recorded"
print(statistics.median(times))
"""
GLOO: Final = """
import sys, time, statistics
from pathlib import Path
import torch
import torch.distributed as dist
mode, folder = sys.argv[1:]
if mode == "traced":
    from collectivelint.runtime.activate import activate
    activate(Path(folder))
dist.init_process_group("gloo")
tensor = torch.ones(16)
times = []
for _ in range(10):
    start = time.perf_counter()
    for _ in range(200):
        dist.all_reduce(tensor)
    times.append((time.perf_counter() - start) / 200 * 1e6)
if dist.get_rank() == 0:
    print(statistics.median(times))
dist.destroy_process_group()
"""

STEP: Final = """
import sys, time, statistics
from pathlib import Path
import torch
import torch.distributed as dist
mode, folder = sys.argv[1:]
from collectivelint.runtime.activate import activate
activate(Path(folder), check_data=mode.endswith("checked"))
dist.init_process_group("gloo")
model = torch.nn.Sequential(*(torch.nn.Linear(512, 512) for _ in range(8)))
wrapped = torch.nn.parallel.DistributedDataParallel(model) if mode.startswith("ddp") else model
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
data, times = torch.ones(32, 512), []
for _ in range(40):
    start = time.process_time()
    loss = wrapped(data).square().mean()
    loss.backward()
    if wrapped is model:
        for parameter in model.parameters():
            dist.all_reduce(parameter.grad)
    optimizer.step()
    optimizer.zero_grad()
    dist.all_reduce(loss.detach())
    times.append((time.process_time() - start) * 1e3)
if dist.get_rank() == 0:
    print(statistics.median(times[10:]))
dist.destroy_process_group()
"""


def fake(mode: str, folder: Path) -> float:
    """Median time of one all_reduce in a fresh process without a network, in microseconds."""
    # A file: what `-c` runs is no place in a project, and would not be looked up as one.
    job = folder / "job.py"
    job.write_text(FAKE)
    return _run([sys.executable, str(job), mode, str(folder / "trace")], {})


def gloo(mode: str, folder: Path) -> float:
    """The same between two ranks."""
    return _on_two_ranks(GLOO, mode, folder)


def step(mode: str, folder: Path) -> float:
    """Median processor time of rank 0 of two in a training step, in milliseconds: all threads, those of gloo included."""
    return _on_two_ranks(STEP, mode, folder)


def _on_two_ranks(script: str, mode: str, folder: Path) -> float:
    job = folder / "job.py"
    job.write_text(script)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    debug = {"TORCH_DISTRIBUTED_DEBUG": "DETAIL"} if mode == "detail" else {}
    return _run([*torchrun, str(job), mode, str(folder / "trace")], debug)


def _run(command: list[str], environment: dict[str, str]) -> float:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(out.stdout.split()[-1])


def rounds(measure: object, modes: list[str]) -> dict[str, float]:
    """The medians of the modes, which take turns."""
    found: dict[str, list[float]] = {mode: [] for mode in modes}
    for _ in range(ROUNDS):
        for mode in modes:
            with tempfile.TemporaryDirectory() as folder:
                found[mode].append(measure(mode, Path(folder)))  # type: ignore[operator]
    return {mode: statistics.median(times) for mode, times in found.items()}


def example_step() -> tuple[float, float]:
    """Calls and seconds of one training step of the example: between its fifth step and its last, on rank 0."""
    from collectivelint.runtime.traces import folders, jobs

    with tempfile.TemporaryDirectory() as folder:
        steps = 40
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "3"]
        launcher = [sys.executable, "-m", "collectivelint", "trace", "--out-dir", f"{folder}/trace", "--"]
        job = [str(HERE.parent / "examples" / "correct" / "train.py"), "--dir", f"{folder}/checkpoints"]
        command = [*launcher, *torchrun, *job, "--steps", str(steps), "--save-every", str(steps)]
        subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, capture_output=True)
        events = jobs.load(folders.newest(Path(folder, "trace"))).ranks[0].events
        # The teacher is asked once in a step.
        asked = [event for event in events if event.op == "broadcast" and re.search("distill", event.place.path)]
        if len(asked) < steps:
            raise SystemExit("the example does not ask its teacher in each step any more")
        first, last = asked[5], asked[steps - 1]
        return (last.number - first.number) / (steps - 6), (last.start - first.start) / (steps - 6)


def main() -> None:
    """Measure and print."""
    begun = time.time()
    alone = rounds(fake, ["plain", "traced", "kernels", "backward", "checked", "gradients", "gradients, checked"])
    added = alone["traced"] - alone["plain"]
    print(f"fake, all_reduce: plain {alone['plain']:.2f} us, traced {alone['traced']:.2f} us, added {added:.2f} us")
    print(f"  in a job that uses DDP: {alone['kernels']:.2f} us, added {alone['kernels'] - alone['plain']:.2f} us")
    print(f"  there, in a backward pass: {alone['backward']:.2f} us, added {alone['backward'] - alone['plain']:.2f} us")
    print(
        f"  with --check-data: {alone['checked']:.2f} us, {alone['checked'] - alone['traced']:.2f} us more; for gradients"
    )
    print(f"  {alone['gradients, checked']:.2f} us, {alone['gradients, checked'] - alone['gradients']:.2f} us more")
    pair = rounds(gloo, ["plain", "traced", "detail"])
    print(
        f"gloo, 2 ranks: plain {pair['plain']:.0f} us, traced {pair['traced']:.0f} us, DETAIL {pair['detail']:.0f} us"
    )
    calls, seconds = example_step()
    share = calls * (alone["backward"] - alone["plain"]) * 1e-6 / seconds
    print(f"example: {calls:.1f} calls in a step of {seconds * 1e3:.1f} ms; the tracer takes {share:.2%} of it")
    steps = rounds(step, ["ddp", "ddp, checked", "by hand", "by hand, checked"])
    for mode in ("ddp", "by hand"):
        print(f"step, {mode}: traced {steps[mode]:.2f} ms, with --check-data {steps[f'{mode}, checked']:.2f} ms")
    print(f"measured in {time.time() - begun:.0f} s")


if __name__ == "__main__":
    main()
