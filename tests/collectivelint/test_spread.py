"""A change spreads from file to file as far as facts change: a run with a cache finds what one without it finds."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from collectivelint.engine import Linter
from collectivelint.findings.confidence import Confidence
from collectivelint.incremental.store import FOLDER
from collectivelint.settings import Resolver

from .test_summaries import program

if TYPE_CHECKING:
    from collectivelint.engine import Result
    from tests.conftest import Project

HEAD: Final = "import torch.distributed as dist\n"
FILES: Final = {
    "comm.py": f"{HEAD}\n\ndef sync(group):\n    if group:\n        dist.barrier(group=group)\n",
    "middle.py": "from comm import sync\n\n\ndef finish(group):\n    sync(group)\n",
    "main.py": f"{HEAD}from middle import finish\n\n\ndef save(group):\n    if dist.get_rank(group) == 0:\n        finish(group)\n",
    "other.py": "from comm import sync\n\n\nclass C:\n    def run(self, group):\n        sync(group)\n",
    "apart.py": "def f(x):\n    return x\n",
}


def _lint(*paths: str, cached: bool = True) -> Result:
    folder = Path(FOLDER) if cached else None
    result = Linter(Resolver({"min_confidence": Confidence.LOW}, isolated=True), cache_folder=folder).run(
        [Path(path) for path in paths or (".",)]
    )
    assert result.errors == []
    return result


def _apart(text: str) -> str:
    """The file with a comment and a function between its imports and the rest."""
    return text.replace("\n\n\ndef sync", "\n\n\n# a comment\ndef before(x):\n    return x\n\n\ndef sync")


CHANGES: Final = {
    "a comment at the end": (lambda text: text + "\n# a comment\n", 1),
    "a new function": (lambda text: text + "\n\ndef other(x):\n    return x\n", 1),
    "a new function that runs a collective": (lambda text: text + "\n\ndef other():\n    dist.barrier()\n", 1),
    "a new function above": (_apart, 1),
    "a statement without effect": (lambda text: text + "    print(group)\n", 1),
    "another condition": (lambda text: text.replace("if group:", "if other:"), 4),
    "a line above": (lambda text: "\n" + text, 1),
    "a comment above": (lambda text: "# a comment\n\n" + text, 1),
    "a comment in the function": (lambda text: text.replace("    if group:", "    # a comment\n    if group:"), 4),
    "another collective": (lambda text: text.replace("dist.barrier(", "dist.broadcast(group, 0, "), 4),
    "a comment in a condition": (lambda text: text.replace("if group:", "if (group):"), 4),
    "another name": (lambda text: text.replace("def sync", "def synchronise"), 4),
}


@pytest.mark.parametrize(("change", "most"), CHANGES.values(), ids=CHANGES)
def test_a_change_spreads_as_far_as_facts_change(project: Project, change: object, most: int) -> None:
    project.write(FILES)
    assert _lint().analysed == 5
    project.write({"comm.py": change(FILES["comm.py"])})  # type: ignore[operator]
    found = _lint()
    assert found == _lint(cached=False)
    assert found.analysed == most
    assert _lint().analysed == 0


def _ring(name: str, other: str, leads_to: str, body: str = "") -> str:
    """A file whose functions call those of two others, which call them in turn."""
    return (
        f"import torch.distributed as dist\nimport {other}, {leads_to}\n\n\n"
        f"def left_{name}(x):\n    {body or 'print(x)'}\n    return {other}.right_{other}(x)\n\n\n"
        f"def right_{name}(x):\n    return {leads_to}.left_{leads_to}(x) if x else dist.get_rank()\n"
    )


@pytest.mark.parametrize(
    ("body", "most"), [("print(x)  # a comment", 3), ("print(x, 1)", 3), ("dist.barrier()", 6)], ids=str
)
def test_a_change_does_not_go_from_one_circle_to_the_next(project: Project, body: str, most: int) -> None:
    # Of each file and the next one functions form a circle.
    names = [f"m{number}" for number in range(6)]
    files = {f"{name}.py": _ring(name, names[max(at - 1, 0)], names[min(at + 1, 5)]) for at, name in enumerate(names)}
    project.write(files)
    assert _lint().analysed == 6
    project.write({"m0.py": _ring("m0", "m0", "m1", body)})
    found = _lint()
    assert found == _lint(cached=False)
    assert found.analysed <= most


def test_a_change_is_followed_through_files_that_were_never_asked_about(project: Project) -> None:
    project.write(FILES)
    assert [finding.code for finding in _lint("main.py").findings] == ["CL201"]
    project.write({"comm.py": "def sync(group):\n    print(group)\n"})
    assert _lint("main.py").findings == []
    project.write({"comm.py": FILES["comm.py"]})
    assert [finding.code for finding in _lint().findings] == ["CL201"]
    project.write({"comm.py": FILES["comm.py"] + "\n# a comment\n"})
    assert _lint("main.py") == _lint("main.py", cached=False)
    assert _lint() == _lint(cached=False)


def test_findings_lead_to_lines_that_have_moved(project: Project) -> None:
    project.write(FILES)
    (before,) = _lint().findings
    project.write({"comm.py": "# a comment\n" + _apart(FILES["comm.py"])})
    (now,) = _lint().findings
    assert now.trail != before.trail
    expected = [step.line + 6 * (step.path == "comm.py") for step in before.trail]
    assert [step.line for step in now.trail] == expected
    assert _lint() == _lint(cached=False)


def test_a_name_that_was_missing_appears(project: Project) -> None:
    text = FILES["comm.py"].replace("def sync", "def other")
    more = "from comm import sync\n\n\ndef f(group):\n    sync(group)\n"
    project.write(
        FILES | {"comm.py": text, "star.py": "from comm import *\n", "reader.py": more.replace("comm", "star")}
    )
    assert _lint().findings == []
    project.write({"comm.py": text + FILES["comm.py"].removeprefix(HEAD)})
    found = _lint()
    assert [finding.code for finding in found.findings] == ["CL201"]
    # comm, middle, other, main, and reader, which has asked through star.
    assert found.analysed == 5
    project.write({"comm.py": text})
    assert _lint().findings == []


def test_a_message_that_names_a_line_is_made_again(project: Project) -> None:
    groups = f"{HEAD}\n\ndef make():\n    return dist.new_group([0, 1])\n"
    alone = f"{HEAD}\nfrom groups import make\n\ndef f(x):\n    make()\n    dist.all_reduce(x)\n"
    project.write({"groups.py": groups, "alone.py": alone, "apart.py": FILES["apart.py"]})
    assert [finding.path for finding in _lint().findings if "groups.py:5" in finding.message] == ["alone.py"]
    for text in (f"\n{groups}", groups.replace("    return", "    # a comment\n    return")):
        project.write({"groups.py": text})
        found = _lint()
        assert found == _lint(cached=False)
        assert found.analysed == 2
        assert any("groups.py:6" in finding.message for finding in found.findings)
    project.write({"groups.py": text + "# a comment\n"})
    assert (_lint(), _lint().analysed) == (_lint(cached=False), 0)


def test_whether_all_groups_have_all_ranks_is_asked_of_the_whole_program(project: Project) -> None:
    lists = f"{HEAD}\n\ndef f(x, group):\n    dist.all_gather_object([None] * dist.get_world_size(), x, group=group)\n"
    project.write({"lists.py": lists, "groups.py": f"{HEAD}\n\ndef make():\n    return dist.new_group()\n"})
    assert _lint().findings == []
    project.write({"groups.py": f"{HEAD}\n\ndef make(ranks):\n    return dist.new_group(ranks)\n"})
    assert [finding.code for finding in _lint().findings] == ["CL104"]
    project.write({"groups.py": f"{HEAD}\n\ndef make(ranks):\n    return dist.new_group()\n"})
    assert _lint().findings == []


def test_functions_that_change_places(project: Project) -> None:
    one, other = (f"def {name}(group):\n    dist.barrier(group=group)\n\n\n" for name in ("f", "g"))
    main = f"{HEAD}from comm import f, g\n\n\ndef main(group):\n    if dist.get_rank() == 0:\n        f(group)\n        g(group)\n"
    project.write({"comm.py": f"{HEAD}\n\n{one}{other}", "main.py": main})
    _lint()
    project.write({"comm.py": f"{HEAD}\n\n{other}{one}"})
    found = _lint()
    assert found == _lint(cached=False)
    assert found.analysed == 2
    project.write({"comm.py": f"{HEAD}\n\n# a comment\n{other}{one}"})
    found = _lint()
    assert found == _lint(cached=False)
    assert found.analysed == 1


def _edited(random_: random.Random, text: str, fresh: str) -> str:
    """The file with a comment, or a function or class that is new, gone, elsewhere, renamed, or as in another such file."""
    parts, others = (re.split(r"(?m)^(?=def |class )", some) for some in (text, fresh))
    names = [part.partition("(")[0].partition(":")[0] for part in parts]
    at = random_.randrange(1, len(parts)) if len(parts) > 1 else 0
    edit = random_.choice(["comment", "comment", "new", "removed", "moved", "renamed", "changed", "changed", "back"])
    if edit == "comment":
        parts.insert(random_.choice([0, at, len(parts)]), random_.choice(["# a comment\n", "\n\n"]))
    elif edit == "new":
        parts.insert(at or 1, f"def new{random_.randrange(9)}(x):\n    dist.barrier()\n    return x\n\n")
    elif edit == "back":
        missing = [other for other in others[1:] if other.partition("(")[0].partition(":")[0] not in names]
        parts += missing[:1]
    elif at and edit == "removed":
        del parts[at]
    elif at and edit == "moved":
        parts.insert(random_.randrange(1, len(parts)), parts.pop(at))
    elif at and edit == "renamed":
        parts[at] = re.sub(r"\A(def|class) (\w+)", r"\1 \2x", parts[at])
    elif at:
        parts[at] = next((other for other in others if other.startswith(names[at])), parts[at])
    return "".join(parts)


@pytest.mark.parametrize("seed", [*range(8), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(8, 25))])
def test_any_edits_of_functions(project: Project, seed: int) -> None:
    random_ = random.Random(seed)
    files = program(random_)
    project.write(files)
    for _ in range(8):
        asked = random_.choice([(), (), ("m1.py",), ("m0.py", "m2.py")])
        assert _lint(*asked) == _lint(*asked, cached=False)
        for name in random_.sample(sorted(files), random_.choice([1, 1, 2])):
            files[name] = _edited(random_, files[name], program(random_)[name])
        project.write(files)
