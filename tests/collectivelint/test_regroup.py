"""A collective that gets another group takes the sizes and ranks of its data along, or stays as it is."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from tests.conftest import Project, Ran

_HEAD: Final = "import os\nimport torch\nimport torch.distributed as dist\n\n\n"
_JOB: Final = Path(__file__).parent.parent / "jobs" / "regrouped.py"


def _fix(project: Project, *options: str) -> Ran:
    return project.fix("--select", "CL101", "--unsafe-fixes", *options)


def _thread(project: Project, *options: str) -> Ran:
    return project.run("check", "--isolated", "--no-cache", "--thread-groups", "--fix", *options, ".")


_TAKEN: Final = {
    "direct": (
        "def f(x, group):\n    dist.all_reduce(x)\n    x /= dist.get_world_size()\n    return x\n",
        "def f(x, group):\n    dist.all_reduce(x, group=group)\n    x /= dist.get_world_size(group)\n    return x\n",
    ),
    "group None": (
        "def f(x, group):\n    dist.all_reduce(x)\n    x /= dist.get_world_size(group=None)\n",
        "def f(x, group):\n    dist.all_reduce(x, group=group)\n    x /= dist.get_world_size(group=group)\n",
    ),
    "variable": (
        "def f(x, group):\n    world = dist.get_world_size()\n    if world > 1:\n        dist.all_reduce(x)\n    return x / world\n",
        "def f(x, group):\n    world = dist.get_world_size(group)\n    if world > 1:\n        dist.all_reduce(x, group=group)\n"
        "    return x / world\n",
    ),
    "shared by two": (
        "def f(a, b, group):\n    n = dist.get_world_size()\n    dist.all_reduce(a)\n    dist.all_reduce(b)\n    return a / n, b / n\n",
        "def f(a, b, group):\n    n = dist.get_world_size(group)\n    dist.all_reduce(a, group=group)\n"
        "    dist.all_reduce(b, group=group)\n    return a / n, b / n\n",
    ),
    "used otherwise": (
        "def f(x, cfg, group):\n    n = dist.get_world_size()\n    cfg.steps //= n\n    dist.all_reduce(x)\n    return x / n\n",
        "def f(x, cfg, group):\n    n = dist.get_world_size()\n    cfg.steps //= n\n    dist.all_reduce(x, group=group)\n"
        "    return x / dist.get_world_size(group)\n",
    ),
    "before": (
        "def f(x, group):\n    x = x / dist.get_world_size()\n    dist.all_reduce(x)\n    return x\n",
        "def f(x, group):\n    x = x / dist.get_world_size(group)\n    dist.all_reduce(x, group=group)\n    return x\n",
    ),
    "scale": (
        "def f(x, group):\n    scale = 1.0 / dist.get_world_size()\n    dist.all_reduce(x)\n    x.mul_(scale)\n",
        "def f(x, group):\n    scale = 1.0 / dist.get_world_size(group)\n    dist.all_reduce(x, group=group)\n    x.mul_(scale)\n",
    ),
    "shape": (
        "def f(x, group):\n    shape = (x.numel() * dist.get_world_size(),)\n    out = torch.empty(shape)\n"
        "    dist.all_gather_into_tensor(out, x)\n    return out\n",
        "def f(x, group):\n    shape = (x.numel() * dist.get_world_size(group),)\n    out = torch.empty(shape)\n"
        "    dist.all_gather_into_tensor(out, x, group=group)\n    return out\n",
    ),
    "list": (
        "def f(x, group):\n    out = [None] * dist.get_world_size()\n    dist.all_gather_object(out, x)\n    return out\n",
        "def f(x, group):\n    out = [None] * dist.get_world_size(group)\n    dist.all_gather_object(out, x, group=group)\n"
        "    return out\n",
    ),
    "own part": (
        "def f(x, group):\n    n, rank = dist.get_world_size(), dist.get_rank()\n    out = [torch.zeros_like(x) for _ in range(n)]\n"
        "    dist.all_gather(out, x)\n    out[rank] = x\n    if rank == 0:\n        print(n)\n    return out\n",
        "def f(x, group):\n    n, rank = dist.get_world_size(group), dist.get_rank()\n"
        "    out = [torch.zeros_like(x) for _ in range(n)]\n    dist.all_gather(out, x, group=group)\n"
        "    out[dist.get_rank(group)] = x\n    if rank == 0:\n        print(n)\n    return out\n",
    ),
    "parameter": (
        "def f(x, world_size, group):\n    dist.all_reduce(x)\n    return x / world_size\n",
        "def f(x, world_size, group):\n    dist.all_reduce(x, group=group)\n    return x / dist.get_world_size(group)\n",
    ),
    "passed": (
        "def f(x, n, group):\n    dist.all_reduce(x)\n    return x / n\n\n\ndef g(x, group):\n"
        "    return f(x, dist.get_world_size(), group)\n",
        "def f(x, n, group):\n    dist.all_reduce(x, group=group)\n    return x / dist.get_world_size(group)\n\n\n"
        "def g(x, group):\n    return f(x, dist.get_world_size(), group)\n",
    ),
    "environment": (
        "def f(x, group):\n    dist.all_reduce(x)\n    return x / int(os.environ['WORLD_SIZE'])\n",
        "def f(x, group):\n    dist.all_reduce(x, group=group)\n    return x / dist.get_world_size(group)\n",
    ),
    "attribute": (
        "class A:\n    def __init__(self, group):\n        self.group = group\n        self.n = dist.get_world_size()\n\n"
        "    def f(self, x):\n        dist.all_reduce(x)\n        x.div_(self.n)\n",
        "class A:\n    def __init__(self, group):\n        self.group = group\n        self.n = dist.get_world_size()\n\n"
        "    def f(self, x):\n        dist.all_reduce(x, group=self.group)\n        x.div_(dist.get_world_size(self.group))\n",
    ),
    "method": (
        "class A:\n    def __init__(self, group):\n        self.group = group\n\n    def size(self):\n"
        "        return dist.get_world_size()\n\n    def f(self, x):\n        dist.all_reduce(x)\n        return x / self.size()\n",
        "class A:\n    def __init__(self, group):\n        self.group = group\n\n    def size(self):\n"
        "        return dist.get_world_size()\n\n    def f(self, x):\n        dist.all_reduce(x, group=self.group)\n"
        "        return x / dist.get_world_size(self.group)\n",
    ),
    "gradients": (
        "def f(params, group):\n    for p in params:\n        dist.all_reduce(p.grad.data)\n        p.grad.data /= dist.get_world_size()\n",
        "def f(params, group):\n    for p in params:\n        dist.all_reduce(p.grad.data, group=group)\n"
        "        p.grad.data /= dist.get_world_size(group)\n",
    ),
    "nothing to do with it": (
        "def f(x, cfg, group):\n    cfg.lr = cfg.lr * dist.get_world_size()\n    dist.all_reduce(x)\n    return x / cfg.steps\n",
        "def f(x, cfg, group):\n    cfg.lr = cfg.lr * dist.get_world_size()\n    dist.all_reduce(x, group=group)\n"
        "    return x / cfg.steps\n",
    ),
}


@pytest.mark.parametrize(("before", "after"), _TAKEN.values(), ids=_TAKEN)
def test_sizes_and_ranks_are_those_of_the_group(project: Project, before: str, after: str) -> None:
    project.write(_HEAD + before)
    _fix(project)
    assert project.text() == _HEAD + after


_KEPT: Final = {
    "a condition on ranks": (
        "def f(x, group):\n    if int(os.environ['LOCAL_RANK']) == 0:\n        dist.barrier()\n",
        "not all ranks reach it (line 7); fix that first",
    ),
    "another use of what is computed": (
        "def f(x, cfg, group):\n    scale = 1 / dist.get_world_size()\n    cfg.lr = scale\n    dist.all_reduce(x)\n    return x * scale\n",
        "`scale`, computed from the size of the default group, is used for other things too",
    ),
    "the caller divides": (
        "def f(x, group):\n    dist.all_reduce(x)\n    return x\n\n\ndef g(x, group):\n    return f(x, group) / dist.get_world_size()\n",
        "main.py:12 computes with `dist.get_world_size()`",
    ),
    "root": (
        "def f(x, group):\n    rank = dist.get_rank()\n    dist.broadcast(x, src=rank // 8 * 8)\n",
        "its root is computed from `dist.get_rank()`",
    ),
    "before the group": (
        "def f(x):\n    x = x / dist.get_world_size()\n    some = dist.new_group([0, 1])\n    dist.all_reduce(x)\n",
        "`dist.get_world_size()` is asked for before `some` is there",
    ),
}


@pytest.mark.parametrize(("code", "reason"), _KEPT.values(), ids=_KEPT)
@pytest.mark.parametrize("option", [None, "--use-group-ops"])
def test_or_the_call_stays_and_says_why(project: Project, code: str, reason: str, option: str | None) -> None:
    project.write(_HEAD + code)
    ran = _fix(project, *([option] if option else []))
    assert project.text() == _HEAD + code
    assert reason in ran.out


def test_a_method_of_group_ops(project: Project) -> None:
    project.write(_HEAD + "def f(x, group):\n    dist.all_reduce(x)\n    return x / dist.get_world_size()\n")
    _fix(project, "--use-group-ops")
    assert "    GroupOps(group).all_reduce(x)\n    return x / dist.get_world_size(group)\n" in project.text()


def test_the_default_group_changes_no_size(project: Project) -> None:
    code = "def f(x):\n    dist.all_reduce(x)\n    return x / dist.get_world_size()\n"
    project.write(_HEAD + code)
    project.fix("--select", "CL101", "--explicit-world")
    assert project.text() == _HEAD + code.replace("(x)\n    return", "(x, group=dist.group.WORLD)\n    return")


def test_a_group_passed_on(project: Project) -> None:
    helper = "def total(x, group=None):\n    dist.all_reduce(x, group=group)\n    return x\n\n\n"
    project.write(_HEAD + helper + "def f(x, group):\n    return total(x) / dist.get_world_size()\n")
    project.fix("--select", "CL102", "--unsafe-fixes")
    assert project.text().endswith("    return total(x, group=group) / dist.get_world_size(group)\n")


# ------------------------------------------------------------------------------------------------------ down the calls


def test_down_the_calls(project: Project) -> None:
    sync = (
        "def total(x):\n    dist.all_reduce(x)\n    return x\n\n\n"
        "def mean(x, n):\n    return total(x) / n\n\n\n"
        "def outer(x, count):\n    return mean(x, count)\n"
    )
    main = "from sync import outer, total\n\n\ndef f(x, group):\n    y = total(x)\n"
    main += "    return y / dist.get_world_size(), outer(x, dist.get_world_size())\n"
    project.write({"sync.py": _HEAD + sync, "main.py": _HEAD + main})
    assert _thread(project).code == 0
    assert project.text("sync.py") == _HEAD + (
        "def total(x, *, group=None):\n    dist.all_reduce(x, group=group)\n    return x\n\n\n"
        "def mean(x, n, *, group=None):\n    return total(x, group=group) / dist.get_world_size(group)\n\n\n"
        "def outer(x, count, *, group=None):\n    return mean(x, count, group=group)\n"
    )
    assert project.text().endswith(
        "    y = total(x, group=group)\n"
        "    return y / dist.get_world_size(group), outer(x, dist.get_world_size(), group=group)\n"
    )


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            "def load(x):\n    dist.broadcast(x, src=0)\n\n\ndef f(x, group):\n    load(x)\n",
            "its root is rank 0 of the whole job",
        ),
        (
            "def reduce(x):\n    dist.reduce(x, dst=2)\n\n\ndef f(x, group):\n    reduce(x)\n",
            "its root is rank 2 of the whole job",
        ),
        (
            "def total(x):\n    dist.all_reduce(x)\n\n\ndef f(x, group):\n    total(x)\n\n\n"
            "def g(x, group):\n    f(x, group)\n    return x / dist.get_world_size()\n",
            "main.py:16 computes with `dist.get_world_size()`",
        ),
        (
            "import threading\n\n\ndef beat():\n    dist.barrier()\n\n\ndef f(group):\n    beat()\n"
            "    threading.Thread(target=beat).start()\n",
            "is registered to be called some other time",
        ),
        (
            "def arms(x):\n    if dist.get_rank() == 0:\n        dist.barrier()\n        dist.all_reduce(x)\n    else:\n"
            "        dist.all_reduce(x)\n        dist.barrier()\n\n\ndef f(x, group):\n    arms(x)\n",
            "not all ranks reach it (main.py:7); fix that first",
        ),
        (
            "def local():\n    if int(os.environ['LOCAL_RANK']) == 0:\n        dist.barrier()\n\n\ndef f(group):\n    local()\n",
            "not all ranks reach it (main.py:7); fix that first",
        ),
    ],
)
def test_what_is_not_threaded_into(project: Project, code: str, reason: str) -> None:
    project.write(_HEAD + code)
    before = project.found(select=["ALL"])
    ran = _thread(project)
    assert reason in ran.err
    assert "group=group" not in project.text()
    assert project.found(select=["ALL"]) == before


def test_a_scale_that_is_passed_on(project: Project) -> None:
    code = "def total(x, scale):\n    dist.all_reduce(x)\n    return x * scale\n\n\n"
    project.write(_HEAD + code + "def f(x, group):\n    return total(x, 1 / dist.get_world_size())\n")
    ran = _thread(project)
    assert "`1 / dist.get_world_size()`, computed from the size of the default group, is passed to it" in ran.err
    assert project.text().endswith("    return total(x, 1 / dist.get_world_size())\n")


# ------------------------------------------------------------------------------------------------------------- meshes

_MESH: Final = (
    "import torch.distributed as dist\nfrom torch.distributed.device_mesh import DeviceMesh, init_device_mesh\n\n\n"
)
_TWO: Final = '    mesh = init_device_mesh("cuda", (2, 4), mesh_dim_names=("dp", "tp"))\n'


@pytest.mark.parametrize(
    ("code", "group"),
    [
        ('def f():\n    mesh = init_device_mesh("cuda", (8,))\n', "mesh.get_group()"),
        ('def f():\n    mesh = DeviceMesh("cuda", [0, 1])\n', "mesh.get_group()"),
        ("def f(mesh: DeviceMesh):\n    mesh = mesh['dp']\n", "mesh.get_group()"),
        ("def f(x):\n" + _TWO + '    dist.all_reduce(x, group=mesh.get_group("dp"))\n', 'mesh.get_group("dp")'),
        ("def f(x, mesh: DeviceMesh):\n    dist.all_reduce(x, group=mesh.get_group(0))\n", "mesh.get_group(0)"),
        ("def f(x, mesh: DeviceMesh):\n    dist.all_reduce(x, group=mesh['tp'].get_group())\n", 'mesh.get_group("tp")'),
    ],
)
def test_the_group_of_a_mesh(project: Project, code: str, group: str) -> None:
    project.write(f"{_MESH}{code}    dist.barrier()\n")
    _fix(project)
    assert project.text() == f"{_MESH}{code}    dist.barrier(group={group})\n"


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("def f():\n" + _TWO, '`mesh.get_group("dp")` or `mesh.get_group("tp")`'),
        ('def f():\n    mesh = DeviceMesh("cuda", [[0, 1], [2, 3]])\n', "`mesh.get_group(0)` or `mesh.get_group(1)`"),
        ("def f(mesh: DeviceMesh):\n    mesh.ndim\n", "`mesh.get_group(name)`"),
        ("def f(mesh: DeviceMesh, name):\n    mesh = mesh[name]\n", "`mesh.get_group(name)`"),
    ],
)
def test_a_mesh_of_several_dimensions_has_no_single_group(project: Project, code: str, advice: str) -> None:
    text = f"{_MESH}{code}    dist.barrier()\n"
    project.write(text)
    ran = _fix(project)
    assert project.text() == text
    assert f"Name the dimension of `mesh` that takes part: {advice}" in ran.out


def test_a_group_that_was_named_and_that_the_mesh_does_not_have(project: Project) -> None:
    project.write(f"{_MESH}def f():\n{_TWO}    dist.barrier()\n")
    ran = project.fix("--select", "CL101", "--group", "mesh.get_group()")
    assert "warning: main.py:7: `mesh` has 2 dimensions, and `mesh.get_group()` fails there" in ran.err


def test_an_optimizers_group_is_not_written(project: Project) -> None:
    text = (
        "import torch\nimport torch.distributed as dist\n\n\nclass Muon(torch.optim.Optimizer):\n"
        "    def _reduce(self, group: dict, world_size: int) -> None:\n"
        '        for p in group["params"]:\n            dist.all_reduce(p.grad)\n\n'
        "    def step(self):\n        return [self._reduce(group, dist.get_world_size()) for group in self.param_groups]\n"
    )
    project.write(text)
    _fix(project)
    _thread(project)
    assert project.text() == text


# ------------------------------------------------------------------------------------------------------------ for real


def test_the_means_of_a_fixed_program_are_right(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ranks 0 and 1, and of 2 and 3: written for all four, fixed, and run on gloo."""
    pytest.importorskip("torch.distributed")
    from collectivelint.runtime.testing import run_ranks

    project.write({"regrouped.py": _JOB.read_text(encoding="utf-8")})
    _fix(project)
    _thread(project)
    assert project.found(select=["CL101", "CL102", "CL103", "CL104"]) == []
    monkeypatch.syspath_prepend(str(project.root))
    monkeypatch.delitem(sys.modules, "regrouped", raising=False)
    found = run_ranks(importlib.import_module("regrouped").main, 4)
    for rank, results in enumerate(found):
        first = rank // 2 * 2
        mean, both = first + 0.5, [float(first), float(first + 1)]
        both[rank % 2] *= -1
        assert results == [[mean], [mean], [mean], both, [mean], [mean, mean], [mean]], rank
