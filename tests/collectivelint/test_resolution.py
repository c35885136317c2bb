"""What a dotted name means is found, and found in few steps, however the files import from each other."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from collectivelint.compiled import is_compiled
from collectivelint.engine import Linter
from collectivelint.program.resolver import Program
from collectivelint.program.target import Target
from collectivelint.settings import Resolver

if TYPE_CHECKING:
    from ..conftest import Project

DIST = "import torch.distributed as dist\n"
USE = f"{DIST}from pkg import thing\n\n\ndef f(x):\n    thing(x)\n    dist.barrier()  # CL101\n"


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts how many names are looked at."""
    if is_compiled():
        pytest.skip("machine code calls it without looking it up")
    counted: Counter[str] = Counter()
    original = Program._resolve

    def resolve(self: Program, path: str, name: str) -> Target | None:
        counted[path] += 1
        assert counted.total() < 20_000, "grows without end"
        assert name.count(".") < 20, name
        return original(self, path, name)

    monkeypatch.setattr(Program, "_resolve", resolve)
    return counted


def resolved(file: str, name: str) -> Target | None:
    return Linter(Resolver({}, isolated=True)).analysis([Path()]).program.resolve(file, name)


@pytest.mark.parametrize(
    "files",
    [
        # The file is generated when the package is built.
        {"pkg/__init__.py": "from pkg.__version__ import version as __version__\nthing = __version__\n"},
        {"pkg/__init__.py": "from pkg.thing import make as thing\n"},
        {"pkg/__init__.py": "from pkg.thing import thing\n"},
        {"pkg/__init__.py": "from .thing import a as thing\nfrom .other import thing as other\n"},
        {"pkg/__init__.py": "import pkg.thing.a as thing\n"},
        {"pkg/__init__.py": "thing = thing.a\n"},
        {"pkg/__init__.py": "a = b.x\nb = c.y\nc = a.z\nthing = a.w\n"},
        {"pkg/__init__.py": "from pkg.m import a as thing\n", "pkg/m.py": "from pkg import thing\na = thing.b.c\n"},
        {"pkg/__init__.py": "from pkg.m import thing\n", "pkg/m.py": "from pkg import thing as x\nthing = x.y\n"},
        {
            "pkg/__init__.py": "try:\n    from pkg.a import b as thing\nexcept ImportError:\n    from pkg.thing import c as thing\n",
            "pkg/a.py": "from pkg.thing import d as b\n",
        },
    ],
)
def test_a_name_that_needs_itself_ends(project: Project, steps: Counter[str], files: dict[str, str]) -> None:
    project.check_marked({**files, "use.py": USE}, select=["CL101"], explicit_world=True)
    assert steps.total() < 2_000


def test_alternatives_do_not_multiply(project: Project, steps: Counter[str]) -> None:
    """Each of two imports has two alternatives, and each of these again."""
    levels = "".join(
        f"try:\n    from pkg import h{n + 1}.a as h{n}\n".replace(f"import h{n + 1}.a", f"import h{n + 1}")
        + f"except ImportError:\n    from pkg.h{n + 1} import b as h{n}\n"
        for n in range(40)
    )
    project.check_marked({"pkg/__init__.py": f"{levels}thing = h0\n", "use.py": USE}, select=["CL101"])
    assert steps.total() < 10_000


def test_files_that_give_each_other_everything(project: Project, steps: Counter[str]) -> None:
    count = 30
    everything = "".join(f"from m{n} import *\n" for n in range(count))
    files = {f"m{n}.py": everything for n in range(count)}
    files["m7.py"] += f"{DIST}\n\ndef sync(group):\n    dist.barrier(group=group)\n"
    project.write({**files, "pyproject.toml": ""})
    for n in range(count):
        assert resolved(f"m{n}.py", "sync") == Target("function", "m7.py", "sync")
        assert resolved(f"m{n}.py", "missing") is None
    assert steps.total() < 20_000


def test_what_is_not_found_on_the_way_round_a_circle_is_found_by_another_way(project: Project) -> None:
    """`b` is asked for first because of `a`, whose other import has the name: that `b` lacks it is true only for then."""
    project.write({"a.py": "from b import *\nfrom d import *\n", "b.py": "from a import *\n", "d.py": "def g(): ...\n"})
    program = Linter(Resolver({}, isolated=True)).analysis([Path()]).program
    assert program.resolve("a.py", "g") == program.resolve("b.py", "g") == Target("function", "d.py", "g")


def test_a_long_way_round_is_no_circle(project: Project) -> None:
    """Two files that import from each other, name by name: every name means something."""
    project.write(
        {
            "a.py": "import b\nfirst = b.second\nthird = b.fourth\n",
            "b.py": "import a\nsecond = a.third\n\n\ndef fourth(): ...\n",
            "pkg/__init__.py": "from pkg.dist import dist\nfrom pkg import core\n",
            "pkg/dist.py": "def dist(): ...\n",
            "pkg/core.py": "from pkg import dist\n",
        }
    )
    program = Linter(Resolver({}, isolated=True)).analysis([Path()]).program
    assert program.resolve("a.py", "first") == Target("function", "b.py", "fourth")
    assert program.resolve("pkg/__init__.py", "dist") == Target("function", "pkg/dist.py", "dist")


def test_which_files_are_asked_for_says_nothing_about_what_a_name_means(project: Project) -> None:
    """Two modules of one name are equally near."""
    files = {f"{folder}/{name}.py": "def sync(): ...\n" for folder in "xy" for name in ("other", "util")}
    project.write({**files, "z/main.py": "from util import sync\n"})
    for asked in (["x/other.py", "z/main.py"], ["y/other.py", "z/main.py"], ["y/util.py", "z/main.py"], ["z/main.py"]):
        program = Linter(Resolver({}, isolated=True)).analysis([Path(path) for path in asked]).program
        assert program.resolve("z/main.py", "sync") == Target("function", "x/util.py", "sync"), asked
