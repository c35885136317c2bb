"""How a message names the condition that keeps ranks from a collective."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

from collectivelint.source.excerpt import excerpt

if TYPE_CHECKING:
    from tests.conftest import Project

_HEAD: Final = "import random\n\nimport torch.distributed as dist\n\n\n"

#: A function's body, the codes to run, and how the message of its only finding names the condition.
_NAMED: Final[list[tuple[str, str, str]]] = [
    ("if dist.get_rank() == 0 and x:\n        dist.barrier()", "CL201", "`dist.get_rank() == 0 and x` is true"),
    (
        "if x:\n        pass\n    elif dist.get_rank() == 0:\n        dist.barrier()",
        "CL201",
        "`dist.get_rank() == 0` is true",
    ),
    ("return dist.barrier() if dist.get_rank() == 0 else None", "CL201", "`dist.get_rank() == 0` is true"),
    ("return None if dist.get_rank() != 0 else dist.barrier()", "CL201", "`dist.get_rank() != 0` is false"),
    ("return dist.barrier() if dist.get_rank() != 0 else None", "CL201", "`dist.get_rank() != 0` is true"),
    ("return dist.get_rank() == 0 and dist.barrier()", "CL201", "`dist.get_rank() == 0` is true"),
    ("return dist.get_rank() != 0 and dist.barrier()", "CL201", "`dist.get_rank() != 0` is true"),
    ("return x and dist.get_rank() == 0 and dist.barrier()", "CL201", "`dist.get_rank() == 0` is true"),
    ("return 0 < dist.get_rank() < x.size(dist.barrier())", "CL201", "`0 < dist.get_rank()` is true"),
    ("dist.get_rank() == 0 or dist.barrier()", "CL201", "`dist.get_rank() == 0` is false"),
    ("assert dist.get_rank() == 0 and dist.barrier() is None", "CL201", "`dist.get_rank() == 0` is true"),
    ("return [dist.barrier() for _ in x if dist.get_rank() == 0]", "CL201", "`dist.get_rank() == 0` is true"),
    ("if (rank := dist.get_rank()) == 0:\n        dist.barrier()", "CL201", "`(rank := dist.get_rank()) == 0` is true"),
    (
        "if dist.get_rank() == 0 and dist.barrier() is None:\n        print(x)",
        "CL201",
        "`dist.get_rank() == 0` is true",
    ),
    (
        "if not (dist.get_rank() != 0 or dist.barrier()):\n        print(x)",
        "CL201",
        "`dist.get_rank() != 0` is false",
    ),
    (
        "if (x or dist.get_rank() == 0) and dist.barrier() is None:\n        print(x)",
        "CL201",
        "`x or dist.get_rank() == 0` is true",
    ),
    (
        "if (\n        dist.get_rank() == 0  # only the first\n        and x == 'a  b'\n    ):\n        dist.barrier()",
        "CL201",
        "`dist.get_rank() == 0 and x == 'a  b'` is true",
    ),
    (
        "match dist.get_rank():\n        case 0:\n            dist.barrier()",
        "CL201",
        "`dist.get_rank()` matches `0`",
    ),
    (
        "match dist.get_rank():\n        case 0:\n            pass\n        case _:\n            dist.barrier()",
        "CL201",
        "`dist.get_rank()` does not match `0`",
    ),
    (
        "match dist.get_rank():\n        case 0 if x:\n            dist.barrier()",
        "CL201",
        "`dist.get_rank()` matches `0 if x`",
    ),
    (
        "match dist.get_rank():\n        case 0 if dist.barrier():\n            print(x)",
        "CL201",
        "`dist.get_rank()` matches `0`",
    ),
    (
        "match x:\n        case _ if dist.get_rank() == 0:\n            dist.barrier()",
        "CL201",
        "`dist.get_rank() == 0` is true",
    ),
    (
        "while random.random() < x[1: 2]:\n        dist.barrier()",
        "CL205",
        "once per iteration of `while random.random() < x[1: 2]`",
    ),
    (
        "for _ in range(random.randint(1, 3)):\n        dist.barrier()",
        "CL205",
        "the loop over `range(random.randint(1, 3))`",
    ),
    (
        "for _ in range(random.randint(1, 3)):\n        dist.new_group([0])",
        "CL105",
        "the loop over `range(random.randint(1, 3))` continues",
    ),
    ("try:\n        open(x)\n    except OSError:\n        dist.new_group([0])", "CL105", "an exception was caught"),
]


@pytest.mark.parametrize(("body", "code", "named"), _NAMED)
def test_named_in_the_message(project: Project, body: str, code: str, named: str) -> None:
    project.write(f"{_HEAD}def f(x):\n    {body}\n")
    (finding,) = project.lint(select=[code]).findings
    assert named in finding.message


def test_a_lambda(project: Project) -> None:
    project.write(
        f"{_HEAD}def run(step):\n    step()\n\n\ndef f(x):\n    run(lambda: x and dist.get_rank() == 0 and dist.barrier())\n"
    )
    (finding,) = project.lint(select=["CL201"]).findings
    assert "`dist.get_rank() == 0` is true" in finding.message


def test_of_equal_conditions_the_one_around_the_collective(project: Project) -> None:
    project.write(
        _HEAD + "def f(x):\n    rank = dist.get_rank()\n    if rank == 0:\n        dist.all_reduce(x)\n"
        "    print(x)\n    if x is not None and rank == 0:\n        print(x)\n        dist.barrier()\n"
    )
    first, second = project.lint(select=["CL201"]).findings
    assert [step.line for step in first.trail] == [7, 8, 9]
    assert [step.line for step in second.trail] == [7, 11, 13]
    assert "`x is not None and rank == 0` is true" in second.message
    # The same statement is the one to repair.
    assert second.fix is not None


def test_of_equal_conditions_the_one_that_left(project: Project) -> None:
    project.write(
        _HEAD + "def f(x):\n    done = random.random() < 0.1\n    if done:\n        dist.barrier()\n"
        "    if done or x is None:\n        return\n    dist.all_reduce(x)\n"
    )
    trails = {finding.code: [step.line for step in finding.trail] for finding in project.lint().findings}
    assert trails["CL203"] == [7, 8, 9]
    assert trails["CL202"] == [7, 10, 12]


def test_ranks_that_do_the_rest_in_a_ternary_and_in_a_branch(project: Project) -> None:
    project.write(
        f"{_HEAD}def f(x):\n    dist.all_reduce(x) if dist.get_rank() != 0 else None\n"
        "    if dist.get_rank() == 0:\n        dist.all_reduce(x)\n"
    )
    assert project.found(select=["CL201"]) == []


def test_show_analysis_names_other_files(project: Project) -> None:
    project.write(
        {
            "main.py": "from comm import sync\n\n\ndef main(flag):\n    for _ in range(3):\n        sync(flag)\n",
            "comm.py": f"{_HEAD}def sync(flag):\n    if flag:\n        dist.barrier()\n    else:\n        pass\n",
        }
    )
    out = project.run("check", "--isolated", "--no-cache", "--show-analysis", "main", ".").out
    assert "comm.py:7: if `flag`" in out
    assert "line 6: barrier on the default group, through sync" in out
    # Every rank makes three iterations.
    assert "  in a loop\n" in out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rank  ==   0", "rank == 0"),
        ("a \\\n    and b", "a and b"),
        ("f(\n    a,\n    b\n)", "f(a, b)"),
        ("value\n.attribute", "value.attribute"),
        ("x == 'two  spaces # and a mark'", "x == 'two  spaces # and a mark'"),
        ("x == f'{a}  {{b}} {c!r:>{w}}'", "x == f'{a}  {{b}} {c!r:>{w}}'"),
        ('x == """a\n  b"""', 'x == """a\\n  b"""'),
        ("x == 'ü' and é", "x == 'ü' and é"),
        ("x[1: 2]", "x[1: 2]"),
        ("lambda: (yield)", "lambda: (yield)"),
        ("'unterminated", "'unterminated"),
        ("", ""),
    ],
)
def test_one_line(text: str, expected: str) -> None:
    assert excerpt(text) == expected


@pytest.mark.parametrize("string", ["'long  text'", "f'{long}  text'", "b'long  text'", "'''long\n  text'''"])
@pytest.mark.parametrize("length", range(12, 60))
def test_never_cut_in_a_string(string: str, length: int) -> None:
    text = f"rank == 0 and name == {string} or other.attribute(argument, {string})"
    cut = excerpt(text, length)
    assert len(cut) <= length
    quotes = re.findall(r"'+", cut)
    assert len(quotes) % 2 == 0
    assert excerpt(text, 200).startswith(cut.removesuffix("...").rstrip())
