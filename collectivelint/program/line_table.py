"""Lines of a file relative to the definition or statement that contains them, unaffected by the code above it."""

from __future__ import annotations

import ast
from bisect import bisect_left, bisect_right
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: Labels are below this.
_LABELS: Final = 2**31
_NONE: Final[Mapping[int, int]] = MappingProxyType({})


class LineTable:
    """The statements of a module and of its classes, by first line, each with a label of its own.

    Statements of two versions of a file have the same label if their names match. Which one has which label does not
    matter: a line is converted to (label, offset), and back, in each version independently.
    """

    __slots__ = ("_at", "labels", "names", "others", "starts")

    def __init__(self, starts: Sequence[int], names: Sequence[int], others: Mapping[int, int] = _NONE) -> None:
        """`starts` are the first lines of the statements, in order, and `names` a unique number for each.

        The number is its label too, unless `others` maps it to another one.
        """
        self.starts, self.names, self.others = tuple(starts), tuple(names), dict(others)
        self.labels = tuple([others.get(name, name) for name in names]) if others else self.names
        self._at: dict[int, int] | None = None

    def __eq__(self, other: object) -> bool:
        """The same labels on the same lines."""
        return isinstance(other, LineTable) and (self.starts, self.labels) == (other.starts, other.labels)

    def __hash__(self) -> int:
        """Of the lines."""
        return hash(self.starts)

    def __reduce__(self) -> tuple[type[LineTable], tuple[object, ...]]:
        """Pickled without the lookup table."""
        return LineTable, (self.starts, self.names, self.others)

    def relative(self, line: int) -> tuple[int, int]:
        """The label of the statement that a line belongs to, and the lines since it begins; label -1 above the first."""
        at = bisect_right(self.starts, line) - 1
        return (self.labels[at], line - self.starts[at]) if at >= 0 else (-1, line)

    def line(self, label: int, offset: int) -> int | None:
        """The line at an offset from the statement with a label; None if it is missing or shorter."""
        if label == -1:
            return offset if not self.starts or offset < self.starts[0] else None
        if self._at is None:
            self._at = {known: number for number, known in enumerate(self.labels)}
        at = self._at.get(label)
        if at is None:
            return None
        line = self.starts[at] + offset
        return line if at + 1 == len(self.starts) or line < self.starts[at + 1] else None

    def moved(self, now: LineTable, line: int) -> int | None:
        """The corresponding line in another version; None if its statement is missing or shorter there."""
        return now.line(*self.relative(line))

    def following(self, before: LineTable) -> LineTable:
        """The table with the labels of an earlier version, except for statements whose order has changed.

        So comparisons of positions in this file give the same order as before for all statements that keep their label.
        """
        place = {name: number for number, name in enumerate(before.names)}
        kept = _longest_rise([place[name] for name in self.names if name in place])
        used = {*before.labels, *before.names, *self.names}
        others: dict[int, int] = {}
        for name in self.names:
            label = before.others.get(name, name) if name in place else name
            if (name in place and place[name] not in kept) or (name not in place and name in before.labels):
                label = _free(name, used)
            if label != name:
                others[name] = label
        return LineTable(self.starts, self.names, others)


def _free(label: int, used: set[int]) -> int:
    """An unused label, which is then marked as used."""
    while label in used:
        label = (label + 1) % _LABELS
    used.add(label)
    return label


def _longest_rise(numbers: Sequence[int]) -> set[int]:
    """A longest increasing subsequence of distinct numbers."""
    ends: list[int] = []
    before: dict[int, int | None] = {}
    for number in numbers:
        at = bisect_left(ends, number)
        before[number] = ends[at - 1] if at else None
        ends[at : at + 1] = [number]
    found: set[int] = set()
    last = ends[-1] if ends else None
    while last is not None:
        found.add(last)
        last = before[last]
    return found


def line_table(tree: ast.Module) -> LineTable:
    """The table of a file."""
    starts: list[int] = []
    labels: list[int] = []
    used: set[int] = set()
    end = 0
    for node, name in _statements(tree.body, ""):
        start = _first_line(node)
        if start > end:
            # One that begins on the last line of another has no lines of its own.
            starts.append(start)
            labels.append(_free(crc32(name.encode(errors="surrogateescape")) % _LABELS, used))
        last = _first_line(node.body[0]) - 1 if isinstance(node, ast.ClassDef) else node.end_lineno
        end = max(end, node.lineno, last or 0)
    return LineTable(starts, labels)


def _first_line(node: ast.stmt) -> int:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return node.lineno


def _statements(body: Sequence[ast.stmt], scope: str) -> Iterator[tuple[ast.stmt, str]]:
    """The statements of a module and of its classes, each with the text that identifies it."""
    for node in body:
        yield node, scope + _name(node)
        if isinstance(node, ast.ClassDef):
            yield from _statements(node.body, f"{scope}{node.name}.")


def _name(node: ast.stmt) -> str:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.Assign(targets=[ast.Name(id=name), *_]) | ast.AnnAssign(target=ast.Name(id=name)):
            return f"{name} ="
        case ast.ImportFrom(module=module):
            return f"from {module}"
        case ast.Import(names=[alias, *_]):
            return f"import {alias.name}"
        case _:
            return type(node).__name__
