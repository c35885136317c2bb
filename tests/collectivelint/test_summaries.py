"""Summaries of whole programs: the same in whichever order functions are asked for, and however a recursion is spelt."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from collectivelint.analysis import program as analysis_program
from collectivelint.analysis.domain.symbol import parameter
from collectivelint.analysis.effects import size
from collectivelint.analysis.summary import fixpoint
from collectivelint.compiled import is_compiled
from collectivelint.engine import Linter
from collectivelint.program import Target
from collectivelint.settings import Resolver

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collectivelint.analysis.program import Analysis
    from collectivelint.analysis.summary.facts import FunctionFacts
    from tests.conftest import Project

HEAD: Final = "import torch.distributed as dist\n"


def _analysis() -> Analysis:
    return Linter(Resolver({}, isolated=True)).analysis([Path()])


def program(random_: random.Random) -> dict[str, str]:
    """Three files of functions, methods and functions in functions that call each other across the files."""
    names = [f"f{number}" for number in range(9)]
    where = {name: f"m{number % 3}" for number, name in enumerate(names)}
    return {f"{module}.py": _module(random_, module, where) for module in ("m0", "m1", "m2")}


def _module(random_: random.Random, module: str, where: Mapping[str, str]) -> str:
    imports = "".join(f"from {other} import {name}\n" for name, other in where.items() if other != module)
    imports += "".join(f"from {other} import C{other}\n" for other in ("m0", "m1", "m2") if other != module)
    functions = "".join(_function(random_, name, where) for name, other in where.items() if other == module)
    return f"import os\n{HEAD}{imports}\n{functions}\n{_class(random_, module, where)}"


def _function(random_: random.Random, name: str, where: Mapping[str, str]) -> str:
    inner = (
        f"    def inner(y):\n        {_statement(random_, where)}\n        return y\n" if random_.random() < 0.3 else ""
    )
    use = "    x = inner(x)\n" if inner and random_.random() < 0.5 else ""
    body = "".join(_guarded(random_, where) for _ in range(3))
    return f"def {name}(x, group):\n{inner}{use}{body}    return {random_.choice(['x', 'group', 'None', _call(random_, where)])}\n\n"


def _class(random_: random.Random, module: str, where: Mapping[str, str]) -> str:
    return (
        f"class C{module}:\n    def __init__(self, group):\n        self.group = group\n"
        f"        self.other = {random_.choice(['None', 'Cm0(group)', 'Cm1(group)', 'Cm2(group)'])}\n"
        f"    def run(self, x, group):\n        {_statement(random_, where)}\n        self.rank = {_call(random_, where)}\n"
        f"        if self.other is not None:\n            self.other.run(x, self.group)\n        return self.rank\n"
    )


def _guarded(random_: random.Random, where: Mapping[str, str]) -> str:
    test = random_.choice(["dist.get_rank() == 0", "x", "group is None", "os.path.exists(x)", _call(random_, where)])
    if random_.random() < 0.4:
        return f"    if {test}:\n        {_statement(random_, where)}\n"
    return f"    {_statement(random_, where)}\n"


def _statement(random_: random.Random, where: Mapping[str, str]) -> str:
    effects = ["dist.barrier(group=group)", "dist.all_reduce(x)", "x = dist.get_rank()", "open('a', 'w')", "pass"]
    calls = [
        _call(random_, where),
        f"x = {_call(random_, where)}",
        "Cm0(group).run(x, group)",
        "x = Cm1(group).run(x, None)",
    ]
    chosen = random_.choice(effects + calls)
    return chosen.replace("group", "None") if random_.random() < 0.1 and "Cm" not in chosen else chosen


def _call(random_: random.Random, where: Mapping[str, str]) -> str:
    return (
        f"{random_.choice(list(where))}({random_.choice(['x', 'None', 'x - 1'])}, {random_.choice(['group', 'None'])})"
    )


@pytest.mark.parametrize("seed", range(40))
def test_the_order_in_which_functions_are_asked_for_does_not_matter(project: Project, seed: int) -> None:
    random_ = random.Random(seed)
    project.write(program(random_))
    expected = None
    for _ in range(4):
        analysis = _analysis()
        targets = [
            Target("function", path, qualname)
            for path in analysis.paths
            for qualname in analysis.program.functions(path)
        ]
        random_.shuffle(targets)
        facts = {target: _facts(analysis, target) for target in targets}
        found = {target: known.observed() for target, known in facts.items()}
        expected = expected or found
        assert found.keys() == expected.keys()
        for target, summary in found.items():
            assert summary == expected[target], target
        assert not analysis.unsettled


def _facts(analysis: Analysis, target: Target) -> FunctionFacts:
    found = analysis.facts(target)
    assert found is not None
    return found


RECURSIONS: Final = {
    "itself": "def f(x, n, group):\n    dist.all_reduce(x, group=group)\n    if n:\n        f(x, n - 1, group)\n",
    "another": (
        "def f(x, n, group):\n    dist.all_reduce(x, group=group)\n    if n:\n        g(x, n - 1, group)\n"
        "def g(x, n, group):\n    f(x, n, group)\n"
    ),
    "a tree": (
        "def f(x, n, group):\n    dist.all_reduce(x, group=group)\n    if n:\n        f(x, n - 1, group)\n        f(x, n - 2, group)\n"
    ),
    "a method": (
        "class C:\n    def f(self, x, n, group):\n        dist.all_reduce(x, group=group)\n"
        "        if n:\n            self.f(x, n - 1, group)\n"
        "def f(x, n, group):\n    C().f(x, n, group)\n"
    ),
}


@pytest.mark.parametrize("text", RECURSIONS.values(), ids=RECURSIONS)
def test_a_recursion_has_the_same_summary_however_it_is_spelt(
    project: Project, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    times = _counted(monkeypatch)
    project.write(HEAD + text)
    facts = _facts(_analysis(), Target("function", "main.py", "f"))
    assert (size(facts.summary), [event.token for event in facts.events]) == (
        1,
        [("all_reduce", parameter("group"), "")],
    )
    assert max(times.values()) <= 3


def test_functions_that_all_call_each_other_settle(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    times = _counted(monkeypatch)
    many = 12
    project.write(
        HEAD
        + "".join(
            f"def f{number}(x, n, group):\n    dist.all_reduce(x, group=group)\n"
            + "".join(f"    if n == {other}:\n        f{other}(x, n, group)\n" for other in range(many))
            for number in range(many)
        )
    )
    analysis = _analysis()
    assert len(list(analysis.functions)) == many + 1
    assert not analysis.unsettled
    assert max(times.values()) <= 5


GROWING: Final = {
    "a value": "def f(x, n):\n    return f(x, n - 1).next\n",
    "a value that ends": "def f(x, n):\n    if n:\n        return x\n    return f(x, n - 1).next\n",
    "an attribute": "class C:\n    def f(self, n):\n        self.x = self.f(n).next\n        return self.x\n",
    "an argument": "def f(group, n):\n    dist.barrier(group=group)\n    f(group.next, n)\n    g(group.other, n)\n"
    "def g(group, n):\n    dist.barrier(group=group)\n    f(group.g, n)\n",
    "a container": "def f(n):\n    return [f(n), f(n)]\n",
}


@pytest.mark.parametrize("text", GROWING.values(), ids=GROWING)
def test_what_grows_with_each_recursive_call_is_widened(
    project: Project, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    times = _counted(monkeypatch)
    project.write(HEAD + text)
    analysis = _analysis()
    assert list(analysis.functions)
    assert not analysis.unsettled
    assert max(times.values()) <= 8


@pytest.mark.slow
def test_recursions_that_are_given_up_are_counted_over_all_processes(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_compiled():
        pytest.skip("the bound is a part of the machine code")
    monkeypatch.setattr(fixpoint, "_PLAIN", 1000)
    text = GROWING["a value"]
    files = {"main.py": HEAD + text, "other.py": HEAD + text}
    project.write(files | {f"p{number}.py": "from main import f\n\ndef g(x):\n    f(x, 1)\n" for number in range(130)})
    for jobs in ("1", "2"):
        ran = project.run("check", "--no-cache", "--isolated", "--verbose", "--jobs", jobs)
        assert "2 functions in recursions approximated: no fixed point within the bound" in ran.err
    monkeypatch.undo()
    assert "approximated" not in project.run("check", "--no-cache", "--isolated", "--verbose").err


def _counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each function is interpreted from now on."""
    times: Counter[str] = Counter()
    original = analysis_program.interpret

    def counting(context: object, function: object, closure: object) -> FunctionFacts:
        times[function.qualname] += 1  # type: ignore[attr-defined]
        return original(context, function, closure)  # type: ignore[arg-type]

    monkeypatch.setattr(analysis_program, "interpret", counting)
    return times
