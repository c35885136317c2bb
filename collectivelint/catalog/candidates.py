"""Which public functions of a framework run collectives, and which of them the catalogue knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..analysis.program import Analysis
from ..program.index import Indexes
from ..program.loader import Loader
from ..program.resolver import Program
from ..program.target import Target
from ..settings.resolver import Resolver
from ..source.discover import discover, is_example, is_test
from ..source.files import SourceFiles
from ..source.paths import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ..analysis.effects import Event
    from ..analysis.summary.facts import FunctionFacts
    from ..ir.nodes import Function
    from .model import Api, Catalog

#: Folders and modules whose functions are there for the framework itself, not for programs that import it.
_NOT_IMPORTED: Final = frozenset(
    {
        "tests",
        "test",
        "testing",
        "test_utils",
        "testing_utils",
        "examples",
        "docs",
        "benchmarks",
        "benchmark",
        "scripts",
    }
)
_CONSTRUCTOR: Final = ".__init__"
_RUNNING: Final = frozenset({"collective", "point_to_point", "implicit", "group_constructor", "lifecycle"})
#: Methods with such names that programs run, by calling, iterating or entering the object.
_RUN_BY_PROGRAMS: Final = frozenset({"__init__", "__call__", "__iter__", "__enter__", "__exit__"})
#: A function of a command, and the method that runs when a module is called.
_MAIN: Final = "main"
_FORWARD: Final = "forward"
#: The first parameter of the methods of `torch.autograd.Function`.
_CONTEXT: Final = "ctx"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A public function that a program can import; a class stands for its constructor, under the class's name."""

    name: str
    module: str
    facts: FunctionFacts
    #: The collectives that it runs itself or in functions that are not public; without any, those of public ones, but for
    #: what makes the default group where there is none yet: whatever asks for a rank may do that.
    events: tuple[Event, ...]
    #: Whether it runs them itself, and not only in other public functions.
    is_own: bool
    #: Whether programs call it by its name. Others are started as commands, or called by torch or the framework: `forward`, the
    #: methods of `torch.autograd.Function`, and those of callbacks.
    is_called: bool
    known: Api | None

    @property
    def runs_collectives(self) -> bool:
        """Whether the function runs collectives, according to its source or to the catalogue."""
        return bool(self.events) or (self.known is not None and self.known.category in _RUNNING)

    @property
    def ops(self) -> list[str]:
        """The names of its collectives, without duplicates, in program order."""
        if not self.events and self.known is not None:
            return [self.known.op]
        return list(dict.fromkeys(event.op for event in self.events))


def candidates(
    folders: Iterable[Path], catalog: Catalog, *, prefix: str = "", base: Path | None = None
) -> Iterator[Candidate]:
    """The public functions in these folders, with or without collectives; `prefix` keeps modules that start with it.

    `base` is the folder that contains the outermost packages, if known.
    """
    resolver = Resolver(isolated=True)
    modules: dict[str, str] = {}
    for folder in folders:
        for path in discover([folder], resolver).files:
            module = module_of(path.resolve(), folder.resolve(), base and base.resolve())
            if path.suffix == ".py" and module is not None and module.startswith(prefix) and not _is_aside(path):
                modules[shown(path)] = module
    loader = Loader(SourceFiles())
    indexes = Indexes(modules, loader.index)
    # What the catalogue says of the framework's own functions is more than what their source shows: some call C++.
    program = Program(indexes, loader.lower, catalog.modules, catalog.names)
    readable = [path for path in modules if indexes[path].problem is None]
    callbacks = frozenset(name.rpartition(".")[2] for name in catalog.every_rank)
    rows = _rows(Program(indexes, loader.lower), catalog, {module.partition(".")[0] for module in modules.values()})
    for facts in Analysis(program, catalog, readable).functions:
        function = facts.function
        if _is_public(modules[function.path], function.qualname):
            own = tuple(event for event in facts.events if _is_own(event, modules))
            known = rows.get(Target("function", function.path, function.qualname))
            name = f"{modules[function.path]}.{function.qualname.removesuffix(_CONSTRUCTOR)}"
            events = own or tuple(event for event in facts.events if event.kind != "init")
            is_own = bool(own) or (known is not None and not events)
            is_called = _is_called(function, program, callbacks)
            yield Candidate(name, modules[function.path], facts, events, is_own, is_called, known)


def module_of(path: Path, folder: Path, base: Path | None = None) -> str | None:
    """The dotted name a file is imported by, or None if it is in no package; `folder` is or contains a package.

    `base` is the folder that contains the outermost package; if None, it is derived from the `__init__.py` files.
    """
    if base is not None:
        return _dotted(path, base)
    inside = [path.parent]
    while inside[-1] != folder and inside[-1] != inside[-1].parent:
        inside.append(inside[-1].parent)
    packages = [parent for parent in inside if (parent / "__init__.py").exists()]
    if not packages:
        return None
    base = folder
    # A package inside of another one is imported by the name of both.
    while (base / "__init__.py").exists():
        base = base.parent
    if base == folder and (base / "src").is_dir() and base / "src" in packages[-1].parents:
        base = base / "src"
    return _dotted(path, base)


def _dotted(path: Path, base: Path) -> str:
    parts = list(path.relative_to(base).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _is_aside(path: Path) -> bool:
    return is_test(path) or is_example(path)


def _is_public(module: str, qualname: str) -> bool:
    """Whether a function is part of the public API, by its module and qualified name."""
    *owners, name = qualname.split(".")
    parts = module.split(".")
    hidden = any(part.startswith(("_", "<")) for part in (*parts, *owners)) or not _NOT_IMPORTED.isdisjoint(parts)
    return not hidden and (name in _RUN_BY_PROGRAMS if name.startswith(("_", "<")) else True)


def _is_called(function: Function, program: Program, callbacks: frozenset[str]) -> bool:
    """Whether programs call a public function by its name; `callbacks` are names of classes that a framework calls."""
    owner, _, name = function.qualname.rpartition(".")
    if not owner:
        return name != _MAIN
    if name == _FORWARD or (function.params and function.params[0].name == _CONTEXT):
        return False
    target = Target("class", function.path, owner)
    above = [base.name.rpartition(".")[2] for base in program.bases(target)]
    above += [base.rpartition(".")[2] for base in program.outside(target)]
    return name == _CONSTRUCTOR.strip(".") or callbacks.isdisjoint(above)


def _is_own(event: Event, modules: dict[str, str]) -> bool:
    """Whether a collective is reached without passing through another public function of the framework."""
    if not event.chain:
        return True
    places = [(event.path, event.function), *((site.path, site.function) for site in event.chain[1:])]
    return not any(path in modules and _is_public(modules[path], function) for path, function in places)


def _rows(program: Program, catalog: Catalog, packages: set[str]) -> dict[Target, Api]:
    """The function each catalogue row describes, resolved through re-exports, with its row."""
    found: dict[Target, Api] = {}
    for name, api in catalog.apis.items():
        if name.partition(".")[0] not in packages:
            continue
        target = program.absolute("", name)
        if target.kind == "class":
            target = program.method(target, "__init__") or Target("function", target.path, f"{target.name}.__init__")
        if target.kind == "function":
            found.setdefault(target, api)
    return found
