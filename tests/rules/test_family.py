"""Every collective x every shape of divergence x every way to import it x every way to reach it, each with a correct twin.

In the spirit of the MPI Bugs Initiative: small programs that are made by rule, whose one wrong line is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Final

import pytest

from collectivelint.catalog.reader import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Project

_CODES: Final = ["CL105", "CL201", "CL202", "CL203", "CL204", "CL205", "CL206", "CL208"]

#: What stands for the parameters of the collectives; roots are left at their defaults, rank 0.
_ARGUMENTS: Final = {
    "tensor": "tensor",
    "input": "tensor",
    "output": "tensor",
    "input_tensor": "tensor",
    "output_tensor": "tensor",
    "obj": "tensor",
    "object": "tensor",
    "tensors": "[tensor]",
    "tensor_list": "[tensor]",
    "input_list": "[tensor]",
    "input_tensor_list": "[tensor]",
    "output_tensor_list": "[tensor]",
    "output_tensor_lists": "[[tensor]]",
    "object_list": "[tensor]",
    "object_gather_list": "[None]",
    "scatter_object_output_list": "[None]",
    "scatter_object_input_list": "[tensor]",
}


@dataclass(frozen=True)
class Style:
    """How torch.distributed is imported: at the top, inside functions, and what stands before a name of it."""

    top: str
    prefix: str
    inside: str = ""


@dataclass(frozen=True)
class Reach:
    """How a function gets to the collective: `helpers` define `name`, `call` runs it, `group` names its group.

    CALL is the collective, OP its name, IMPORTS the import statement, DIST what stands before names of torch.distributed.
    """

    call: str
    helpers: str = ""
    group: str = "group"
    parameter: str = "group"
    file: str = "main.py"


@dataclass(frozen=True)
class Shape:
    """A body in which CALL is reached by some ranks only, `code` at that line, and one in which every rank gets there."""

    code: str
    wrong: str
    right: str


_STYLES: Final = {
    "as": Style("import torch.distributed as dist", "dist."),
    "from torch": Style("from torch import distributed", "distributed."),
    "dotted": Style("import torch", "torch.distributed."),
    "names": Style("from torch.distributed import *", ""),
    "inside": Style("", "dist.", "import torch.distributed as dist"),
    "guarded": Style("try:\n    import torch.distributed as dist\nexcept ImportError:\n    dist = None", "dist."),
}

_REACHES: Final = {
    "direct": Reach("CALL"),
    "wrapper": Reach("one_OP(tensor, GROUP)", "def one_OP(tensor, group):\n    INSIDE\n    return CALL\n"),
    "two wrappers": Reach(
        "two_OP(GROUP, tensor)",
        "def one_OP(tensor, group=None):\n    INSIDE\n    return CALL\n\n\n"
        "def two_OP(group, tensor):\n    return one_OP(tensor, group=group)\n",
    ),
    "three wrappers": Reach(
        "three_OP(tensor=tensor, group=GROUP)",
        "def one_OP(tensor, group):\n    INSIDE\n    return CALL\n\n\n"
        "def two_OP(tensor, group):\n    if tensor is None:\n        return None\n    return one_OP(tensor, group)\n\n\n"
        "def three_OP(*, tensor, group):\n    result = two_OP(tensor, group)\n    return result\n",
    ),
    "method": Reach(
        "comm.run(tensor)",
        "class Comm_OP:\n    def __init__(self, group):\n        self.group = group\n\n"
        "    def run(self, tensor):\n        INSIDE\n        group = self.group\n        return CALL\n",
        group="comm.group",
        parameter="comm: Comm_OP",
    ),
    "inherited": Reach(
        "comm.run(tensor)",
        "class Base_OP:\n    def __init__(self, group):\n        self.group = group\n\n"
        "    def _run(self, tensor, group):\n        INSIDE\n        return CALL\n\n\n"
        "class Comm_OP(Base_OP):\n    def run(self, tensor):\n        return super()._run(tensor, self.group)\n",
        group="comm.group",
        parameter="comm: Comm_OP",
    ),
    "other file": Reach(
        "helpers.one_OP(tensor, GROUP)", "def one_OP(tensor, group):\n    INSIDE\n    return CALL\n", file="helpers.py"
    ),
}

_SHAPES: Final = {
    "arm": Shape(
        "CL201",
        "if DISTget_rank(GROUP) == 0:\n    CALL  # !",
        "if DISTget_rank(GROUP) == 0:\n    print(tensor)\nCALL",
    ),
    "both arms": Shape(
        "CL201",
        "if DISTget_rank(GROUP) == 0:\n    CALL  # !\nelse:\n    print(tensor)",
        "if DISTget_rank(GROUP) == 0:\n    CALL\nelse:\n    CALL",
    ),
    "variable": Shape(
        "CL201",
        "rank = DISTget_rank(GROUP)\nfirst = rank == 0\nif path and first:\n    CALL  # !",
        "rank = DISTget_rank(GROUP)\nfirst = rank == 0\nif path:\n    CALL\nif first:\n    print(rank)",
    ),
    "flag": Shape(
        "CL201",
        "flag = False\nif DISTget_rank(GROUP) == 0:\n    flag = True\nif flag:\n    CALL  # !",
        "flag = False\nif DISTget_world_size(GROUP) == 2:\n    flag = True\nif flag:\n    CALL",
    ),
    "match": Shape(
        "CL201",
        "match DISTget_rank(GROUP):\n    case 0:\n        CALL  # !\n    case _:\n        print(tensor)",
        "match path:\n    case 'a':\n        CALL\n    case _:\n        print(tensor)",
    ),
    "ternary": Shape(
        "CL201", "_ = CALL if DISTget_rank(GROUP) == 0 else None  # !", "_ = CALL if path == 'a' else None"
    ),
    "short circuit": Shape("CL201", "_ = DISTget_rank(GROUP) == 0 and CALL  # !", "_ = path == 'a' and CALL"),
    "comprehension": Shape(
        "CL201", "_ = [CALL for _ in path if DISTget_rank(GROUP) == 0]  # !", "_ = [CALL for _ in path if path]"
    ),
    "return": Shape(
        "CL202",
        "if DISTget_rank(GROUP) != 0:\n    return\nCALL  # !",
        "CALL\nif DISTget_rank(GROUP) != 0:\n    return\nprint(tensor)",
    ),
    "break": Shape(
        "CL202",
        "for end in path:\n    if time.time() > end:\n        break\n    CALL  # !",
        "for end in path:\n    late = torch.tensor(time.time() > end)\n    DISTall_reduce(late, group=GROUP)\n"
        "    if late.item():\n        break\n    CALL",
    ),
    "continue": Shape(
        "CL202",
        "for item in path:\n    if not os.path.exists(item):\n        continue\n    CALL  # !",
        "for item in path:\n    if not item:\n        continue\n    CALL",
    ),
    "file": Shape(
        "CL203",
        "if os.path.exists(path):\n    CALL  # !",
        "found = [os.path.exists(path)]\nDISTbroadcast_object_list(found, group=GROUP)\nif found[0]:\n    CALL",
    ),
    "exception": Shape(
        "CL204",
        "try:\n    open(path).close()\n    CALL  # !\nexcept OSError:\n    print(path)",
        "try:\n    open(path).close()\nexcept OSError:\n    print(path)\nCALL",
    ),
    "handler": Shape(
        "CL204",
        "try:\n    open(path).close()\nexcept OSError:\n    CALL  # !",
        "try:\n    open(path).close()\nexcept OSError:\n    print(path)\nfinally:\n    CALL",
    ),
    "loop": Shape(
        "CL205",
        "for _ in range(DISTget_rank(GROUP)):\n    CALL  # !",
        "for _ in range(DISTget_world_size(GROUP)):\n    CALL",
    ),
    "while": Shape(
        "CL205",
        "while os.path.exists(path):\n    CALL  # !",
        "turns = 3\nwhile turns > 0:\n    CALL\n    turns -= 1",
    ),
    "order": Shape(
        "CL206",
        "if DISTget_rank(GROUP) == 0:\n    CALL  # !\n    OTHER\nelse:\n    OTHER\n    CALL",
        "if DISTget_rank(GROUP) == 0:\n    CALL\n    OTHER\nelse:\n    CALL\n    OTHER",
    ),
}


def _collectives() -> dict[str, str]:
    """Each collective of torch.distributed with its arguments, as the catalogue has them."""
    found: dict[str, str] = {}
    for api in load().of("collective"):
        module, _, name = api.name.rpartition(".")
        if module != "torch.distributed":
            continue
        arguments = [f"{param}={_ARGUMENTS[param]}" for param in api.params if param in _ARGUMENTS]
        found[name] = ", ".join([*arguments, "group=group"])
    return found


def _indented(text: str, depth: int = 1) -> str:
    return "".join(f"{'    ' * depth}{line}\n" if line.strip() else "\n" for line in text.splitlines())


def _program(style: Style, reach: Reach, shape: Shape) -> dict[str, str]:
    """The files of one program: for each collective a wrong function and a right one."""
    files = {"main.py": ["import os\nimport time\nimport torch\n" + style.top + "\n"]}
    if reach.file != "main.py":
        files["main.py"].append("import helpers\n")
        files[reach.file] = [style.top + "\n"]
    for name, arguments in _collectives().items():
        collective = f"{style.prefix}{name}({arguments})"
        other = f"{style.prefix}{'all_reduce(torch.ones(1), ' if name == 'barrier' else 'barrier('}group=GROUP)"
        if reach.helpers:
            helpers = reach.helpers.replace("OP", name).replace("CALL", collective)
            helpers = helpers.replace("INSIDE", style.inside or "pass")
            files[reach.file].append(f"\n\n{helpers}")
        call = collective if reach.call == "CALL" else reach.call.replace("OP", name)
        for kind, body in (("wrong", shape.wrong), ("right", shape.right)):
            text = body.replace("CALL", call).replace("OTHER", other).replace("# !", f"# {shape.code}")
            text = text.replace("DIST", style.prefix).replace("GROUP", reach.group)
            parameter = reach.parameter.replace("OP", name)
            head = f"\n\ndef {kind}_{name}(tensor, {parameter}, path):\n"
            files["main.py"].append(head + _indented(f"{style.inside}\n{text}" if style.inside else text))
    return {name: "".join(parts) for name, parts in files.items()}


def _programs() -> Iterator[object]:
    """Every combination. Those that are not slow have every pair of a style, a reach and a shape among them."""
    for (s, style), (r, reach), (n, shape) in product(enumerate(_STYLES), enumerate(_REACHES), enumerate(_SHAPES)):
        marks = () if s == (r + n) % len(_STYLES) else pytest.mark.slow
        yield pytest.param(_STYLES[style], _REACHES[reach], _SHAPES[shape], id=f"{shape}-{reach}-{style}", marks=marks)


def test_every_pair_is_tried_each_time() -> None:
    marked = {param.id: param.marks for param in _programs()}
    tried = [name.split("-") for name, marks in marked.items() if not marks]
    for one, two in ((0, 1), (0, 2), (1, 2)):
        assert {(name[one], name[two]) for name in tried} == {
            (name[one], name[two]) for name in (known.split("-") for known in marked)
        }


def test_every_collective_is_there() -> None:
    """The arguments above are enough to call every collective of the catalogue."""
    assert len(_collectives()) > 15
    assert {"barrier", "all_reduce", "all_to_all_single", "broadcast_object_list"} <= _collectives().keys()


@pytest.mark.parametrize(("style", "reach", "shape"), list(_programs()))
def test_wrong_lines_and_no_others(project: Project, style: Style, reach: Reach, shape: Shape) -> None:
    # Of the files that are looked for no rank is seen to write any.
    project.check_marked(_program(style, reach, shape), select=_CODES, min_confidence="low")


def test_a_group_made_where_it_is_first_needed(project: Project) -> None:
    """Also below a function that has more collectives than are kept of it one by one."""
    steps = "\n".join(f"    if config[{n}]:\n        dist.all_reduce(tensors[{n}], group=group)" for n in range(250))
    project.check_marked(
        f"""import torch.distributed as dist


def group_of_all():
    if not hasattr(group_of_all, "group"):
        group_of_all.group = dist.new_group()
    return group_of_all.group


def rendezvous():
    return dist.new_group(backend="gloo")


def many(config, tensors, group):
    group_of_all()
{steps}


def every_time(config, tensors, group):
    rendezvous()
{steps}


def on_one_rank(config, tensors, group):
    if dist.get_rank() == 0:
        many(config, tensors, group)


def on_one_rank_every_time(config, tensors, group):
    if dist.get_rank() == 0:
        every_time(config, tensors, group)  # CL105
""",
        select=["CL105"],
    )


def test_a_condition_is_named_by_its_head(project: Project) -> None:
    """Not with all that stands below it."""
    project.write("""import os

import torch.distributed as dist
from lightning.pytorch.utilities import rank_zero_only


@rank_zero_only
def save():
    dist.barrier(group=dist.group.WORLD)


def wait(path, group):
    while os.path.exists(path):
        dist.barrier(group=group)
""")
    messages = [finding.message for finding in project.lint(select=["CL201", "CL203", "CL205"]).findings]
    assert len(messages) == 2, messages
    assert "a decorator of `save` calls it" in messages[0]
    assert "while os.path.exists(path): dist" not in messages[1]
