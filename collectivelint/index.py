"""One cheap pass per file: which names it imports, which functions and classes it defines. Pure data."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .imports import bindings, statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class ClassIndex:
    """A class, with its bases as the dotted names the file writes."""

    qualname: str
    bases: tuple[str, ...]
    methods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileIndex:
    """What other files can find in this one.

    `rebound` names the variables that some function declares `global`: their first value means little.
    """

    path: str
    imports: Mapping[str, tuple[str, ...]]
    functions: frozenset[str]
    classes: Mapping[str, ClassIndex]
    aliases: Mapping[str, str]
    variables: frozenset[str]
    rebound: frozenset[str]


def dotted(node: ast.expr) -> str | None:
    """`a.b.c` as text, or None for anything that is not a plain dotted name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(names)])


def index_module(tree: ast.Module, path: str) -> FileIndex:
    """Index the top level of a module and its classes; what functions do inside is left to the lowering."""
    functions: set[str] = set()
    classes: dict[str, ClassIndex] = {}
    aliases: dict[str, str] = {}
    variables: set[str] = set()
    for node in statements(tree.body):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                functions.add(name)
            case ast.ClassDef():
                _class(node, "", functions, classes)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                # `reduce = dist.all_reduce`: another name for something that is defined elsewhere.
                if (target := dotted(value)) is not None:
                    aliases[name] = target
                variables.add(name)
            case ast.AnnAssign(target=ast.Name(id=name)):
                variables.add(name)
    return FileIndex(
        path=path,
        imports=bindings(tree.body),
        functions=frozenset(functions),
        classes=classes,
        aliases=aliases,
        variables=frozenset(variables),
        rebound=frozenset(_rebound(tree.body)),
    )


def _rebound(body: Sequence[ast.stmt]) -> Iterator[str]:
    for node in statements(body):
        if isinstance(node, ast.Global):
            yield from node.names
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield from _rebound(node.body)


def _class(node: ast.ClassDef, scope: str, functions: set[str], classes: dict[str, ClassIndex]) -> None:
    qualname = f"{scope}{node.name}"
    methods: list[str] = []
    for member in statements(node.body):
        if isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef)):
            methods.append(member.name)
            functions.add(f"{qualname}.{member.name}")
        elif isinstance(member, ast.ClassDef):
            _class(member, f"{qualname}.", functions, classes)
    bases = tuple(base for base in map(dotted, node.bases) if base is not None)
    classes[qualname] = ClassIndex(qualname, bases, tuple(methods))
