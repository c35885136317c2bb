"""Kernels that are called only where C++ calls: nothing is missed there, and nothing is slowed down elsewhere."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest
from collectivelint.runtime.traces import jobs

if TYPE_CHECKING:
    from pathlib import Path

torch = pytest.importorskip("torch")

_BEGIN: Final = """
import sys
from pathlib import Path
import torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from collectivelint.runtime import trace

def kernels(call):
    seen = []
    def profile(frame, event, _):
        if event == "call" and frame.f_code.co_name == "kernel":
            seen.append(frame)
    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    return len(seen)

def backward(model):
    return lambda: model(torch.ones(2, 4)).sum().backward()

traced = trace(Path(sys.argv[1]), None)
traced.__enter__()
dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
"""


def _ops(tmp_path: Path, body: str) -> list[str]:
    """The operations that a job has recorded behind its mark, a reduce."""
    script = tmp_path / "job.py"
    script.write_text(_BEGIN + body)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "trace")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (rank,) = jobs.load(tmp_path / "trace").ranks.values()
    found = [event.op for event in rank.events]
    return found[found.index("reduce") + 1 :]


def test_in_a_job_with_ddp_a_call_from_python_goes_through_no_kernel(tmp_path: Path) -> None:
    body = """
model = DistributedDataParallel(torch.nn.Linear(4, 4))
dist.reduce(torch.ones(1), 0)
assert kernels(backward(model)) == 1
assert kernels(lambda: dist.all_reduce(torch.ones(1))) == 0
assert kernels(lambda: dist._broadcast_coalesced(dist.group.WORLD, [torch.ones(1)], 1024, 0)) == 1
assert kernels(lambda: dist.barrier()) == 0
"""
    assert _ops(tmp_path, body) == ["all_reduce", "all_reduce", "broadcast", "barrier"]


@pytest.mark.parametrize(
    "passes",
    [
        # As pipelines of Megatron start it.
        "loss = model(data).sum()\n"
        "torch.autograd.Variable._execution_engine.run_backward((loss,), (torch.ones(()),), False, False, (), True, True)",
        "import threading\nthread = threading.Thread(target=backward(model))\nthread.start()\nthread.join()",
        "from torch.utils.checkpoint import checkpoint\n"
        "checkpoint(model, data.requires_grad_(), use_reentrant=True).sum().backward()",
        "torch.autograd.grad(model(data).sum(), data.requires_grad_(), allow_unused=True)\nbackward(model)()",
    ],
    ids=["the engine itself", "in a thread", "within another", "after one for an input"],
)
def test_every_way_to_start_a_backward_pass_is_seen(tmp_path: Path, passes: str) -> None:
    body = f"""
model = DistributedDataParallel(torch.nn.Linear(4, 4))
data = torch.ones(2, 4)
dist.reduce(torch.ones(1), 0)
{passes}
dist.barrier()
"""
    assert _ops(tmp_path, body) == ["all_reduce", "barrier"]


def test_a_backward_pass_runs_as_without_the_tracer(tmp_path: Path) -> None:
    body = """
from torch._higher_order_ops.cond import cond
model = DistributedDataParallel(torch.nn.Linear(4, 4))

class Chosen(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 2

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return cond(x.sum() > 0, lambda a: a * 2, lambda a: a * 3, (gradient,))

x = torch.ones(4, requires_grad=True)
Chosen.apply(x).sum().backward()
assert x.grad.tolist() == [2.0] * 4

class Fails(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, gradient):
        raise ValueError("in a backward pass")

dist.reduce(torch.ones(1), 0)
try:
    Fails.apply(x).sum().backward()
except ValueError:
    assert kernels(lambda: dist.all_reduce(torch.ones(1))) == 0
"""
    assert _ops(tmp_path, body) == ["all_reduce"]


def test_torch_compile_leaves_the_kernels_alone(tmp_path: Path) -> None:
    body = """
import warnings
model = DistributedDataParallel(torch.nn.BatchNorm1d(4))
dist.reduce(torch.ones(1), 0)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    torch.compile(model, backend="eager")(torch.ones(2, 4)).sum().backward()
assert not [str(one.message) for one in caught if "unbox" in str(one.message)]
"""
    assert _ops(tmp_path, body) == ["broadcast", "broadcast", "all_reduce"]
