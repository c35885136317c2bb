"""Trails through several files, and findings that would say the same twice."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from collectivelint.finding import Edit, Finding, Fix, Location, Step
from collectivelint.findings.publish import published

if TYPE_CHECKING:
    from tests.conftest import Project

#: The condition in one file, the call through a second to the collective in a third, the rank from a fourth; from the
#: second the way leads back to the first.
_FILES: Final = {
    "app.py": (
        "import ranks\nimport middle\n\n\ndef save(x):\n    if ranks.main():\n        middle.through(x)\n\n\n"
        "def back(x):\n    import comm\n\n    comm.sync(x)\n"
    ),
    "middle.py": "import app\n\n\ndef through(x):\n    app.back(x)\n",
    "comm.py": "import torch.distributed as dist\n\n\ndef sync(x):\n    dist.all_reduce(x)\n",
    "ranks.py": "import torch.distributed as dist\n\n\ndef main():\n    return dist.get_rank() == 0\n",
}
_TRAIL: Final = [("ranks.py", 5), ("app.py", 6), ("app.py", 7), ("middle.py", 5), ("app.py", 13), ("comm.py", 5)]


def _places(project: Project, code: str) -> list[list[tuple[str, int]]]:
    return [[(step.path, step.line) for step in finding.trail] for finding in project.lint(select=[code]).findings]


def test_the_file_is_named_whenever_it_changes(project: Project) -> None:
    project.write(_FILES)
    assert _places(project, "CL201") == [_TRAIL]
    out = project.run("check", "--isolated", "--no-cache", "--select", "CL201", ".").out
    shown, file = [], "app.py"
    for line in out.splitlines()[1:]:
        if "-->" in line:
            file = line.split()[-1]
        elif " | " in line:
            shown.append((file, int(line.split()[0])))
    assert shown == _TRAIL
    assert out.count("--> app.py") == 2


def test_every_format_names_the_files_of_the_trail(project: Project) -> None:
    project.write(_FILES)
    select = ("check", "--isolated", "--no-cache", "--select", "CL201", "--output-format")
    for form in ("github", "junit"):
        out = project.run(*select, form, ".").out
        assert re.findall(r"(\w+\.py):(\d+): ", out.replace("%0A", "\n")) == [
            (path, str(line)) for path, line in _TRAIL
        ]
    run = json.loads(project.run(*select, "sarif", ".").out)["runs"][0]
    steps = run["results"][0]["codeFlows"][0]["threadFlows"][0]["locations"]
    found = [step["location"]["physicalLocation"] for step in steps]
    assert [(step["artifactLocation"]["uri"], step["region"]["startLine"]) for step in found] == _TRAIL


def test_each_place_once(project: Project) -> None:
    project.write(
        "import torch.distributed as dist\n\n\ndef odd(x, n):\n    return even(x, n - 1) if n else dist.all_reduce(x)\n\n\n"
        "def even(x, n):\n    return odd(x, n - 1)\n\n\ndef f(x):\n    return odd(x, 3) if dist.get_rank() == 0 else None\n"
    )
    for places in _places(project, "CL201"):
        assert len(places) == len(set(places)), places


def test_a_place_that_comes_up_again_keeps_what_it_is_there_for(project: Project) -> None:
    project.write("import torch.distributed as dist\n\n\ndef f():\n    dist.get_rank() == 0 and dist.barrier()\n")
    (finding,) = project.lint(select=["CL201"]).findings
    (step,) = finding.trail
    assert step.kind == "collective"
    assert step.text == "barrier, the default group, condition, the rank number"


#: Both looks are before the same `mkdir`.
_TWICE: Final = (
    "import os\n\nimport torch.distributed as dist\n\n\ndef f(path):\n    if not os.path.exists(path):\n"
    "        print(path)\n        if not os.path.exists(path):\n            os.mkdir(path)\n    dist.barrier()\n"
)


def test_an_identical_finding_appears_once(project: Project) -> None:
    project.write(_TWICE)
    select = ("check", "--isolated", "--no-cache", "--select", "CL404")
    assert [finding.location.row for finding in project.lint(select=["CL404"]).findings] == [10]
    assert project.run(*select, "--statistics", ".").out == "1  CL404  [ ]  missing-barrier\n"
    assert project.run(*select, ".").out.endswith("Found 1 finding in 1 file.\n")


def test_a_loop_that_is_looked_at_twice(project: Project) -> None:
    project.write(
        "import torch.distributed as dist\n\n\ndef f(mode, x):\n    last = 0\n    for _ in range(10):\n"
        "        if mode == 'a' and dist.get_rank() == last:\n            print(x)\n"
        "        elif mode == 'b':\n            print(x)\n        else:\n            raise ValueError(mode)\n"
        "        last = dist.get_rank()\n        dist.all_reduce(x)\n"
    )
    assert _places(project, "CL202") == [[("main.py", 7), ("main.py", 14)]]


def test_the_shortest_trail_is_kept_and_any_fix() -> None:
    steps = tuple(Step("main.py", line, "note", "") for line in (1, 2, 3))
    edit = Edit(0, 0, "", Location(1, 1), Location(1, 1))
    long = Finding(
        *("CL404", "missing-barrier", "same", "error", "main.py", Location(3, 1), Location(3, 9), "f"),
        trail=steps,
        fix=Fix("display", "", (edit,)),
    )
    short = replace(long, trail=steps[1:], fix=None)
    other = replace(long, message="another")
    expected = [replace(short, fix=long.fix), other]
    assert published([long, other, short]) == expected
    assert published([short, long, other]) == expected


def test_a_file_by_several_spellings(project: Project) -> None:
    project.write({"pkg/main.py": _TWICE})
    (project.root / "link.py").symlink_to("pkg/main.py")
    for paths in (
        ("pkg/main.py", "./pkg/main.py", str(project.root / "pkg" / "main.py")),
        ("pkg", "pkg/../pkg", str(project.root)),
        ("pkg/main.py", "link.py"),
    ):
        assert len(project.found(*paths, select=["CL404"])) == 1


def test_what_one_exit_or_loop_makes_ranks_miss_is_one_finding(project: Project) -> None:
    project.write(
        "import time\n\nimport torch.distributed as dist\n\n\ndef train(batches, limit):\n    begin = time.time()\n"
        "    for batch in batches:\n        if time.time() - begin > limit:\n            break\n"
        "        dist.all_reduce(batch)\n        dist.barrier()\n    dist.barrier()\n"
    )
    places = [("main.py", 9), ("main.py", 7), ("main.py", 11), ("main.py", 12)]
    assert _places(project, "CL202") == [places]
