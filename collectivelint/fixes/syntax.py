"""One function's `ast`, with positions: assignments and the enclosing nodes of each node."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from ..ir.nodes import Function, Span
    from ..source.text import Source


@dataclass(eq=False)
class Scope:
    """A function and everything in it."""

    tree: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef
    params: frozenset[str]

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """The parent of each node."""
        return {child: node for node in self.nodes for child in ast.iter_child_nodes(node)}

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes of the function; for a module, those outside of its functions."""
        if isinstance(self.tree, ast.Module):
            found: list[ast.AST] = []
            pending: list[ast.AST] = [self.tree]
            while pending:
                node = pending.pop()
                found.append(node)
                inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
                pending += [child for child in ast.iter_child_nodes(node) if not isinstance(child, inner)]
            return found
        return list(ast.walk(self.tree))

    @cached_property
    def assignments(self) -> list[tuple[list[ast.expr], ast.expr]]:
        """Targets and values; tuples on both sides are paired by element, a loop pairs its target with its iterable."""
        found: list[tuple[list[ast.expr], ast.expr]] = []
        for node in self.nodes:
            match node:
                case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)) if len(names) == len(
                    values
                ):
                    found += [([name], value) for name, value in zip(names, values, strict=True)]
                case ast.Assign(targets=targets, value=value):
                    found.append((targets, value))
                case ast.AnnAssign(target=target, value=ast.expr() as value):
                    found.append(([target], value))
                case ast.NamedExpr(target=target, value=value):
                    found.append(([target], value))
                case ast.For(target=target, iter=value) | ast.comprehension(target=target, iter=value):
                    found.append(([target], value))
                case _:
                    pass
        return found

    @cached_property
    def augmented(self) -> list[tuple[list[ast.expr], ast.expr]]:
        """The targets and values of augmented assignments such as `x += y`."""
        return [([node.target], node.value) for node in self.nodes if isinstance(node, ast.AugAssign)]

    def is_augmented(self, name: str) -> bool:
        """Whether something changes the name's value in place."""
        return any(chain(target) == name for targets, _ in self.augmented for target in targets)

    def loads(self, name: str) -> Iterator[ast.expr]:
        """Where a name, or a chain of attributes, is read."""
        for node in self.nodes:
            if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load) and chain(node) == name:
                yield node

    def path_up(self, node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
        """The enclosing nodes of a node, innermost first, each as (the child on the path, the enclosing node)."""
        while node in self.parents:
            outer = self.parents[node]
            if isinstance(outer, ast.keyword) and outer in self.parents:
                # The argument and its name count as one.
                yield outer, self.parents[outer]
                node = self.parents[outer]
                continue
            if outer is self.tree:
                return
            yield node, outer
            node = outer

    def targets_of(self, node: ast.AST) -> Iterator[ast.expr]:
        """What the result of a call is assigned to."""
        for targets, value in self.assignments:
            if any(part is node for part in ast.walk(value)):
                yield from targets

    def call_at(self, span: Span) -> ast.Call | None:
        """The call with exactly this span."""
        for node in self.nodes:
            if (
                isinstance(node, ast.Call)
                and (node.lineno, node.col_offset) == span.start
                and (node.end_lineno, node.end_col_offset) == span.end
            ):
                return node
        return None

    def range_of(self, source: Source, node: ast.expr) -> tuple[int, int]:
        """Where a node begins and ends in the text."""
        end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
        return (
            source.offset(node.lineno, source.column(node.lineno, node.col_offset)),
            source.offset(end_line, source.column(end_line, end_column)),
        )


@lru_cache(maxsize=4)
def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def scope_of(source: Source, function: Function) -> Scope | None:
    """The scope of a function in its source; None if that cannot be parsed, or no longer contains the function."""
    tree = _parsed(source.text)
    params = frozenset(parameter.name for parameter in function.params)
    if tree is None or function.qualname.endswith("<class>"):
        return None
    if function.qualname == "<module>":
        return Scope(tree, params)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and _is_at(node, function.span):
            return Scope(node, params)
    return None


def _is_at(node: ast.FunctionDef | ast.AsyncFunctionDef, span: Span) -> bool:
    return (node.lineno, node.col_offset) == span.start


def chain(node: ast.AST) -> str | None:
    """`a.b.c` of a chain of attributes."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = chain(node.value)
        return None if base is None else f"{base}.{node.attr}"
    return None


def dotted(node: ast.AST) -> list[str]:
    """The names and attribute chains in an expression, the longest of each; called functions are left out.

    `p.grad.data.norm()` yields `p.grad.data`.
    """
    found: list[str] = []
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute):
            base = node.func.value
            if not isinstance(base, ast.Name) or node.func.attr.endswith("_") or not (node.args or node.keywords):
                found += dotted(base)
        for part in (*node.args, *node.keywords):
            found += dotted(part)
        return found
    if isinstance(node, (ast.Name, ast.Attribute)):
        name = chain(node)
        if name is not None:
            return [name]
    for child in ast.iter_child_nodes(node):
        found += dotted(child)
    return found


def bound(targets: Iterable[ast.expr]) -> set[str]:
    """The names and chains of attributes that are assigned to; of `out[rank]` the container."""
    found: set[str] = set()
    for target in targets:
        match target:
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                found |= bound(parts)
            case ast.Starred(value=value) | ast.Subscript(value=value):
                found |= bound([value])
            case _ if (name := chain(target)) is not None:
                found.add(name)
            case _:
                pass
    return found


def mentions(node: ast.AST, names: AbstractSet[str]) -> bool:
    """Whether an expression contains one of these names, an attribute of one, or a prefix of one."""
    if not names:
        return False
    found = (chain(part) for part in ast.walk(node) if isinstance(part, (ast.Name, ast.Attribute)))
    return any(
        name in names or any(name.startswith(f"{known}.") for known in names) for name in found if name is not None
    )
