"""What runs a function is looked for once: the next run asks again only where something it rests on has changed."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from collectivelint.engine import Linter
from collectivelint.findings.confidence import Confidence
from collectivelint.incremental.store import FOLDER
from collectivelint.reach.answers import Answers, Question, Verdict, digest
from collectivelint.reach.standing import Reach
from collectivelint.reach.texts import has_word, without_comments
from collectivelint.settings import Resolver

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Project

_LIBRARY: Final = """import random

import torch.distributed as dist


def sync(x):
    if random.random() < 0.5:
        dist.barrier()
"""
_ALONE: Final = 'from lib import sync\n\nif __name__ == "__main__":\n    sync("x")\n'
_TRAIN: Final = """import torch.distributed as dist
from lib import sync

if __name__ == "__main__":
    dist.init_process_group("nccl")
    sync("x")
"""


def _lint(*, cached: bool = True) -> list[tuple[str, int, str]]:
    resolver = Resolver({"min_confidence": Confidence.HIGH, "select": ["CL203"]}, isolated=True)
    result = Linter(resolver, cache_folder=Path(FOLDER) if cached else None).run([Path()])
    assert result.errors == []
    return [(finding.path, finding.location.row, finding.code) for finding in result.findings]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Question]:
    """The questions that were looked into."""
    found: list[Question] = []
    verdict = Reach.verdict

    def noted(self: Reach, question: Question) -> Verdict:
        found.append(question)
        return verdict(self, question)

    monkeypatch.setattr(Reach, "verdict", noted)
    return found


def _asking(asked: list[Question], run: Callable[[], object]) -> int:
    asked.clear()
    run()
    return len(asked)


def test_nothing_is_asked_again_where_nothing_has_changed(project: Project, asked: list[Question]) -> None:
    project.write({"lib.py": _LIBRARY, "train.py": _TRAIN})
    assert _asking(asked, _lint) == 1
    assert _asking(asked, _lint) == 0
    assert _lint() == [("lib.py", 8, "CL203")]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("train.py", f"# sync\n{_TRAIN}\n\n# the end\n"),
        ("lib.py", _LIBRARY.replace("dist.barrier()", "dist.barrier()  # all")),
        ("other.py", "def f(x):\n    return x + 1\n"),
        ("other.py", "# sync(1)\nx = 1  # sync\n"),
    ],
)
def test_comments_and_files_that_say_nothing_about_it(
    project: Project, asked: list[Question], file: str, text: str
) -> None:
    project.write({"lib.py": _LIBRARY, "train.py": _TRAIN, "other.py": "x = 1\n"})
    first = _lint()
    project.write({file: text})
    assert _asking(asked, _lint) == 0
    assert _lint() == first == _lint(cached=False)


def test_a_program_that_has_no_ranks_gets_some(project: Project, asked: list[Question]) -> None:
    other = "def main(f):\n    f('x')\n"
    project.write({"lib.py": _LIBRARY, "alone.py": _ALONE, "other.py": other})
    assert _lint() == []
    project.write({"other.py": _TRAIN})
    assert _asking(asked, _lint) == 1
    assert _lint() == [("lib.py", 8, "CL203")]
    project.write({"other.py": other})
    assert _lint() == []


def test_a_command_that_the_project_gets(project: Project) -> None:
    tool = "from lib import sync\n\n\ndef main():\n    sync('x')\n"
    project.write({"lib.py": _LIBRARY, "tool.py": tool, "pyproject.toml": '[project]\nname = "x"\n'})
    assert _lint() == [("lib.py", 8, "CL203")]
    project.write({"pyproject.toml": '[project]\nname = "x"\n[project.scripts]\ntool = "tool:main"\n'})
    assert _lint() == []


def _text(random_: random.Random, number: int) -> str:
    """A file with a function that differs between ranks, and that those of other files call; perhaps a program."""
    other, another = random_.sample(range(5), 2)
    call = random_.choice(
        [f"f{other}(x)", f"m{another}.f{another}(x)", f"getattr(m{another}, 'f{another}')(x)", "print(x)"]
    )
    rank = random_.choice(["if dist.get_rank() == 0:\n        ", ""])
    start = random_.choice(["dist.init_process_group('nccl')", "print(1)"])
    main = f"\n\nif __name__ == '__main__':\n    {start}\n    f{number}(1)\n" if random_.random() < 0.5 else ""
    comment = random_.choice(["", f"# f{other}\n", "# init_process_group\n"])
    return (
        f"import random\nimport torch.distributed as dist\n{comment}from m{other} import f{other}\nimport m{another}\n\n\n"
        f"def f{number}(x):\n    if random.random() < 0.5:\n        dist.barrier()\n    {rank}{call}\n{main}"
    )


@pytest.mark.parametrize("seed", range(6))
def test_any_sequence_of_changes(project: Project, seed: int) -> None:
    random_ = random.Random(seed)
    project.write({f"m{number}.py": _text(random_, number) for number in range(5)})
    for _ in range(12):
        assert _lint() == _lint(cached=False)
        for number in random_.sample(range(5), random_.choice([1, 1, 2])):
            project.write({f"m{number}.py": _text(random_, number)})


def test_answers_hold_as_long_as_files_and_words_do() -> None:
    known = Answers({}, {"a.py": digest(b"x = 1")}, frozenset({"f"}), "commands")
    now = {"a.py": b"x = 1", "b.py": b"g(ff, f_)"}
    assert known.hold(now, now.__getitem__, "commands")
    assert not known.hold(now, now.__getitem__, "other commands")
    for changed in ({"a.py": b"x = 2"}, {"b.py": b"f()"}, {"c.py": b"import f"}):
        texts = {**now, **changed}
        assert not known.hold(changed, texts.__getitem__, "commands")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"# a\nx = 1\n\n  # b\ny = 2  # c\n", b"x = 1\ny = 2"),
        (b"if x:\r\n    y()  \r\n", b"if x:\n    y()"),
        (b"x = '#'  # a\n", b"x = '#'  # a"),
        (b"", b""),
    ],
)
def test_code_has_no_comments(text: bytes, code: bytes) -> None:
    assert without_comments(text) == code


@pytest.mark.parametrize(
    ("text", "found"),
    [(b"f", True), (b"a.f(1)", True), (b"ff f_ _f f1", False), (b"ff f", True), (b"", False), (b"g", False)],
)
def test_words_stand_alone(text: bytes, found: bool) -> None:
    assert has_word(text, b"f") is found
