"""Where a program makes process groups, seen without interpreting it: calls of the catalogue's constructors by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.names import plain
from ...ir.nodes import Call, expressions
from ..summary.model import Making

if TYPE_CHECKING:
    from ...catalog.model import Catalog
    from ...ir.nodes import Function
    from ...program.resolver import Program


def made_in(program: Program, catalog: Catalog, path: str) -> list[Making]:
    """The calls in one file that make groups, in order of position."""
    if program.indexes[path].problem is not None:
        return []
    found = []
    for function in program.functions(path).values():
        for expr in expressions(function.body):
            match expr:
                case Call(function=callee, args=args, keywords=keywords, span=span):
                    name = absolute(program, path, function, plain(callee))
                    api = catalog.apis.get(name) if name is not None else None
                    if api is not None and api.category == "group_constructor":
                        lists = api.params[:1] == ("ranks",) and bool(
                            args or any(word == "ranks" for word, _ in keywords)
                        )
                        found.append(Making(api.op, path, span, lists=lists))
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
