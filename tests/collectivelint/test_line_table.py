"""Lines told from the statement that they stand in: exact in each version of a file, and the same where only lines move."""

from __future__ import annotations

import ast
import pickle
import random
from typing import Final

import pytest

from collectivelint.program.line_table import LineTable, line_table

TEXT: Final = """import os
from a import b

X = 1; Y = 2
Z = (
    3
); V = 4


@decorated
def f(x):
    return x


class C:
    '''Text.'''

    x = 1

    @property
    def g(self):
        return 1

    class D: y = 1


if X:
    def f(x):
        return x
"""


def _table(text: str) -> LineTable:
    return line_table(ast.parse(text))


def test_the_statements_of_a_file() -> None:
    assert _table(TEXT).starts == (1, 2, 4, 5, 10, 15, 16, 18, 20, 24, 27)


def test_each_line_is_told_and_told_back() -> None:
    table = _table(TEXT)
    told = [table.relative(line) for line in range(1, 40)]
    assert len(set(told)) == 39
    assert [table.line(*place) for place in told] == list(range(1, 40))
    assert pickle.loads(pickle.dumps(table)) == table


@pytest.mark.parametrize("at", [0, 2, 3, 8, 14, 26])
def test_lines_that_are_added_change_no_other_line(at: int) -> None:
    lines = TEXT.splitlines(keepends=True)
    table, now = _table(TEXT), _table("".join([*lines[:at], "# more\n", "def new(): pass\n", *lines[at:]]))
    for line in range(1, len(lines) + 1):
        if lines[line - 1].strip():
            expected = line + 2 if line > at else line
            assert table.moved(now.following(table), line) == expected


def test_what_is_gone_is_nowhere() -> None:
    table = _table(TEXT)
    now = _table(TEXT.replace("def g", "def h")).following(table)
    assert table.moved(now, 20) is None
    assert table.moved(now, 24) == 24
    short = _table("def f(x): return x\ny = 1\n").following(table)
    assert (table.moved(short, 10), table.moved(short, 11)) == (1, None)


@pytest.mark.parametrize("seed", range(50))
def test_what_keeps_its_label_keeps_its_order(seed: int) -> None:
    random_ = random.Random(seed)
    names = [f"f{number}" for number in range(8)]
    table = _table("\n".join(f"def {name}(): pass" for name in names))
    for _ in range(6):
        random_.shuffle(names)
        some = random_.sample(names, random_.randrange(2, 9))
        now = _table("\n".join(f"def {name}(): pass" for name in some)).following(table)
        assert len(set(now.labels)) == len(some)
        common = [label for label in table.labels if label in now.labels]
        assert common == [label for label in now.labels if label in table.labels]
        assert bool(common) == bool({*now.names} & {*table.names})
        again = _table("# more\n" + "\n".join(f"def {name}(): pass" for name in some)).following(now)
        assert again.labels == now.labels
        table = now
