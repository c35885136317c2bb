"""Where a program makes process groups, seen without interpreting it: calls of the catalogue's constructors by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.names import plain
from ...ir.nodes import Call, expressions
from ..summary.making import Making
from .group_members import members_of, repeated_spans

if TYPE_CHECKING:
    from ...catalog.model import Catalog
    from ...ir.nodes import Function
    from ...program.resolver import Program


def made_in(program: Program, catalog: Catalog, path: str) -> list[Making]:
    """The calls in one file that make groups, in order of position."""
    if program.indexes[path].problem is not None:
        return []
    found = []
    #: Calls of the same name are many, and those of constructors few.
    known: dict[tuple[str, tuple[tuple[str, str], ...]], str | None] = {}
    for function in program.functions(path).values():
        repeated = None
        for expr in expressions(function.body):
            if not isinstance(expr, Call):
                continue
            written = plain(expr.function)
            if written is None:
                continue
            if (written, function.imports) not in known:
                known[written, function.imports] = absolute(program, path, function, written)
            name = known[written, function.imports]
            api = catalog.apis.get(name) if name is not None else None
            if api is None or api.category != "group_constructor":
                continue
            repeated = repeated_spans(function) if repeated is None else repeated
            once = not any(span.contains(expr.span) for span in repeated)
            words = {word for word, _ in expr.keywords}
            lists = api.params[:1] == ("ranks",) and (bool(expr.args) or "ranks" in words)
            found.append(Making(api.op, path, expr.span, lists, members_of(api, expr, function, catalog, once=once)))
    return sorted(found, key=lambda item: item.span)


def absolute(program: Program, path: str, function: Function, name: str | None) -> str | None:
    """The full name of something outside the program that `name` means here."""
    if name is None:
        return None
    head, _, rest = name.partition(".")
    imported = dict(function.imports).get(head)
    if imported is not None:
        target = program.absolute(path, f"{imported}.{rest}" if rest else imported)
    else:
        resolved = program.resolve(path, name)
        if resolved is None:
            return None
        target = resolved
    return target.name if target.kind == "external" else None
