"""Generated code: deep, long and wide. It costs what its size suggests, or gets one clear message, and the rest is done."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from collectivelint.analysis import effects
from collectivelint.analysis.checks import alignment, comparison, sides
from collectivelint.compiled import is_compiled

if TYPE_CHECKING:
    from ..conftest import Project

DIST = "import torch.distributed as dist\n"
BESIDE = {"beside.py": f"{DIST}\n\ndef f():\n    dist.barrier()  # CL101\n"}
#: What `ast` itself can parse: Python 3.12 has a limit of its own.
TERMS = 900 if sys.version_info[:2] == (3, 12) else 9_000
SUMS = {
    "plus": " + ".join(["y"] * TERMS),
    "mixed": " - ".join(["y * z + 1"] * (TERMS // 3)),
    "text": "(\n" + "\n+ ".join(["'a'"] * TERMS) + ")",
    "and": " and ".join(["y"] * 15_000),
    "compare": " < ".join(["y"] * 15_000),
}
DEEP = {
    "calls": "y" + ".z()" * 15_000,
    "attributes": "y" + ".z" * 15_000,
    "not": "not " * 9_000 + "y",
    "minus": "-" * 9_000 + "y",
    "ternary": "a if b else " * 9_000 + "c",
    "lambda": "lambda: " * 9_000 + "c",
    "power": "**".join(["y"] * 9_000),
}


@pytest.mark.parametrize("value", SUMS.values(), ids=SUMS)
def test_a_long_sum_or_condition_is_linted(project: Project, value: str) -> None:
    project.check_marked({**BESIDE, "a.py": f"{DIST}x = {value}\ndist.barrier()  # CL101\n"}, select=["CL000", "CL101"])


@pytest.mark.parametrize("value", DEEP.values(), ids=DEEP)
def test_what_is_nested_too_deeply_gets_one_message(project: Project, value: str) -> None:
    project.write({**BESIDE, "a.py": f"{DIST}x = 1\nx = {value}\ndist.barrier()\n"})
    found = project.found(select=["CL000", "CL101"])
    assert ("beside.py", 5, "CL101") in found
    assert [code for path, _, code in found if path == "a.py"] == ["CL000"]
    message = next(finding.message for finding in project.lint().findings if finding.code == "CL000")
    assert "nested too deeply" in message or "too many nested" in message


#: Just below what is refused; machine code has no limit of recursion that would keep it from the end of the stack.
NEARLY = {
    "calls": "y" + ".z()" * 950,
    "arguments": "z(" * 90 + "y" + ".z(1)" * 850 + ")" * 90,
    "attributes": "y" + ".z" * 1_900,
    "not": "not " * 1_900 + "y",
    "ternary": "a if b else " * 1_900 + "c",
    "lambda": "lambda: " * 1_900 + "c",
    "power": "**".join(["y"] * 1_900),
}


@pytest.mark.parametrize("value", NEARLY.values(), ids=NEARLY)
@pytest.mark.parametrize(
    "place", ["x = {}", "dist.all_reduce({})", "if {}:\n    pass", "return {}"], ids=["=", "()", "if", "return"]
)
def test_what_is_nearly_too_deep_is_linted_or_gets_one_message(project: Project, value: str, place: str) -> None:
    body = place.format(f"({value})").replace("\n", "\n    ")
    project.write(
        {"a.py": f"{DIST}\n\ndef f(y, group):\n    {body}\n\n\ndef g(group):\n    f(1, group)\n    dist.barrier()\n"}
    )
    assert {code for _, _, code in project.found(select=["CL000", "CL101"])} in ({"CL000"}, {"CL101"})


@pytest.mark.parametrize(
    "value",
    ["y" + ".z()" * 600, " + ".join(["y"] * TERMS), "not " * 900 + "y", "(" + "'a'\n" * 9_000 + ")"],
)
def test_a_finding_in_a_deep_statement_has_no_fix_and_does_no_harm(project: Project, value: str) -> None:
    """libcst would take minutes for such a statement, or end the process."""
    project.write(f"{DIST}\n\ndef f(y, group):\n    dist.all_reduce({value})\n    dist.barrier()\n")
    first, second = [finding for finding in project.lint(unsafe_fixes=True).findings if finding.code == "CL101"]
    assert (first.location.row, first.fix, second.fix is None) == (5, None, False)


def test_a_long_chain_of_branches_is_linted(project: Project) -> None:
    branches = "".join(f"    elif x == {n}:\n        dist.barrier(group=group)\n" for n in range(700))
    project.check_marked(
        f"{DIST}\n\ndef f(x, group):\n    if x is None:\n        dist.barrier()  # CL101\n{branches}",
        select=["CL000", "CL101"],
    )


WIDE = {
    "operands": lambda n: f"    if {' or '.join(f'r == {i}' for i in range(n))}:\n        dist.barrier(group=g)\n",
    "returns": lambda n: "".join(
        f"    if x.a{i} and r == {i}:\n        dist.barrier(group=g)\n        return {i}\n" for i in range(n)
    ),
}


@pytest.mark.parametrize("make", WIDE.values(), ids=WIDE)
def test_wide_functions_take_no_more_than_the_square_of_their_width(
    project: Project, monkeypatch: pytest.MonkeyPatch, make: object
) -> None:
    """Steps are counted, not timed: each of n conditions may look once at what n others guard."""
    if is_compiled():
        pytest.skip("machine code calls its functions without looking them up")
    counted: Counter[str] = Counter()

    def counting(module: object, name: str) -> None:
        original = getattr(module, name)

        def count(*args: object, **kwargs: object) -> object:
            counted[name] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(module, name, count)

    counting(effects, "with_parts")
    for module, name in ((alignment, "_compare"), (alignment, "same"), (sides, "_side"), (comparison, "_places")):
        counting(module, name)
    totals = []
    for n in (25, 50, 100):
        counted.clear()
        project.write(f"{DIST}\n\ndef f(x, g: dist.ProcessGroup):\n    r = dist.get_rank(g)\n{make(n)}")  # type: ignore[operator]
        assert project.found(select=["CL201"])
        totals.append(counted.total())
    assert totals[2] < 4.5 * totals[1] < 4.5 * 4.5 * totals[0]
    assert totals[2] < 10 * 100 * 100


def test_a_condition_of_very_many_operands_is_taken_as_a_whole(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_compiled():
        pytest.skip("machine code calls its functions without looking them up")
    counted: Counter[str] = Counter()
    original = alignment._compare

    def compare(*args: object) -> object:
        counted["compare"] += 1
        return original(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(alignment, "_compare", compare)
    condition = " or ".join(f"(r == {i} and x == {i})" for i in range(300))
    project.write(
        f"{DIST}\n\ndef f(x, g: dist.ProcessGroup):\n    r = dist.get_rank(g)\n    if {condition}:\n        dist.barrier(g)\n"
    )
    assert project.found(select=["CL201"]) == [("main.py", 7, "CL201")]
    assert counted.total() < 1_000
