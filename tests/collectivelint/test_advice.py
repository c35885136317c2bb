"""Fixes that are shown and never applied, or applied only when asked for: what they say the code should be."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from collectivelint.fixes.apply import fixed
from collectivelint.source.decode import read

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
    (
        "CL404",
        "display",
        "def f(path, g):\n    if not os.path.exists(path):\n        os.mkdir(path)\n    dist.barrier(g)\n",
        None,
    ),
    (
        "CL110",
        "display",
        "def f(x, y, g):\n    dist.all_gather([torch.zeros(1)] + [y], x, group=g)\n",
        "def f(x, y, g):\n    result = [torch.zeros(1)] + [y]\n    dist.all_gather(result, x, group=g)\n",
    ),
    (
        "CL201",
        "unsafe",
        "from detectron2.utils.comm import synchronize\n\n\ndef f(work):\n    if dist.get_rank() == 0:\n        work()\n"
        "        synchronize()\n",
        "from detectron2.utils.comm import synchronize\n\n\ndef f(work):\n    if dist.get_rank() == 0:\n        work()\n"
        "    synchronize()\n",
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


#: One finding of each kind: a suggestion, an unsafe fix, a safe fix.
_EACH: Final = (
    _HEAD + "def f(x, group):\n    if random.random() < 0.1:\n        dist.all_reduce(x, group=group)\n"
    "    dist.barrier()\n    dist._all_gather_base(x, x, group=group)\n"
)
_SELECT: Final = ("check", "--isolated", "--no-cache", "--select", "CL101,CL203,CL604")


def _each(project: Project, form: str) -> str:
    project.write(_EACH)
    return project.run(*_SELECT, "--output-format", form, "main.py").out


def test_json_has_suggestions_where_nobody_applies_them(project: Project) -> None:
    found = {finding["code"]: finding for finding in json.loads(_each(project, "json"))}
    assert found["CL203"]["fix"] is None
    assert found["CL203"]["suggestion"]["applicability"] == "display"
    assert "broadcast_object_list" in found["CL203"]["suggestion"]["edits"][0]["content"]
    for code, applicability in (("CL101", "unsafe"), ("CL604", "safe")):
        assert found[code]["fix"]["applicability"] == applicability
        assert found[code]["suggestion"] is None


def test_sarif_has_suggestions_where_nobody_applies_them(project: Project) -> None:
    found = {finding["ruleId"]: finding for finding in json.loads(_each(project, "sarif"))["runs"][0]["results"]}
    assert "fixes" not in found["CL203"]
    assert "suggestion: Decide on one rank" in found["CL203"]["message"]["text"]
    assert "\n+     decided = [random.random() < 0.1]" in found["CL203"]["message"]["text"]
    assert found["CL203"]["properties"]["suggestion"]["artifactChanges"]
    assert "(unsafe: " in found["CL101"]["fixes"][0]["description"]["text"]
    assert found["CL604"]["fixes"][0]["description"]["text"].endswith("(safe)")
    assert all("suggestion" not in found[code]["properties"] for code in ("CL101", "CL604"))


@pytest.mark.parametrize("form", ["text", "github", "junit"])
def test_what_is_a_suggestion_is_called_so(project: Project, form: str) -> None:
    out = _each(project, form).replace("%0A", "\n")
    assert out.count("suggestion: ") == 1
    assert (
        "suggestion: Decide on one rank and broadcast the decision (by hand: it changes what the program does)" in out
    )
    assert re.search(r"^ *\+ +decided = ", out, re.MULTILINE)
    assert out.count("fix: ") == 2
    assert "(--fix)" in out
    assert "(--fix --unsafe-fixes)" in out


def test_html_shows_what_would_change(project: Project) -> None:
    cards = re.findall(r'data-code="(\w+)".*?</article>', page := _each(project, "html"), re.DOTALL)
    assert cards == ["CL203", "CL101", "CL604"]
    changes = [
        html.unescape(re.sub(r"<[^>]+>", "", line))
        for line in re.findall(r'<span class="(?:added|removed)">.*?</span>', page)
    ]
    assert changes[:6] == [
        "-     if random.random() < 0.1:",
        "+     decided = [random.random() < 0.1]",
        "+     dist.broadcast_object_list(decided, group_src=0, group=group)",
        "+     if decided[0]:",
        "-     dist.barrier()",
        "+     dist.barrier(group=group)",
    ]
    assert re.findall(r"<b>(suggestion|fix)</b>", page) == ["suggestion", "fix", "fix"]


def test_only_what_fix_applies_is_counted(project: Project) -> None:
    last = _each(project, "concise").splitlines()[-1]
    assert last == "Found 3 findings in 1 file. 1 fixable with `--fix`. 1 more fixable with `--fix --unsafe-fixes`."
    assert project.run(*_SELECT, "--statistics", "main.py").out == (
        "1  CL101  [*]  missing-group\n1  CL203  [ ]  local-condition\n1  CL604  [*]  deprecated-collective\n"
        "[*] fixable with `--fix --unsafe-fixes`\n"
    )
