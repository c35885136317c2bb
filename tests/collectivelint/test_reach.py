"""What runs a function, where files that are no Python modules say so; the rest are the cases of `programs*.md`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from collectivelint.findings.confidence import Confidence

if TYPE_CHECKING:
    from tests.conftest import Project

_LIBRARY: Final = """import random

import torch.distributed as dist


def sync(x):
    if random.random() < 0.5:
        dist.barrier()
"""
_ALONE: Final = 'from lib import sync\n\nif __name__ == "__main__":\n    sync("x")\n'
_TRAIN: Final = """import torch.distributed as dist

{imported}

if __name__ == "__main__":
    dist.init_process_group("nccl")
    {call}
"""
_FOUND: Final = [("lib.py", 8, "CL203")]


def _found(project: Project, files: dict[str, str], *, listed: str = "") -> list[tuple[str, int, str]]:
    project.write(files)
    catalog = (("company.toml", f'[[section]]\nmodule = "company"\nsource = "company"\n{listed}\n'),)
    found = project.found(select=["CL203"], min_confidence=Confidence.HIGH, catalog_files=catalog)
    return [finding for finding in found if finding[2] == "CL203"]


def test_a_command_that_a_program_of_many_ranks_calls_as_well(project: Project) -> None:
    command = "from lib import sync\n\n\ndef main():\n    sync('x')\n"
    files = {
        "lib.py": _LIBRARY,
        "tool.py": command,
        "pyproject.toml": '[project]\nname = "x"\n[project.scripts]\ntool = "tool:main"\n',
    }
    assert _found(project, files) == []
    train = _TRAIN.format(imported="from tool import main", call="main()")
    assert _found(project, {**files, "train.py": train}) == _FOUND


@pytest.mark.parametrize("name", ["sync", "other"])
def test_a_file_that_cannot_be_parsed_may_call_what_it_names(project: Project, name: str) -> None:
    files = {"lib.py": _LIBRARY, "main.py": _ALONE, "train.py": f"from lib import {name}\n\n{name}((\n"}
    assert _found(project, files) == (_FOUND if name == "sync" else [])


@pytest.mark.parametrize("call", ['dist.init_process_group("gloo")', "print(dist)"])
def test_the_imports_of_a_notebook_are_followed(project: Project, call: str) -> None:
    code = [
        "import torch.distributed as dist; from start import start\n",
        "from lib import sync\n",
        "start()\nsync('x')",
    ]
    cells = [{"cell_type": "code", "metadata": {}, "source": text, "outputs": []} for text in code]
    notebook = {"cells": cells, "metadata": {"language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}
    start = f"import torch.distributed as dist\n\n\ndef start():\n    {call}\n"
    files = {"lib.py": _LIBRARY, "start.py": start, "main.ipynb": json.dumps(notebook)}
    assert _found(project, files) == (_FOUND if "init" in call else [])


@pytest.mark.parametrize(
    ("call", "listed", "found"),
    [
        ("company.run()", "", []),
        ("company.run()", 'launchers = ["company"]', _FOUND),
        ("company.launch()", "", _FOUND),
        ("company.launch()", 'in_process = ["company"]', []),
    ],
)
def test_a_catalogue_file_says_which_libraries_start_ranks(
    project: Project, call: str, listed: str, found: list[tuple[str, int, str]]
) -> None:
    files = {
        "lib.py": _LIBRARY,
        "main.py": f"import company\n\n{_ALONE}    {call}\n",
    }
    assert _found(project, files, listed=listed) == found


@pytest.mark.parametrize(("listed", "found"), [("", _FOUND), ('plain_decorators = ["timed"]', [])])
def test_a_catalogue_file_says_which_decorators_are_plain(
    project: Project, listed: str, found: list[tuple[str, int, str]]
) -> None:
    files = {
        "lib.py": _LIBRARY.replace("def sync", "@timed\ndef sync").replace(
            "import random\n", "import random\nfrom x import timed\n"
        ),
        "main.py": _ALONE,
    }
    found = [(path, line + 2, code) for path, line, code in found]
    assert _found(project, files, listed=listed) == found


def test_rules_about_what_a_process_does_alone_hold_in_programs_of_one(project: Project) -> None:
    project.write(
        {
            "convert.py": """import os


def saved_world_size(folder):
    ranks = set()
    for name in os.listdir(folder):
        if name.startswith("rank_"):
            ranks.add(int(name[len("rank_") :]))
    return max(ranks) + 1


if __name__ == "__main__":
    print(saved_world_size("checkpoint"))
"""
        }
    )
    assert project.found(select=["CL405"]) == [("convert.py", 9, "CL405")]


_SAVE: Final = """from accelerate import Accelerator


def save(path):
    accelerator = Accelerator()
    if accelerator.is_main_process:
        accelerator.save_state(path)
"""


@pytest.mark.parametrize(
    ("file", "text", "is_sure"),
    [
        ("configs/fsdp.yaml", "compute_environment: LOCAL_MACHINE\ndistributed_type: FSDP\n", True),
        ("train/accelerate.yml", 'distributed_type: "DEEPSPEED"  # stage 3\n', True),
        ("configs/ddp.yaml", "distributed_type: MULTI_GPU\n", False),
        ("configs/far/below/fsdp.yaml", "distributed_type: FSDP\n", False),
        ("configs/fsdp.yaml", "# distributed_type: FSDP\n", False),
    ],
)
def test_a_configuration_around_the_program_says_that_its_model_is_sharded(
    project: Project, file: str, text: str, *, is_sure: bool
) -> None:
    project.write({"train/run.py": _SAVE, "main.py": "from train.run import save\n\nsave('x')\n", file: text})
    found = project.found(select=["CL208"], min_confidence=Confidence.HIGH)
    assert found == ([("train/run.py", 7, "CL208")] if is_sure else [])


_RETRIEVER: Final = """class Retriever:
    def __init__(self):
        self.start()

    def start(self):
        print("ready")
"""
_TOGETHER: Final = """import torch.distributed as dist
from retriever import Retriever


class Together(Retriever):
    def start(self):
        dist.barrier()
"""
_EVALUATE: Final = """import os
import torch
{imported}from retriever import Retriever


def main(path):
    torch.distributed.init_process_group()
    if os.path.exists(path):
        return
    with open(path, "w") as file:
        Retriever()
        file.write("x")


if __name__ == "__main__":
    main("a")
"""


@pytest.mark.parametrize("imported", ["", "import together\n"])
def test_a_program_without_the_file_of_an_override_does_not_run_it(project: Project, imported: str) -> None:
    evaluate = _EVALUATE.format(imported=imported)
    project.write({"retriever.py": _RETRIEVER, "together.py": _TOGETHER, "evaluate.py": evaluate})
    found = project.found(select=["CL202"], min_confidence=Confidence.MEDIUM)
    assert [code for _, _, code in found] == ["CL202"] * bool(imported)


@pytest.mark.parametrize("other", ["import evaluate\n\nevaluate.main('b')\n", "run('evaluate')\n", "evaluation = 1\n"])
def test_functions_of_a_file_that_no_other_imports_are_called_in_it_alone(project: Project, other: str) -> None:
    # A name like `main` stands in strings and in many files.
    many = {f"tool{number}.py": f"def main(): ...\n\n\nmain()\nprint('main{number}', 'main')\n" for number in range(40)}
    files = {"retriever.py": _RETRIEVER, "together.py": _TOGETHER, "evaluate.py": _EVALUATE.format(imported="")}
    project.write({**many, **files, "other.py": other})
    found = project.found(select=["CL202"], min_confidence=Confidence.MEDIUM)
    assert [code for _, _, code in found] == ["CL202"] * ("evaluate" in other.split("ion")[0])


_SETTING_UP: Final = "import torch.distributed as dist\n\n\ndef set_up():\n    dist.init_process_group()\n\n\n"
_LOADING: Final = "def load(path):\n    try:\n        open(path)\n    except OSError:\n        return\n    dist.barrier(group=dist.group.WORLD)\n\n\n"


@pytest.mark.parametrize("package", ["streamlit", "argparse"])
def test_a_user_interface_that_a_package_runs_has_one_process(project: Project, package: str) -> None:
    main = f"import {package} as ui\nimport torch.distributed as dist\nfrom library import set_up\n\n\n{_LOADING}set_up()\nload(ui.text())\n"
    project.write({"library.py": _SETTING_UP, "main.py": main})
    found = project.found(select=["CL204"])
    assert [code for _, _, code in found] == ["CL204"] * (package != "streamlit")


@pytest.mark.parametrize(
    ("set_up", "is_one"),
    [
        ("    dist.init_process_group('gloo', rank=0, world_size=1)\n", True),
        ("    os.environ['WORLD_SIZE'] = '1'\n    dist.init_process_group('gloo')\n", True),
        ("    os.environ['WORLD_SIZE'] = '2'\n    dist.init_process_group('gloo')\n", False),
        ("    dist.init_process_group('gloo', rank=0, world_size=2)\n", False),
        ("    dist.init_process_group('gloo')\n", False),
        ("    os.environ['WORLD_SIZE'] = str(ONE)\n    dist.init_process_group('gloo')\n", True),
        ("    os.environ['WORLD_SIZE'] = str(MORE)\n    dist.init_process_group('gloo')\n", False),
        (
            "    size = int(os.environ['N'])\n    assert size == 1\n    dist.init_process_group('gloo', rank=0, world_size=size)\n",
            True,
        ),
    ],
)
def test_a_program_that_makes_a_group_of_one_rank(project: Project, set_up: str, is_one: bool) -> None:
    head = "import os\n\nimport torch.distributed as dist\n\nONE = MORE = int(os.environ['N'])\nassert ONE == 1\n\n\n"
    main = f"{head}def set_up():\n{set_up}\n\n{_LOADING}if __name__ == '__main__':\n    set_up()\n    load('a')\n"
    project.write(main)
    assert [code for _, _, code in project.found(select=["CL204"])] == ["CL204"] * (not is_one)


def test_a_package_that_is_the_folder_the_linter_is_run_in(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"__init__.py": "", "lib.py": _LIBRARY, "main.py": _ALONE}
    project.write(files)
    monkeypatch.chdir(project.root)
    assert _found(project, files) == []
