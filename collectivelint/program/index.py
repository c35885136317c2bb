"""One cheap pass per file: which names it imports, which functions and classes it defines. Pure data."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from .imports import bindings, statements
from .line_table import LineTable, line_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ..source.text import UnreadableError


_NO_LINES: Final = LineTable((), ())


@dataclass(frozen=True, slots=True)
class ClassIndex:
    """A class, with its bases as the dotted names the file writes."""

    qualname: str
    bases: tuple[str, ...]
    methods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileIndex:
    """What other files can find in this one.

    `rebound` names the variables that some function declares `global`, so that their first value is unreliable.
    `annotated`: its comments may hold annotations. `lines` is not visible to other files.
    """

    path: str
    imports: Mapping[str, tuple[str, ...]]
    functions: frozenset[str]
    classes: Mapping[str, ClassIndex]
    aliases: Mapping[str, str]
    variables: frozenset[str]
    rebound: frozenset[str]
    problem: UnreadableError | None = None
    annotated: bool = False
    lines: LineTable = field(default=_NO_LINES, compare=False)

    @classmethod
    def empty(cls, path: str) -> FileIndex:
        """The index of a file that is not read."""
        nothing: frozenset[str] = frozenset()
        return cls(path, {}, nothing, {}, {}, nothing, nothing)

    @classmethod
    def unreadable(cls, path: str, problem: UnreadableError) -> FileIndex:
        """The index of a file that could not be parsed: it is empty."""
        nothing: frozenset[str] = frozenset()
        return cls(path, {}, nothing, {}, {}, nothing, nothing, problem)

    def changed_names(self, before: FileIndex) -> frozenset[str] | None:
        """The names (of `a.b` the first part) whose meaning differs from an earlier version; None: any may."""
        if self.annotated != before.annotated or self.imports.get("*") != before.imports.get("*"):
            return None
        found: set[str] = set()
        for now, then in ((self.functions, before.functions), (self.variables, before.variables)):
            found |= now ^ then
        found |= self.rebound ^ before.rebound
        tables: list[tuple[Mapping[str, object], Mapping[str, object]]] = [
            (self.imports, before.imports),
            (self.aliases, before.aliases),
            (self.classes, before.classes),
        ]
        for table, other in tables:
            found |= {name for name in table.keys() | other.keys() if table.get(name) != other.get(name)}
        return frozenset(name.partition(".")[0] for name in found)


class Indexes(Mapping[str, FileIndex]):
    """The index of every file of a program, made when it is first asked for."""

    def __init__(self, paths: Iterable[str], make: Callable[[str], FileIndex]) -> None:
        """`make` reads a file and indexes it."""
        self._made: dict[str, FileIndex | None] = dict.fromkeys(paths)
        self._make = make

    def __getitem__(self, path: str) -> FileIndex:
        """The index of one file."""
        found = self._made[path]
        if found is None:
            found = self._made[path] = self._make(path)
        return found

    def __contains__(self, path: object) -> bool:
        """Whether it is a file of the program. Costs nothing."""
        return path in self._made

    def __iter__(self) -> Iterator[str]:
        """All files."""
        return iter(self._made)

    def __len__(self) -> int:
        """How many files there are."""
        return len(self._made)

    def made(self, path: str) -> FileIndex | None:
        """The index of one file if it has been asked for."""
        return self._made[path]

    def preload(self, found: Iterable[FileIndex]) -> None:
        """Add indexes that were made elsewhere."""
        self._made.update((index.path, index) for index in found)


def dotted(node: ast.expr) -> str | None:
    """`a.b.c` as text, or None for anything that is not a plain dotted name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(names)])


def index_module(tree: ast.Module, path: str, *, annotated: bool = False, rebinds: bool = True) -> FileIndex:
    """Index the top level of a module and its classes; the bodies of functions are left to the lowering.

    `rebinds`: its text may contain a `global` statement.
    """
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
        rebound=frozenset(_rebound(tree.body) if rebinds else ()),
        annotated=annotated,
        lines=line_table(tree),
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


def class_table(index: FileIndex) -> list[tuple[str, str, str]]:
    """(class, base as written, the base's own name) of each class of a file and each of its bases."""
    found = []
    for qualname, class_ in index.classes.items():
        for base in class_.bases:
            head, _, rest = base.partition(".")
            own = rest or index.imports.get(head, (head,))[0]
            found.append((qualname, base, own.rpartition(".")[2]))
    return found


def by_base(tables: Mapping[str, Sequence[tuple[str, str, str]]]) -> dict[str, list[tuple[str, str, str]]]:
    """Name of a base -> (file, class, base as written) of the classes that may derive from it; `tables` by file."""
    found: defaultdict[str, list[tuple[str, str, str]]] = defaultdict(list)
    # In the order of the files on the disk, whichever of them are asked about or have changed.
    for path in sorted(tables, key=lambda path: PurePath(path).parts):
        for qualname, base, name in tables[path]:
            found[name].append((path, qualname, base))
    return found
