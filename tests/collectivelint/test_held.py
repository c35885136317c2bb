"""A process that lints again and again computes only what an edit changes, and finds what a new one without a cache finds."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from collectivelint.analysis import program as analysis_program
from collectivelint.engine import Linter
from collectivelint.findings.confidence import Confidence
from collectivelint.incremental.opened import Held
from collectivelint.incremental.store import FOLDER
from collectivelint.server import session
from collectivelint.settings import Resolver
from collectivelint.source.text import Source

from .test_spread import _edited as edited
from .test_summaries import program as circles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collectivelint.finding import Finding
    from tests.conftest import Project

_HEAD: Final = "import os\nimport torch.distributed as dist\n"
_SIZE: Final = 5


def _linter(texts: Mapping[str, str], held: Held | None) -> Linter:
    resolver = Resolver({"min_confidence": Confidence.LOW})
    sources = {path: Source(path, text, "utf-8", bom=False) for path, text in texts.items()}
    return Linter(resolver, sources, cache_folder=Path(FOLDER) if held is not None else None, fixing=True, held=held)


def _layers(random_: random.Random) -> dict[str, str]:
    """Files of which each calls those before it: no circle of calls between files."""
    return {f"m{number}.py": _layer(random_, number) for number in range(_SIZE)}


def _layer(random_: random.Random, number: int) -> str:
    below = [f"f{other}{part}" for other in range(number) for part in "ab"]
    imports = "".join(f"from m{other} import C{other}, f{other}a, f{other}b\n" for other in range(number))
    calls = [f"x = {name}(x, group)" for name in below] or ["x = dist.get_rank(group)"]
    calls += ["dist.barrier(group=group)", "dist.all_reduce(x, group=group)", "x = dist.get_rank(group)", "x = len(x)"]
    calls += [f"x = C{other}(group).run(x)" for other in range(number)]

    def body(indent: str) -> str:
        lines = []
        for _ in range(random_.choice([1, 2, 3])):
            call = random_.choice(calls)
            guarded = f"if {random_.choice(['x == 0', 'group', 'os.path.exists(x)'])}:\n{indent}    {call}"
            lines.append(f"{indent}{guarded if random_.random() < 0.5 else call}\n")
        return "".join(lines)

    inner = f"    def inner(y):\n        x = y\n{body(' ' * 8)}        return x\n    x = inner(x)\n"
    functions = "".join(
        f"def f{number}{part}(x, group):\n{inner if random_.random() < 0.4 else ''}{body('    ')}    return x\n\n"
        for part in "ab"
    )
    base = f"(C{random_.randrange(number)})" if number and random_.random() < 0.5 else ""
    method = f"    def run(self, x):\n        group = self.group\n{body(' ' * 8)}        return x\n\n"
    init = f"    def __init__(self, group):\n        self.group = group\n        self.x = {random_.choice(['0', 'dist.get_rank()'])}\n"
    return f"{_HEAD}{imports}\n{functions}class C{number}{base}:\n{init}{method}"


def _changed(random_: random.Random, name: str, text: str, fresh: str, before: list[str]) -> str:
    """Another text of a file: other statements, other definitions, broken, or as it has been."""
    edit = random_.choice(["bodies", "bodies", "bodies", "line", "other", "other", "broken", "undo", "variable"])
    if edit == "undo" and before:
        return random_.choice(before)
    if edit == "bodies":
        # The file shows the same to others.
        bodies = dict(re.findall(r"(?ms)^( *def \w+)(\(.*?)(?=^ *def |^class |\Z)", fresh))
        parts = re.split(r"(?m)^(?= *def |class )", text)
        at = random_.randrange(len(parts))
        head = parts[at].partition("(")[0]
        if head in bodies and " def inner" not in parts[at] + bodies[head]:
            parts[at] = head + bodies[head]
        return "".join(parts)
    if edit == "line":
        lines = text.split("\n")
        at = random_.choice([number for number, line in enumerate(lines) if re.match(r" +(x =|dist|return)", line)])
        indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
        lines.insert(at, indent + random_.choice(["# a comment", "x = dist.get_rank()", "dist.barrier()", "print(x)"]))
        return "\n".join(lines)
    if edit == "broken":
        return text + "x = (\n"
    if edit == "variable":
        return text + f"\nVARIABLE = {random_.randrange(9)}\n"
    return edited(random_, text, fresh)


def _observed(linter: Linter, texts: Mapping[str, str]) -> dict[tuple[str, str], Any]:
    analysis = linter.analysis([Path(path) for path in texts])
    return {(facts.function.path, facts.function.qualname): facts.observed() for facts in analysis.functions}


@pytest.mark.parametrize("seed", range(16))
def test_any_edits_of_open_files(project: Project, seed: int) -> None:
    random_ = random.Random(seed)
    generate = _layers if seed % 4 else circles
    disk = generate(random_)
    project.write(disk)
    held, texts, before = Held(), {}, {name: [text] for name, text in disk.items()}
    for step in range(12):
        name = random_.choice(sorted(disk))
        known = texts.get(name, disk[name])
        text = _changed(random_, name, known, generate(random_)[name], before[name])
        before[name].append(text)
        match random_.choice(["edit", "edit", "edit", "edit", "beside", "close", "configuration"]):
            case "beside":
                disk[name] = text
                project.write({name: text})
            case "close":
                texts.pop(name, None)
            case "configuration" if step > 4:
                wanted = random_.choice([f"collectives = ['m0.f{random_.choice('0a')}']", "", "uniform = ['m0.f0a']"])
                project.write({"pyproject.toml": f"[tool.collectivelint.catalog]\n{wanted}\n"})
            case _:
                texts[name] = text
        asked = [Path(path) for path in sorted(texts)] or [Path(name)]
        kept, fresh = _linter(texts, held), _linter(texts, None)
        result, expected = kept.run(asked), fresh.run(asked)
        assert (result.findings, result.hidden) == (expected.findings, expected.hidden)
        assert result.errors == expected.errors == []
        if random_.random() < 0.4:
            assert _observed(kept, texts) == _observed(fresh, texts)
        assert len(held) <= 2


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The functions that are interpreted from now on."""
    names: list[str] = []
    original = analysis_program.interpret

    def noting(context: Any, function: Any, closure: Any) -> Any:
        names.append(function.qualname)
        return original(context, function, closure)

    monkeypatch.setattr(analysis_program, "interpret", noting)
    return names


_BELOW: Final = f"{_HEAD}\n\ndef low(group):\n    dist.barrier(group=group)\n\n\ndef lower(group):\n    return group\n"
_ABOVE: Final = (
    f"{_HEAD}from below import low\n\n\ndef high(group):\n    if dist.get_rank(group) == 0:\n        low(group)\n\n\n"
    "def apart(x):\n    x = 1\n    return x\n"
)


def _lint(root: Path, texts: Mapping[str, str]) -> dict[str, list[Finding]]:
    linted = session.lint({root / name: text for name, text in texts.items()})
    assert linted.problems == []
    return {Path(path).name: found for path, found in linted.findings.items()}


def test_an_edit_costs_what_rests_on_the_file(project: Project, interpreted: list[str]) -> None:
    project.write({"pyproject.toml": "", "below.py": _BELOW, "above.py": _ABOVE, "open.py": "from above import high\n"})
    _lint(project.root, {"above.py": _ABOVE})
    assert "low" in interpreted
    interpreted.clear()
    found = _lint(project.root, {"above.py": _ABOVE.replace("x = 1", "x = 2")})
    assert [finding.code for finding in found["above.py"]] == ["CL201"]
    assert "low" not in interpreted
    assert "apart" in interpreted
    interpreted.clear()
    # Undone.
    _lint(project.root, {"above.py": _ABOVE})
    assert "low" not in interpreted
    interpreted.clear()
    # Nothing has changed, but another file is open.
    _lint(project.root, {"above.py": _ABOVE, "open.py": "from above import high\n"})
    assert set(interpreted) == {"<module>"}
    interpreted.clear()
    # A callee has changed on the disk.
    project.write({"below.py": _BELOW.replace("dist.barrier(group=group)", "print(group)")})
    assert _lint(project.root, {"above.py": _ABOVE})["above.py"] == []
    assert {"low", "high"} <= set(interpreted)


def test_a_file_that_is_broken_for_a_moment(project: Project, interpreted: list[str]) -> None:
    project.write({"pyproject.toml": "", "below.py": _BELOW, "above.py": _ABOVE})
    _lint(project.root, {"above.py": _ABOVE})
    for text in ("(", "(("):
        found = _lint(project.root, {"above.py": _ABOVE + text})
        assert [finding.code for finding in found["above.py"]] == ["CL000"]
    interpreted.clear()
    assert [finding.code for finding in _lint(project.root, {"above.py": _ABOVE + "\n"})["above.py"]] == ["CL201"]
    assert "low" not in interpreted


def test_the_call_at_the_cursor_is_that_of_the_text_as_it_is(project: Project) -> None:
    project.write({"pyproject.toml": "", "below.py": _BELOW, "above.py": _ABOVE})
    path = project.root / "above.py"
    first = session.lint({path: _ABOVE})
    assert "**barrier**" in session.describe(first, path, 8, 9)
    moved = session.lint({path: _ABOVE.replace("def high", "# a comment\ndef high")})
    assert session.describe(moved, path, 8, 9) == ""
    assert "**barrier**" in session.describe(moved, path, 9, 9)
    # What the answers are about is not there any more.
    assert session.describe(first, path, 8, 9) == ""
