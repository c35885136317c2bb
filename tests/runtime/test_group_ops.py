"""GroupOps: complete and right on this torch, and what it refuses."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

import pytest

from . import forked
from .conftest import JOBS, run

dist: Any = pytest.importorskip("torch.distributed")

from collectivelint.runtime import GroupOps  # noqa: E402
from collectivelint.runtime.operations import OF_OBJECTS, OPERATIONS  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Functions that take a group and have another name here, or have to do with the group itself.
_OTHER: Final = {
    "get_rank": "rank",
    "get_world_size": "size",
    "get_process_group_ranks": "ranks",
    "get_global_rank": "global_rank",
    "get_group_rank": "group_rank",
    "get_backend": "backend",
    "get_backend_config": "backend_config",
    "P2POp": "p2p_op",
}
_OF_THE_GROUP: Final = {"destroy_process_group", "new_subgroups", "shrink_group"}


def _functions() -> Iterator[tuple[str, list[str]]]:
    for name in sorted(vars(dist)):
        function = getattr(dist, name)
        if not name.startswith("_") and inspect.isfunction(function):
            params = list(inspect.signature(function).parameters)
            if "group" in params and name not in _OF_THE_GROUP:
                yield name, params


def test_every_function_that_takes_a_group_has_its_method() -> None:
    found = dict(_functions())
    assert len(found) > 30
    for name, params in found.items():
        assert hasattr(GroupOps, _OTHER.get(name, name)), name
        if name not in _OTHER:
            own = list(inspect.signature(getattr(GroupOps, name)).parameters)[1:]
            assert own == [item for item in params if item != "group" and not item.startswith("group_")], name


def test_the_methods_are_those_of_the_list_of_operations() -> None:
    listed = {function for operation in OPERATIONS for function in operation.functions} | set(OF_OBJECTS)
    ours = {name for name in vars(GroupOps) if not name.startswith("_")}
    assert listed == ours - set(_OTHER.values()) - {"is_leader", "group"}
    assert {made for names in OF_OBJECTS.values() for made in names} <= {operation.name for operation in OPERATIONS}


def test_every_operation_on_a_group_of_three_of_four_ranks(tmp_path: Path) -> None:
    job = run([*forked.launcher(4), str(JOBS / "group_ops.py")], tmp_path, tmp_path)
    assert job.code == 0, job.err
    assert job.out.count("outside: this rank is not in the group") == 1


@pytest.mark.parametrize("wrong", [None, "dp", [0, 1]])
def test_it_refuses_what_is_no_group(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"a process group or a mesh is needed, not .*dist\.group\.WORLD"):
        GroupOps(wrong)


def test_a_mesh_of_one_dimension_is_its_group() -> None:
    from torch.distributed.device_mesh import init_device_mesh

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        mesh = init_device_mesh("cpu", (1, 1), mesh_dim_names=("dp", "tp"))
        assert GroupOps(mesh["dp"]).group is mesh.get_group("dp")
        assert repr(GroupOps(mesh["tp"])) == "GroupOps(ranks [0], this is rank 0)"
        with pytest.raises(ValueError, match=r"2 dimensions has a group for each: pass mesh\['name'\]"):
            GroupOps(mesh)
    finally:
        dist.destroy_process_group()


def test_the_tracer_still_comes_without_torch() -> None:
    import subprocess
    import sys

    code = "import sys, collectivelint.runtime; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd="/").returncode == 0
