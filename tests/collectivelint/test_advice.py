"""Fixes that are shown and never applied, or applied only when asked for: what they say the code should be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from collectivelint.fixes.apply import fixed
from collectivelint.source import read

if TYPE_CHECKING:
    from tests.conftest import Project

_HEAD: Final = "import os\nimport random\nimport re\n\nimport torch\nimport torch.distributed as dist\n\n\n"

#: Code of a rule, how far to trust its fix, the function before and after; None: there is no edit.
_ADVICE: Final[list[tuple[str, str, str, str | None]]] = [
    (
        "CL203",
        "display",
        "def f(x, g):\n    # now and then\n    if random.random() < 0.1:  # rare\n        dist.all_reduce(x, group=g)\n",
        "def f(x, g):\n    # now and then\n    decided = [random.random() < 0.1]\n"
        "    dist.broadcast_object_list(decided, group_src=0, group=g)\n"
        "    if decided[0]:  # rare\n        dist.all_reduce(x, group=g)\n",
    ),
    (
        "CL203",
        "display",
        "def f(x, decided):\n    if random.random() < 0.1:\n        dist.all_reduce(x, group=dist.group.WORLD)\n",
        "def f(x, decided):\n    decided_together = [random.random() < 0.1]\n"
        "    dist.broadcast_object_list(decided_together, src=0, group=dist.group.WORLD)\n"
        "    if decided_together[0]:\n        dist.all_reduce(x, group=dist.group.WORLD)\n",
    ),
    (
        "CL203",
        "display",
        "def f(x, g):\n    if x is None:\n        return\n    elif random.random() < 0.1:\n"
        "        dist.all_reduce(x, group=g)\n",
        None,
    ),
    (
        "CL202",
        "display",
        "def f(x, g):\n    if not os.path.exists('a'):\n        return\n    dist.all_reduce(x, group=g)\n",
        "def f(x, g):\n    decided = [not os.path.exists('a')]\n"
        "    dist.broadcast_object_list(decided, group_src=0, group=g)\n"
        "    if decided[0]:\n        return\n    dist.all_reduce(x, group=g)\n",
    ),
    (
        "CL202",
        "display",
        "def f(x, g):\n    if dist.get_rank(g) == 0:\n        return\n    dist.all_reduce(x, group=g)\n",
        None,
    ),
    (
        "CL110",
        "display",
        "def f(x, n, g):\n    # the mean\n    dist.all_reduce(x / n, group=g)  # of all\n",
        "def f(x, n, g):\n    # the mean\n    result = x / n\n    dist.all_reduce(result, group=g)  # of all\n",
    ),
    (
        "CL110",
        "display",
        "def f(x, n, g):\n    result = 1\n    dist.all_reduce(x / n, group=g)\n    return result\n",
        None,
    ),
    (
        "CL110",
        "display",
        "def f(x, n, g):\n    dist.all_gather([torch.zeros(1)] * n, x, group=g)\n",
        "def f(x, n, g):\n    dist.all_gather([torch.zeros(1) for _ in range(n)], x, group=g)\n",
    ),
    (
        "CL107",
        "display",
        "def f(x):\n    g = dist.new_group([1, 2])\n    # both\n    dist.all_reduce(x, group=g)\n",
        "def f(x):\n    g = dist.new_group([1, 2])\n    # both\n    if dist.get_rank() in [1, 2]:\n"
        "        dist.all_reduce(x, group=g)\n",
    ),
    (
        "CL104",
        "unsafe",
        "def f(x, g: dist.ProcessGroup):\n    parts = [None] * dist.get_world_size()\n"
        "    dist.all_gather_object(parts, x, group=g)\n    return parts\n",
        "def f(x, g: dist.ProcessGroup):\n    parts = [None] * dist.get_world_size(g)\n"
        "    dist.all_gather_object(parts, x, group=g)\n    return parts\n",
    ),
    (
        "CL104",
        "unsafe",
        "def f(x, g: dist.ProcessGroup):\n    n = dist.get_world_size()\n    parts = [None] * n\n"
        "    dist.all_gather_object(parts, x, group=g)\n    return parts, n\n",
        None,
    ),
    (
        "CL206",
        "unsafe",
        "def f(x, g):\n    for name in {'a', 'b'}:\n        dist.all_reduce(x[name], group=g)\n",
        "def f(x, g):\n    for name in sorted({'a', 'b'}):\n        dist.all_reduce(x[name], group=g)\n",
    ),
    (
        "CL206",
        "unsafe",
        "def f(x, g):\n    for name in set(x):\n        dist.all_reduce(x[name], group=g)\n",
        None,
    ),
    (
        "CL405",
        "display",
        "def f(path):\n    ranks = {int(name[len('rank_') :]) for name in os.listdir(path)}\n"
        "    world_size = max(ranks) + 1\n    return world_size\n",
        "def f(path):\n    ranks = {int(name[len('rank_') :]) for name in os.listdir(path)}\n"
        "    world_size = max(ranks) + 1\n    if set(ranks) != set(range(world_size)):\n"
        '        raise RuntimeError(f"shards are missing: there are {sorted(ranks)}")\n    return world_size\n',
    ),
    (
        "CL404",
        "display",
        "def f(path, g):\n    if not os.path.exists(path):\n        os.makedirs(path)\n    dist.barrier(g)\n",
        "def f(path, g):\n    if not os.path.exists(path):\n        os.makedirs(path, exist_ok=True)\n    dist.barrier(g)\n",
    ),
]


@pytest.mark.parametrize(("code", "trust", "before", "after"), _ADVICE)
def test_advice(project: Project, code: str, trust: str, before: str, after: str | None) -> None:
    project.write(_HEAD + before)
    findings = project.lint(select=[code]).findings
    assert [finding.code for finding in findings] == [code]
    fix = findings[0].fix
    if after is None:
        assert fix is None or not fix.edits
        return
    assert fix is not None
    assert fix.applicability == trust
    assert fixed(read(Path("main.py"), "main.py"), fix.edits) == _HEAD + after
    project.write(_HEAD + after)
    assert project.found(select=[code]) == []


def test_advice_is_part_of_the_report(project: Project) -> None:
    project.write(_HEAD + _ADVICE[0][2])
    ran = project.run("check", "--isolated", "--no-cache", ".")
    advice = [line.strip() for line in ran.out.splitlines() if line.strip()[:1] in ("+", "-")]
    assert advice == [
        "-     if random.random() < 0.1:  # rare",
        "+     decided = [random.random() < 0.1]",
        "+     dist.broadcast_object_list(decided, group_src=0, group=g)",
        "+     if decided[0]:  # rare",
    ]
