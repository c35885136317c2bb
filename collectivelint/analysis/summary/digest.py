"""Digests of facts, stable between runs: equal if functions, rules and trails of other files see no difference."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from ...ir.nodes import Span
from ...record import Record
from ..domain.causes import Cause
from ..domain.extent import Extent
from ..domain.origin import Origin
from ..domain.symbol import Symbol
from ..domain.uniformity import Uniformity
from ..domain.value import Reference
from ..effects import CallSite, Guard

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...program.line_table import LineTable
    from .facts import FunctionFacts

#: Frozen records that many facts share: encoded once.
_SHARED = (Cause, CallSite, Guard, Uniformity, Reference, Extent, Origin)


class Digests:
    """Digests of the facts of one analysis.

    Lines and columns are included, since trails show them. Lines count from the start of the enclosing statement of the
    module or class, so that facts stay equal when it moves. The text of a condition is included too, since the trails
    of other files show it.
    """

    def __init__(self, text: Callable[[str, Span], str], lines: Callable[[str], LineTable]) -> None:
        """`text` gives the source of a span of a file, as trails show it, `lines` the line table of a file."""
        self._text, self._lines = text, lines
        #: By id, with the object itself, which keeps the id its own.
        self._known: dict[int, tuple[object, str]] = {}

    def of(self, facts: FunctionFacts) -> str:
        """The digest of what other files can observe of a function: its summary, and its signature."""
        function = facts.function
        parts = (
            function.qualname,
            function.owner,
            function.params,
            function.decorators,
            function.annotation,
            facts.observed(),
        )
        place = ""
        if function.qualname != "<module>":
            # It is seen in the causes that name the function as a whole.
            place = f"{self._lines(function.path).relative(function.span.line)}:{function.span.column}"
        return self.of_text(self._encoded(parts, function.path) + place)

    def of_data(self, data: object, path: str) -> str:
        """The digest of any facts of a file: records, containers, texts and numbers."""
        return self.of_text(self._encoded(data, path))

    @staticmethod
    def of_text(text: str) -> str:
        """A short digest of a text."""
        return blake2b(text.encode(errors="surrogateescape"), digest_size=9).hexdigest()

    def _encoded(self, data: Any, path: str) -> str:
        """A text that is equal for equal data, independent of the order of sets and dictionaries.

        `path` is the file of spans in records that do not name one.
        """
        kind = type(data)
        if kind is str or kind is int or data is None or kind is bool:
            return repr(data)
        if kind is tuple or kind is list:
            return f"({','.join([self._encoded(item, path) for item in data])})" if data else "()"
        if kind is Span:
            return self._span(data, path)
        if kind in _SHARED:
            known = self._known.get(id(data))
            if known is None:
                text = self._fields(data, path)
                if kind is Guard:
                    text += self._text(data.path, data.span)
                known = self._known[id(data)] = (data, text)
            return known[1]
        if kind is frozenset or kind is set:
            return f"{{{','.join(sorted(self._encoded(item, path) for item in data))}}}"
        if kind is Symbol:
            return str(data.digest.hex())
        if isinstance(data, dict):
            items = sorted((self._encoded(name, path), self._encoded(value, path)) for name, value in data.items())
            return f"{{{','.join(f'{name}:{value}' for name, value in items)}}}"
        if isinstance(data, Record) or is_dataclass(data):
            return self._fields(data, path)
        return repr(data)

    def _fields(self, data: Any, path: str) -> str:
        inside = getattr(data, "path", path)
        path = inside if type(inside) is str else path
        given = data._fields() if isinstance(data, Record) else [getattr(data, field.name) for field in fields(data)]
        return f"{type(data).__name__}({','.join([self._encoded(item, path) for item in given])})"

    def _span(self, span: Span, path: str) -> str:
        table = self._lines(path)
        label, line = table.relative(span.line)
        if span.end_line == span.line:
            return f"Span({label}+{line},{span.column},{span.end_column})"
        end_label, end_line = table.relative(span.end_line)
        return f"Span({label}+{line},{span.column},{end_label}+{end_line},{span.end_column})"
