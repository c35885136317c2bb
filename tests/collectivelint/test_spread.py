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


CHANGES: Final = {
    "a comment at the end": (lambda text: text + "\n# a comment\n", 1),
    "a new function": (lambda text: text + "\n\ndef other(x):\n    return x\n", 3),
    "a statement without effect": (lambda text: text + "    print(group)\n", 1),
    "another condition": (lambda text: text.replace("if group:", "if other:"), 4),
    "a line above": (lambda text: "\n" + text, 4),
    "another collective": (lambda text: text.replace("dist.barrier(", "dist.broadcast(group, 0, "), 4),
    "a comment in a condition": (lambda text: text.replace("if group:", "if (group):"), 4),
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


def _edited(random_: random.Random, text: str, fresh: str) -> str:
    """The file with a comment, a moved line, or a function or method as it stands in another file of this kind."""
    choice = random_.randrange(4)
    if choice == 0:
        return text + "\n# a comment\n"
    if choice == 1:
        return "# a comment\n" + text
    parts, others = (re.split(r"(?m)^(?=def |class )", some) for some in (text, fresh))
    at = random_.randrange(1, len(parts))
    name = parts[at].partition("(")[0].partition(":")[0]
    same = next((other for other in others if other.partition("(")[0].partition(":")[0] == name), parts[at])
    return "".join((*parts[:at], same, *parts[at + 1 :]))


@pytest.mark.parametrize("seed", range(25))
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
