"""Digests of facts: equal ones say the same to the functions, rules and trails of other files. Stable between runs."""

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

    from .facts import FunctionFacts

#: Frozen records that many facts share: encoded once.
_SHARED = (Span, Cause, CallSite, Guard, Uniformity, Reference, Extent, Origin)


class Digests:
    """Digests of the facts of one analysis.

    Lines and columns are a part of facts: a trail shows them. So is the text of a condition, which stands in the trails of
    other files; where a function stands itself is one only if its facts have places in them.
    """

    def __init__(self, text: Callable[[str, Span], str]) -> None:
        """`text` gives the source of a span of a file, as trails show it."""
        self._text = text
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
        text = self._encoded(parts)
        if "Span" in text or function.decorators:
            # Where it ends is seen in the causes that name the function as a whole.
            text += f"{function.span.line}:{function.span.column}"
        return self.of_text(text)

    def of_data(self, data: object) -> str:
        """The digest of any facts: records, containers, texts and numbers."""
        return self.of_text(self._encoded(data))

    @staticmethod
    def of_text(text: str) -> str:
        """A short digest of a text."""
        return blake2b(text.encode(errors="surrogateescape"), digest_size=9).hexdigest()

    def _encoded(self, data: Any) -> str:
        """A text that is equal for equal data, in whichever order sets and dictionaries were filled."""
        kind = type(data)
        if kind is str or kind is int or data is None or kind is bool:
            return repr(data)
        if kind is tuple or kind is list:
            return f"({','.join(map(self._encoded, data))})" if data else "()"
        if kind in _SHARED:
            known = self._known.get(id(data))
            if known is None:
                text = self._record(data)
                if kind is Guard:
                    text += self._text(data.path, data.span)
                known = self._known[id(data)] = (data, text)
            return known[1]
        if kind is frozenset or kind is set:
            return f"{{{','.join(sorted(map(self._encoded, data)))}}}"
        if kind is Symbol:
            return str(data.digest.hex())
        if isinstance(data, dict):
            items = sorted((self._encoded(name), self._encoded(value)) for name, value in data.items())
            return f"{{{','.join(f'{name}:{value}' for name, value in items)}}}"
        if isinstance(data, Record) or is_dataclass(data):
            return self._record(data)
        return repr(data)

    def _record(self, data: Any) -> str:
        if type(data) is Span:
            return f"Span({data.line},{data.column},{data.end_line},{data.end_column})"
        given = data._fields() if isinstance(data, Record) else [getattr(data, field.name) for field in fields(data)]
        return f"{type(data).__name__}({','.join(map(self._encoded, given))})"
