"""Syntax of newer Python versions than the running one: parsed with libcst's grammar and rewritten in older syntax.

Rows and byte columns stay those of the text, so that later steps work on the tree as if `ast` had made it.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .nesting import is_risky
from .text import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import libcst as cst
    from libcst.metadata import CodePosition

#: Without any of this, what `ast` cannot parse is broken, and libcst need not be asked.
_HINT: Final = re.compile(
    r"""^[ \t]*(?:type[ \t]+\w|(?:async[ \t]+)?def[ \t]+\w+[ \t]*\[|class[ \t]+\w+[ \t]*\[|except[ \t]*\*|except[ \t].*,"""
    r"""|lazy[ \t])|(?i:\b(?:[ft]r?|r[ft])['"])""",
    re.MULTILINE,
)
#: Characters of a file.
_LONGEST: Final = 500_000
_NOTHING: Final = (0, 0)


@dataclass(frozen=True, slots=True)
class Lowered:
    """`code` has the newer syntax replaced; `needs` is the Python that the text is for.

    `strings`: what a tuple at a row and byte column stands for: the texts of an f-string, None for each value in it.
    """

    code: str
    needs: tuple[int, int]
    strings: dict[tuple[int, int], list[str | None]]

    def restore(self, tree: ast.Module) -> ast.Module:
        """The tree with the strings in the place of the tuples."""
        return ast.fix_missing_locations(_Strings(self.strings).visit(tree)) if self.strings else tree


class TooLongError(Exception):
    """A text that may need a newer Python, and is too long or too deeply nested for libcst."""


def lowered(code: str, parses: Callable[[str], bool]) -> Lowered | None:
    """The code rewritten for this Python if possible; None if libcst cannot parse it or nothing has to change.

    Raise TooLongError if the text is unsafe for libcst.
    """
    if not _HINT.search(code):
        return None
    if len(code) > _LONGEST or is_risky(code):
        raise TooLongError
    import libcst as cst
    from libcst.metadata import MetadataWrapper, PositionProvider

    try:
        wrapper = MetadataWrapper(cst.parse_module(code), unsafe_skip_copy=True)
        positions = wrapper.resolve(PositionProvider)
    except (cst.ParserSyntaxError, RecursionError):
        return None
    work = _Work(code, positions.__getitem__, parses)
    work.visit(wrapper.module)
    if work.needs == _NOTHING:
        return None
    return Lowered(_replaced(code, work.edits), work.needs, work.strings)


class _Work:
    """Collects what to replace: (start, end, text) in characters of the code."""

    def __init__(self, code: str, position: Callable[[Any], Any], parses: Callable[[str], bool]) -> None:
        self._source = Source("", code, "utf-8", bom=False)
        self._position, self._parses = position, parses
        self.edits: list[tuple[int, int, str]] = []
        self.strings: dict[tuple[int, int], list[str | None]] = {}
        self.needs = _NOTHING

    def visit(self, node: cst.CSTNode) -> None:
        """Visit a tree, recording replacements; nodes that are replaced as a whole are not entered."""
        kind = type(node).__name__
        match kind:
            case "TypeAlias":
                self._alias(node)
            case "TypeParameters":
                self._blank(*self._range(node))
                self._need(3, 13 if any(param.default is not None for param in getattr(node, "params", ())) else 12)
            case "ExceptStarHandler":
                self._except_star(node)
            case "ExceptHandler":
                self._except_several(node)
            case "LazyImport" | "LazyImportFrom":
                self._lazy(node)
            case "FormattedString" | "TemplatedString" | "ConcatenatedString":
                start, end = self._range(node)
                if not self._parses(f"({self._source.text[start:end]})"):
                    self._string(node, start, end)
                    return
        for child in node.children:
            self.visit(child)

    def _need(self, *version: int) -> None:
        self.needs = max(self.needs, (version[0], version[1]))

    def _range(self, node: cst.CSTNode) -> tuple[int, int]:
        where = self._position(node)
        return self._offset(where.start), self._offset(where.end)

    def _with_brackets(self, node: Any) -> tuple[int, int]:
        """The start and end of an expression including its parentheses, which libcst leaves out."""
        start, end = self._range(node)
        for _ in node.lpar:
            start = self._source.text.rindex("(", 0, start)
        for _ in node.rpar:
            end = self._source.text.index(")", end) + 1
        return start, end

    def _offset(self, position: CodePosition) -> int:
        return self._source.offset(position.line, position.column)

    def _blank(self, start: int, end: int) -> None:
        self.edits.append((start, end, _spaces(self._source.text[start:end], joined=True)))

    def _alias(self, node: Any) -> None:
        """`type X[T] = list[T]` as `X = list[T]`, the value at its place."""
        self._need(3, 12)
        start, value = self._range(node)[0], self._with_brackets(node.value)[0]
        text = self._source.text[start:value]
        room = len(text.encode()) - len(node.name.value.encode()) - 1
        if "\n" not in text and room > 0:
            self.edits.append((start, value, f"{node.name.value}{' ' * (room - 1)}= "))

    def _except_star(self, node: Any) -> None:
        self._need(3, 11)
        start, _ = self._range(node)
        star = self._source.text.index("*", start)
        if not self._parses("try: pass\nexcept* A: pass"):
            self.edits.append((star, star + 1, " "))

    def _except_several(self, node: Any) -> None:
        """`except A, B:` as `except(A, B):`; what follows on its line must not be code, which would move."""
        if type(node.type).__name__ != "Tuple" or node.type.lpar:
            return
        self._need(3, 14)
        start, end = self._range(node.type)
        if type(node.body).__name__ == "IndentedBlock" and self._source.text[start - 1] in " \t":
            self.edits += [(start - 1, start, "("), (end, end, ")")]

    def _lazy(self, node: Any) -> None:
        start, end = self._range(node)
        match = re.match(r"lazy([ \t]+)(import|from)\b", self._source.text[start:end])
        if match is not None:
            self._need(3, 15)
            self.edits.append((start, start + match.end(), match[2].ljust(match.end())))

    def _string(self, node: Any, start: int, end: int) -> None:
        """Replace a string that has values by a tuple of these, each at its position."""
        self._need(3, 12)
        text, at = self._source.text, start + 1
        pieces, parts = ["("], list[str | None]()
        for item in self._parts(node):
            if isinstance(item, str):
                parts.append(item)
                continue
            begin, stop, value = item
            pieces += [_spaces(text[at:begin]), self._inside(value, begin, stop), ","]
            parts.append(None)
            # The comma stands where a space or a bracket was; the end of a row stays.
            at = stop + (text[stop] != "\n")
        self.edits.append((start, end, "".join([*pieces, _spaces(text[at : end - 1]), ")"])))
        line, column = self._source.position(start)
        self.strings[line, len(self._source.line(line)[:column].encode())] = parts

    def _parts(self, node: Any) -> Iterator[str | tuple[int, int, cst.CSTNode]]:
        """In order: the texts of a string, and (start, end, tree) for the values in it."""
        match type(node).__name__:
            case "ConcatenatedString":
                yield from self._parts(node.left)
                yield from self._parts(node.right)
            case "FormattedString" | "TemplatedString" as kind:
                self._need(3, 14 if kind == "TemplatedString" else 12)
                for part in node.parts:
                    yield from self._parts(part)
            case "FormattedStringText" | "TemplatedStringText":
                yield node.value
            case "FormattedStringExpression" | "TemplatedStringExpression":
                yield (*self._with_brackets(node.expression), node.expression)
                for part in node.format_spec or ():
                    yield from self._parts(part)
            case "SimpleString":
                yield str(node.evaluated_value)

    def _inside(self, value: cst.CSTNode, begin: int, stop: int) -> str:
        """The text of a value, with the newer syntax in it replaced."""
        outer, self.edits = self.edits, []
        self.visit(value)
        text = _replaced(self._source.text[begin:stop], self.edits, begin)
        self.edits = outer
        return text


class _Strings(ast.NodeTransformer):
    """Restores the strings."""

    def __init__(self, strings: dict[tuple[int, int], list[str | None]]) -> None:
        self._strings = strings

    def visit_Tuple(self, node: ast.Tuple) -> ast.expr:  # the name that ast asks for
        """A tuple, or the string that it stands for."""
        self.generic_visit(node)
        parts = self._strings.get((node.lineno, node.col_offset))
        if parts is None:
            return node
        values = iter(node.elts)
        return ast.copy_location(
            ast.JoinedStr(
                [
                    ast.Constant(part) if part is not None else ast.FormattedValue(next(values), -1, None)
                    for part in parts
                ]
            ),
            node,
        )


def _replaced(text: str, edits: list[tuple[int, int, str]], shift: int = 0) -> str:
    for start, end, new in sorted(edits, reverse=True):
        text = text[: start - shift] + new + text[end - shift :]
    return text


def _spaces(text: str, *, joined: bool = False) -> str:
    """As many spaces as the text has bytes, its lines kept; `joined` with a backslash, outside of brackets."""
    rows = [" " * len(row.encode()) for row in text.split("\n")]
    if joined:
        rows[:-1] = [f"{row[:-1]}\\" for row in rows[:-1]]
    return "\n".join(rows)
