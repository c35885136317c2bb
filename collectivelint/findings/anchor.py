"""From a position to the libcst node of its statement: the lossless tree that fixes are built on.

Only the statement is parsed, not its file, so the cost of libcst depends on the findings, not on the code size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from ..finding import Edit, Location
from ..source.nesting import is_risky

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libcst.metadata import CodePosition, CodeRange

    from ..ir.nodes import Span
    from ..source.text import Source

_Node = TypeVar("_Node", bound=cst.CSTNode)


@dataclass(frozen=True)
class Anchored:
    """One statement as a libcst tree.

    `module` holds the statement alone, wrapped in `if True:` where it is indented; `shift` is what to add to an
    offset in `module.code` to get the offset in the file. `alone`: nothing else stands on its lines but a comment.
    """

    source: Source
    module: cst.Module
    statement: cst.BaseStatement
    positions: Mapping[cst.CSTNode, CodeRange]
    shift: int
    alone: bool

    def find(self, kind: type[_Node], span: Span) -> _Node | None:
        """The node of this kind that stands exactly at `span`."""
        wanted = location(self.source, span.line, span.column), location(self.source, span.end_line, span.end_column)
        for node, code_range in self.positions.items():
            if isinstance(node, kind) and self._range(code_range) == wanted:
                return node
        return None

    def _range(self, code_range: CodeRange) -> tuple[Location, Location]:
        return self._location(code_range.start), self._location(code_range.end)

    @cached_property
    def _alone(self) -> Source:
        """The statement's text as its own source, for converting positions in it."""
        return replace(self.source, text=self.module.code)

    def _location(self, position: CodePosition) -> Location:
        offset = self._alone.offset(position.line, position.column) + self.shift
        row, column = self.source.position(offset)
        return Location(row, column + 1)

    def replace(self, old: cst.CSTNode, new: cst.CSTNode | cst.FlattenSentinel[cst.BaseStatement]) -> tuple[Edit, ...]:
        """The text edits that replace `old` with `new`: only the part that differs; none if they are equal."""
        # libcst's own types do not say so, but a sentinel puts several statements in the place of one.
        changed = self.module.deep_replace(old, new)  # type: ignore[type-var]
        if not isinstance(changed, cst.Module):
            return ()
        found = minimal(self.source, self.module.code, changed.code, self.shift)
        return (found,) if found is not None else ()


def anchor(source: Source, span: Span) -> Anchored | None:
    """Parse the statement at `span`; None where it is not a statement of its own (a `case` pattern, say)."""
    start = source.offset(span.line, source.column(span.line, span.column))
    end_column = source.column(span.end_line, span.end_column)
    end = source.offset(span.end_line, end_column)
    before = source.text[source.starts[span.line - 1] : start]
    after = source.line(span.end_line)[end_column:].strip()
    indent = before[: len(before) - len(before.lstrip())]
    alone = not before.strip() and (not after or after.startswith("#"))
    if after.startswith("#"):
        # The comment at its end belongs to the statement.
        end = source.starts[span.end_line - 1] + len(source.line(span.end_line))
    text = source.text[start:end]
    if text.startswith("elif"):
        # The same statement without the chain it belongs to, at unchanged positions.
        text = "if  " + text[4:]
    newline = source.newline
    prefix = f"if True:{newline}{indent}" if indent else ""
    if is_risky(text):
        # It is reported, without a fix.
        return None
    try:
        module = cst.parse_module(prefix + text + newline)
        wrapper = MetadataWrapper(module, unsafe_skip_copy=True)
        positions = wrapper.resolve(PositionProvider)
    except cst.ParserSyntaxError:
        return None
    body = module.body
    if prefix:
        outer = module.body[0]
        body = outer.body.body if isinstance(outer, cst.If) else ()  # type: ignore[assignment]
    if not body or not isinstance(body[0], cst.BaseStatement):
        return None
    return Anchored(source, module, body[0], positions, start - len(prefix), alone)


def location(source: Source, line: int, byte_column: int) -> Location:
    """An `ast` position as a `Location`: row and character column, both from 1."""
    return Location(line, source.column(line, byte_column) + 1)


def minimal(source: Source, old: str, new: str, shift: int) -> Edit | None:
    """One edit that turns `old` into `new`, without their common start and end."""
    if old == new:
        return None
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[len(old) - 1 - end] == new[len(new) - 1 - end]:
        end += 1
    return edit(source, shift + start, shift + len(old) - end, new[start : len(new) - end])


def edit(source: Source, start: int, end: int, content: str) -> Edit:
    """An edit between two character offsets of a file."""
    (row, column), (end_row, end_column) = source.position(start), source.position(end)
    return Edit(start, end, content, Location(row, column + 1), Location(end_row, end_column + 1))
