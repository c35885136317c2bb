"""Where CL101 says that the program makes a group which leaves ranks out: a note on a finding of low confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Project

_HEAD = "import torch.distributed as dist\n"
_SAVE = f"{_HEAD}def save():\n    dist.barrier()\n"


@pytest.mark.parametrize(
    "made",
    [
        "new_group([0, 1])",
        "new_group(list(range(dist.get_world_size()))[1:])",
        "new_group([*range(2)], backend='gloo')",
    ],
)
def test_a_program_that_reaches_both(project: Project, made: str) -> None:
    main = f"from save import save\n{_HEAD}def main():\n    dist.{made}\n    save()\n"
    assert _told(project, {"save.py": _SAVE, "main.py": main}) == [("save.py", 3, "new_group at main.py:4")]


@pytest.mark.parametrize(
    "made",
    [
        "new_group(range(dist.get_world_size()))",
        "new_group([0, 1], use_local_synchronization=True)",
        "new_subgroups(2)",
        "init_device_mesh('cuda', (2, 4))",
    ],
)
def test_groups_that_share_out_all_ranks_leave_none_out(project: Project, made: str) -> None:
    main = f"from torch.distributed.device_mesh import init_device_mesh\nfrom save import save\n{_HEAD}"
    made = made if made.startswith("init") else f"dist.{made}"
    assert _told(project, {"save.py": _SAVE, "main.py": f"{main}def main():\n    {made}\n    save()\n"}) == []


def test_another_program_of_the_tree_is_no_evidence(project: Project) -> None:
    files = {
        "groups.py": f"{_HEAD}def make():\n    return dist.new_group([0, 1])\n",
        "save.py": _SAVE,
        "train.py": "from save import save\nif __name__ == '__main__':\n    save()\n",
        "other.py": "from groups import make\nif __name__ == '__main__':\n    make()\n",
    }
    assert _told(project, files) == []


@pytest.mark.parametrize(
    ("path", "told"),
    [("tests/test_it.py", []), ("examples/it.py", [("examples/it.py", 6, "new_group at examples/it.py:4")])],
)
def test_tests_are_no_evidence_and_examples_only_for_examples(
    project: Project, path: str, told: list[tuple[str, int, str]]
) -> None:
    main = f"from save import save\n{_HEAD}def test_it():\n    dist.new_group([0, 1])\n    save()\n    dist.barrier()\n"
    assert _told(project, {"save.py": _SAVE, path: main}) == told


def _told(project: Project, files: dict[str, str]) -> list[tuple[str, int, str]]:
    """The collectives without a group, with where a group leaves ranks out; all are listed, at low confidence."""
    project.write(files)
    found = [finding for finding in project.lint(select=["CL101"]).findings if "leaves ranks out" in finding.message]
    assert all(finding.confidence.word == "low" for finding in found)
    return [(item.path, item.location.row, item.message.rpartition("(")[2].rstrip(")")) for item in found]
