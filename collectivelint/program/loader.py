"""From the text of a file to its index and its lowered functions: each file is parsed once for both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..source.annotations import annotated_lines
from ..source.parse import parse
from ..source.text import UnreadableError
from .index import FileIndex, index_module

if TYPE_CHECKING:
    import ast
    from collections.abc import Mapping

    from ..ir.nodes import Function
    from ..source.files import SourceFiles


class Loader:
    """Parses files. Functions that were lowered with the index of a file are kept until they are asked for."""

    def __init__(self, files: SourceFiles) -> None:
        """`files` has the texts."""
        self._files = files
        self._lowered: dict[str, Mapping[str, Function]] = {}

    def index(self, path: str) -> FileIndex:
        """The index of a file, or of one that cannot be read or parsed."""
        try:
            source = self._files.source(path)
            tree = parse(source)
            self._lowered[path] = self._functions(tree, path)
        except UnreadableError as error:
            return FileIndex.unreadable(path, error)
        rebinds = "global" in source.text
        return index_module(tree, path, annotated=bool(annotated_lines(source)), rebinds=rebinds)

    def lower(self, path: str) -> Mapping[str, Function]:
        """The functions of a file by qualified name; raise UnreadableError."""
        found = self._lowered.pop(path, None)
        return self._functions(parse(self._files.source(path)), path) if found is None else found

    def _functions(self, tree: ast.Module, path: str) -> Mapping[str, Function]:
        # Imported here: where nothing has changed since the last run, nothing is lowered.
        from ..ir.lower import TooDeepError, lower_module

        source = self._files.source(path)
        try:
            return lower_module(tree, path, annotated_lines(source))
        except TooDeepError as error:
            column = source.column(error.line, error.column) + 1
            raise UnreadableError("cannot be analysed: it is nested too deeply", error.line, column) from None
