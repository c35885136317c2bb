"""What torch does not promise: named in one module, and left out one by one where the installed torch lacks it."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from collectivelint.runtime.traces import jobs

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("torch")

_RUNTIME: Final = Path(__file__).parents[2] / "runtime"
_INSIDE: Final = [
    path
    for pattern in ("inside/*.py", "checkpoint/inside/*.py", "*.py")
    for path in sorted(_RUNTIME.glob(pattern))
    if path.name not in ("torch_api.py", "torch_regions.py")
]
#: Private names that are not torch's: of a frame and of the interpreter's threads and pools, and of named tuples.
_ALLOWED: Final = {"_getframe", "_current_frames", "_replace", "_thread", "_signal", "_WorkItem"}

# What is removed, then what is called: on the `fake` backend, where no other rank is needed. A process for each case, forked
# from one that has torch imported.
_JOBS: Final = """
import json, os, sys
import torch, torch.distributed as dist
from torch._C import _distributed_c10d as native
from torch.distributed import distributed_c10d as c10d
from torch.testing._internal.distributed.fake_pg import FakeStore
from collectivelint.runtime import operations, trace

coalesced = dist._broadcast_coalesced

def job(folder, rank, removed):
    exec(removed, globals())
    with trace(folder, None):
        dist.init_process_group("fake", rank=rank, world_size=2, store=FakeStore())
        dist.all_reduce(torch.ones(3))
        # From C++.
        getattr(dist, "_broadcast_coalesced", coalesced)(dist.group.WORLD, [torch.ones(1)], 1024, 0)
        summed = torch.ops._c10d_functional.all_reduce(torch.ones(5), "sum", dist.group.WORLD.group_name)
        torch.ops._c10d_functional.wait_tensor(summed)
        dist.new_group([0])

for folder, rank, removed in json.loads(sys.argv[1]):
    os.mkdir(folder)
    child = os.fork()
    if child == 0:
        os.dup2(os.open(folder + "/stderr", os.O_CREAT | os.O_WRONLY), 2)
        try:
            job(folder, rank, removed)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.stderr.flush()
        os._exit(0)
    os.waitpid(child, 0)
"""
_RECORDED: Final = ["all_reduce 3", "broadcast 1", "all_reduce 5", "new_group"]
_REFUSED: Final = "def impl(*_, **__): raise TypeError('no with_keyset')\ntorch.library.Library.impl = impl"
#: (what is removed, what is then said, what is then not recorded)
_CASES: Final[list[tuple[str, str, list[str]]]] = [
    ("", "", []),
    ("del c10d.ProcessGroup._end_coalescing", "coalescing", []),
    (
        "del torch._C._dispatch_keyset_full_after",
        "calls from C++, waits for functional collectives",
        ["broadcast 1", "all_reduce 5"],
    ),
    ("del native.Work.unbox", "calls from C++", ["broadcast 1"]),
    ("del native._resolve_process_group", "waits for functional collectives", []),
    ("del c10d._warn_not_in_group", "calls of ranks outside the group", []),
    ("del c10d.ProcessGroup.shutdown", "the end of groups", []),
    # As with torch 2.9.
    (
        "from collectivelint.runtime.inside import torch_api\ntorch_api.reduce_number_in = lambda _: None",
        "reduce operations of calls from C++",
        [],
    ),
    # Nothing is lost without these: what sees the calls from C++ is installed at once.
    ("del native.Reducer", "", []),
    ("del dist._broadcast_coalesced", "", []),
    ("operations.OPERATIONS[0].methods.clear()", "", []),
    (
        "operations.OPERATIONS[0].methods.clear()\ndel native.Work.unbox",
        "calls from C++, all_reduce",
        ["all_reduce 3", "broadcast 1"],
    ),
    # An operator of a torch to come.
    (
        "library = torch.library.Library('c10d', 'FRAGMENT')\nlibrary.define('gossip_(Tensor x) -> ()')",
        "c10d::gossip_",
        [],
    ),
    (
        _REFUSED,
        "waits for functional collectives (TypeError: no with_keyset), calls from C++ (TypeError: no with_keyset)",
        ["broadcast 1", "all_reduce 5"],
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each case, by its number, and one for a rank that is not the first."""
    root = tmp_path_factory.mktemp("cases")
    cases = [(str(root / str(number)), 0, removed) for number, (removed, *_) in enumerate(_CASES)]
    cases.append((str(root / "rank 1"), 1, "del native._resolve_process_group"))
    command = [sys.executable, "-W", "ignore", "-c", _JOBS, json.dumps(cases)]
    subprocess.run(command, check=True, cwd=root, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return root


@pytest.mark.parametrize("number", range(len(_CASES)))
def test_what_torch_lacks_is_left_out_alone_and_said(folder: Path, number: int) -> None:
    _, unseen, lost = _CASES[number]
    said = (folder / str(number) / "stderr").read_text()
    assert said == (f"collectivelint: traced without: {unseen}\n" if unseen else "")
    events = jobs.load(folder / str(number)).ranks[0].events
    sizes = [event.signature.get("tensors", [[[""]]])[0][0][0] for event in events]
    recorded = [f"{event.op} {size}".strip() for event, size in zip(events, sizes, strict=True)]
    assert recorded == [event for event in _RECORDED if event not in lost]


def test_other_ranks_say_nothing(folder: Path) -> None:
    assert (folder / "rank 1" / "stderr").read_text() == ""
    assert jobs.load(folder / "rank 1").ranks[1].events


# -------------------------------------------------------------------------------------------------- one place for names


def _is_private(name: str) -> bool:
    return any(part.startswith("_") and not part.startswith("__") for part in name.split(".")) and name not in _ALLOWED


def _private(tree: ast.Module) -> Iterator[str]:
    """Private names of other modules: imported, read of something that is not the object itself, or asked for by name."""
    for node in ast.walk(tree):
        names: list[str] = []
        match node:
            case ast.ImportFrom(module=str(module), names=aliases, level=0):
                names = [module, *(alias.name for alias in aliases)]
            case ast.Import(names=aliases):
                names = [alias.name for alias in aliases]
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                pass
            case ast.Attribute(attr=name):
                names = [name]
            case ast.Call(
                func=ast.Name(id="getattr" | "setattr" | "hasattr" | "delattr"),
                args=[_, ast.Constant(value=str(name)), *_],
            ):
                names = [name]
        yield from filter(_is_private, names)


@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(_RUNTIME))) for path in _INSIDE])
def test_private_names_of_torch_stand_in_torch_api(path: Path) -> None:
    assert list(_private(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import torch._C",
        "from torch._C import x",
        "from torch.distributed.distributed_c10d import _get_default_store",
        "c10d._warn_not_in_group = f",
        "torch._C._dispatch_get_all_op_names()",
        "getattr(group, '_start_coalescing', None)",
    ],
)
def test_a_private_name_is_found(code: str) -> None:
    assert list(_private(ast.parse(code))) != []


@pytest.mark.parametrize("code", ["self._groups", "import torch.distributed", "sys._getframe(1)", "from . import _x"])
def test_other_names_are_not(code: str) -> None:
    assert list(_private(ast.parse(code))) == []
