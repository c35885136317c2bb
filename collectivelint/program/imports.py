"""Which names the import statements of a scope bind, and to what."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence


def statements(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Every statement of a scope, those inside if, for, try and with included, those of inner scopes not."""
    found: list[ast.stmt] = []
    _collect(body, found)
    return found


#: Scopes of their own, and the usual statements that have no others inside: asking each for them takes as long as lowering it.
_CLOSED: Final = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef),
    *(ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.Return, ast.Import, ast.ImportFrom, ast.Assert),
)


def _collect(body: Sequence[ast.stmt], found: list[ast.stmt]) -> None:
    for node in body:
        found.append(node)
        if isinstance(node, _CLOSED):
            continue
        for field in ("body", "orelse", "finalbody"):
            inner = getattr(node, field, None)
            if isinstance(inner, list):
                _collect(inner, found)
        for handler in getattr(node, "handlers", ()):
            _collect(handler.body, found)
        for case in getattr(node, "cases", ()):
            _collect(case.body, found)


def bindings(body: Sequence[ast.stmt]) -> dict[str, tuple[str, ...]]:
    """Local name -> dotted targets, in order of appearance; relative targets keep their leading dots.

    A name can have several targets: `try: import fast_comm as comm` ... `except ImportError: import slow_comm as comm`.
    `from x import *` is listed under "*".
    """
    found: dict[str, tuple[str, ...]] = {}

    def bind(name: str, target: str) -> None:
        found[name] = (*found.get(name, ()), target)

    for node in statements(body):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname:
                    bind(alias.asname, alias.name)
                else:
                    # `import a.b.c` binds `a`, through which a.b.c is reached by its full name.
                    top = alias.name.partition(".")[0]
                    bind(top, top)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                if alias.name == "*":
                    bind("*", base)
                else:
                    joint = "" if base.endswith(".") or not base else "."
                    bind(alias.asname or alias.name, f"{base}{joint}{alias.name}")
    return found
