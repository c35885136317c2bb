"""Programs of one process: nothing that they reach makes a process group, or reads what a launcher says."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

from ..ir.nodes import Constant, expressions
from ..program.target import Target
from ..source.discover import is_test
from .entry_points import SET_UP, is_test_function
from .one_rank import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..catalog.model import Catalog
    from ..program.resolver import Program
    from .callers import Callers
    from .entry_points import EntryPoints
    from .references import Reference

#: Functions that may reach one that makes a group; with more of them nothing is known.
_MOST: Final = 500
#: What runs several processes, or programs that do, under the names of libraries that the catalogue does not describe.
_SPAWNERS: Final = (
    "MultiProcessTestCase",
    "MultiThreadedTestCase",
    "DTensorTestBase",
    "DistributedTestBase",
    "FSDPTest",
)

#: What only works in a process group.
_GROUPED: Final = ("collective", "point_to_point", "group_constructor", "group_accessor", "rank_source")


class SingleProcess:
    """Which programs have one process."""

    def __init__(self, program: Program, catalog: Catalog, callers: Callers, entries: EntryPoints) -> None:
        """Nothing is read before it is asked for."""
        self._program, self._catalog, self._callers, self._entries = program, catalog, callers, entries
        self._imports = entries.imports
        self._programs: dict[Target, bool] = {}
        self._functions: dict[Target, bool] = {}
        self._distributed: dict[str, frozenset[str]] = {}
        self._grouped = {api.op for api in catalog.of(*_GROUPED)}
        self._environment = {*catalog.environment, *catalog.sizes}

    def runs(self, target: Target) -> bool:
        """Whether only programs of one process run a function, and all of them are in the tree."""
        if target not in self._functions:
            programs = self._entries.programs_of(target)
            self._functions[target] = (
                not programs.others and bool(programs.entries) and all(map(self.is_program, programs.entries))
            )
        return self._functions[target]

    def is_program(self, entry: Target) -> bool:
        """Whether the program of an entry point has one process."""
        if entry not in self._programs:
            self._programs[entry] = self._is_single(entry)
        return self._programs[entry]

    def _is_single(self, entry: Target) -> bool:
        if self._imports.is_dynamic(entry.path):
            return False
        is_function = is_test_function(entry)
        around = self._around(entry) if is_function else list(self._program.functions(entry.path))
        if any(self._is_distributed(entry.path, name) for name in around):
            return False
        conftests = set(self._conftests(entry.path)) if is_test(Path(entry.path)) else set()
        own = {Target("function", entry.path, name) for name in around}
        files = self._imports.files(entry.path).union(*map(self._imports.files, conftests))
        return not self._is_initialising(own, files, conftests)

    def _conftests(self, path: str) -> Iterator[str]:
        for folder in PurePath(path).parents:
            conftest = str(folder / "conftest.py")
            if conftest in self._program.indexes:
                yield conftest

    def _around(self, test: Target) -> list[str]:
        """A test, what it defines, and what its class or its file has run before it."""
        functions = self._program.functions(test.path)
        owner = test.name.rpartition(".")[0]
        found = [name for name in functions if name == test.name or name.startswith(f"{test.name}.<locals>")]
        for name, function in functions.items():
            scope, _, last = name.rpartition(".")
            is_around = last in SET_UP and scope in (owner, "")
            if is_around or (function.decorators and _is_fixture(function)) or last in ("setup_module", "<class>"):
                found.append(name)
        return found

    def _is_distributed(self, path: str, name: str) -> bool:
        """Whether a function itself uses a process group, or reads a launcher's environment."""
        function = self._program.functions(path)[name]
        owner = function.owner
        if owner is not None:
            bases = self._program.outside(Target("class", path, owner))
            if any("distributed" in base or base.rpartition(".")[2] in _SPAWNERS for base in bases):
                return True
        if name in self._distributed_in(path):
            return True
        words = self._environment
        return any(isinstance(expr, Constant) and expr.value in words for expr in expressions(function.body))

    def _distributed_in(self, path: str) -> frozenset[str]:
        """The functions of a file that use something which only works in a process group."""
        if path not in self._distributed:
            found = set()
            uses = self._callers.within(path)
            for name in uses.keys() & self._grouped:
                found |= {use.function.qualname for use in uses[name] if use.last == name and self._needs_group(use)}
            self._distributed[path] = frozenset(found)
        return self._distributed[path]

    def _needs_group(self, use: Reference) -> bool:
        target = resolve(self._program, use.function, use.name)
        api = self._catalog.apis.get(target.name) if target is not None and target.kind == "external" else None
        return api is not None and api.category in _GROUPED

    # ----------------------------------------------------------------------------------------------- initialisers

    def _is_initialising(self, own: set[Target], files: frozenset[str], conftests: set[str]) -> bool:
        """Whether one of some functions may reach what makes a process group, by way of these files."""
        pending = self._seeds(files)
        if pending is None:
            return True
        found: set[Target] = set()
        while pending:
            current = pending.pop()
            if current in found:
                continue
            if current in own or current.path in conftests:
                return True
            found.add(current)
            above = self._above(current, files) if len(found) < _MOST else None
            if above is None:
                return True
            pending += above
        return False

    def _seeds(self, files: frozenset[str]) -> list[Target] | None:
        found: set[Target] = set()
        makers = {api.name for api in self._catalog.of("group_constructor")}
        for starter in sorted(self._catalog.starters | makers):
            library, own = starter.partition(".")[0], starter.rpartition(".")[2]
            uses = self._callers.everywhere(own, beside=library, inside=files)
            if uses is None:
                return None
            found |= {_function_of(use) for use in uses if self._is_of(use, own, library)}
        return sorted(found, key=lambda target: (target.path, target.name))

    def _is_of(self, use: Reference, own: str, library: str) -> bool:
        """Whether a reference is to something of this name in a library, as far as can be told."""
        name = use.upto(own)
        target = resolve(self._program, use.function, name)
        if target is None:
            return "." in name or own.islower()
        return target.kind == "external" and target.name.partition(".")[0] == library

    def _above(self, target: Target, files: frozenset[str]) -> list[Target] | None:
        """The functions of these files that may run a function; None where they cannot be told."""
        if target.name.endswith("<class>"):
            return [Target("function", target.path, "<module>")]
        function = self._program.functions(target.path).get(target.name)
        if function is None or target.name == "<module>":
            return []
        uses = self._callers.of(target, inside=files)
        if uses is None and function.owner is not None:
            # The language calls it where there is an object.
            uses = self._callers.made(Target("class", target.path, function.owner), inside=files)
        if uses is None:
            return None
        found = [_function_of(use) for use in uses]
        scope = target.name.rpartition(".<locals>.")[0]
        if scope:
            # What is defined in a function is run by it, or returned from it.
            found.append(Target("function", target.path, scope))
        return found


def _function_of(use: Reference) -> Target:
    return Target("function", use.function.path, use.function.qualname)


def _is_fixture(function: object) -> bool:
    from ..ir.names import plain
    from ..ir.nodes import Call

    decorators = getattr(function, "decorators", ())
    return any(
        (plain(item.function if isinstance(item, Call) else item) or "").endswith("fixture") for item in decorators
    )
