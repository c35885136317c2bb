"""Divergences where a file cannot be read: with a healthy shared disk, the read fails on all ranks or on none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.names import plain
from ...ir.nodes import Call, Constant, expressions
from .file_races import hinted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ...catalog.model import Catalog
    from ...ir.nodes import Function
    from ...program.resolver import Program
    from ..domain.causes import Cause
    from .divergence import Divergence

_READING: Final = frozenset({"read", "list", "look"})


def is_failed_read(
    program: Program, catalog: Catalog, divergence: Divergence, functions: Callable[[str], Mapping[str, Function]]
) -> bool:
    """Whether ranks diverge only because a read by all of them fails on some: `try: load()`, `except: compute()`.

    `functions` gives the functions of a file in source form.
    """
    if divergence.guard.symbol.positive.kind != "caught":
        return False
    causes = [cause for cause in divergence.guard.causes if cause.kind != "branch"]
    return bool(causes) and all(
        cause.kind == "exception" and _is_read(program, catalog, cause, functions(cause.path)) for cause in causes
    )


def _is_read(program: Program, catalog: Catalog, cause: Cause, functions: Mapping[str, Function]) -> bool:
    """Whether what may fail is a call that reads from the disk, on every rank."""
    for function in functions.values():
        for expr in expressions(function.body) if function.span.contains(cause.span) else ():
            if isinstance(expr, Call) and expr.span == cause.span:
                reads = _is_reading(program, catalog, cause.path, expr)
                return reads and not hinted(function, cause.span, catalog.hints)
    return False


def _is_reading(program: Program, catalog: Catalog, path: str, call: Call) -> bool:
    written = plain(call.function) or ""
    target = program.resolve(path, written)
    name = f"builtins.{written}" if target is None else target.name
    api, use = catalog.apis.get(name), catalog.file_uses.get(name)
    if api is not None and api.restores:
        return True
    if use is None:
        return False
    mode = dict(call.keywords).get("mode") or (call.args[1] if len(call.args) > 1 else Constant("r"))
    reads = isinstance(mode, Constant) and isinstance(mode.value, str) and {"w", "a", "x", "+"}.isdisjoint(mode.value)
    return use.use in _READING or (use.use == "open" and reads)
