"""Programs of one process: nothing that they reach makes a process group, or reads what a launcher says."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

from ..ir.nodes import Constant, expressions
from ..program.target import Target
from .entry_points import SET_UP, is_test_function
from .one_rank import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..catalog.model import Catalog
    from ..program.resolver import Program
    from .callers import Callers
    from .entry_points import EntryPoints
    from .references import Reference

#: Functions that may reach one that makes a group; with more of them nothing is known.
_MOST: Final = 1_500
#: What runs several processes, or programs that do, under the names of libraries that the catalogue does not describe.
_SPAWNERS: Final = ("MultiProcessTestCase", "MultiThreadedTestCase", "DTensorTestBase", "DistributedTestBase", "FSDPTest")


class SingleProcess:
    """Which programs have one process."""

    def __init__(self, program: Program, catalog: Catalog, callers: Callers, entries: EntryPoints) -> None:
        """Nothing is read before it is asked for."""
        self._program, self._catalog, self._callers, self._entries = program, catalog, callers, entries
        self._initialising: frozenset[Target] | None = None
        self._is_known = True
        self._programs: dict[Target, bool] = {}
        self._functions: dict[Target, bool] = {}

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
        initialising = self._reaching()
        if not self._is_known:
            return False
        functions = self._program.functions(entry.path)
        around = self._around(entry) if is_test_function(entry) else list(functions)
        return not any(
            Target("function", entry.path, name) in initialising or self._is_distributed(entry.path, name)
            for name in around
        )

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
        words = {expr.value for expr in expressions(function.body) if isinstance(expr, Constant)}
        if not words.isdisjoint({*self._catalog.environment, *self._catalog.sizes}):
            return True
        owner = function.owner
        if owner is not None:
            bases = self._program.outside(Target("class", path, owner))
            if any("distributed" in base or base.rpartition(".")[2] in _SPAWNERS for base in bases):
                return True
        return any(self._needs_group(use) for use in self._of(path, name))

    def _of(self, path: str, name: str) -> Iterator[Reference]:
        from .references import references

        functions = self._program.functions(path)
        seen: set[int] = set()
        for uses in references({name: functions[name]}).values():
            for use in uses:
                if id(use) not in seen:
                    seen.add(id(use))
                    yield use

    def _needs_group(self, use: Reference) -> bool:
        """Whether a reference is to something that only works in a process group."""
        target = resolve(self._program, use.function, use.name)
        api = self._catalog.apis.get(target.name) if target is not None and target.kind == "external" else None
        return api is not None and api.category in (
            "collective",
            "point_to_point",
            "group_constructor",
            "group_accessor",
            "rank_source",
        )

    # ----------------------------------------------------------------------------------------------- initialisers

    def _reaching(self) -> frozenset[Target]:
        """The functions that may make a process group, themselves or in what they call."""
        if self._initialising is None:
            self._initialising = frozenset(self._close(self._seeds()))
        return self._initialising

    def _seeds(self) -> set[Target]:
        found: set[Target] = set()
        for starter in sorted(self._catalog.starters):
            library, own = starter.partition(".")[0], starter.rpartition(".")[2]
            uses = self._callers.everywhere(own, beside=library)
            if uses is None:
                self._is_known = False
                return found
            found |= {_function_of(use) for use in uses if self._is_of(use, own, library)}
        return found

    def _is_of(self, use: Reference, own: str, library: str) -> bool:
        """Whether a reference is to something of this name in a library, as far as can be told."""
        parts = use.name.split(".")
        name = ".".join(parts[: parts.index(own) + 1])
        target = resolve(self._program, use.function, name)
        if target is None:
            return "." in name or own.islower()
        return target.kind == "external" and target.name.partition(".")[0] == library

    def _close(self, seeds: set[Target]) -> set[Target]:
        found: set[Target] = set()
        pending = sorted(seeds, key=lambda target: (target.path, target.name))
        while pending:
            current = pending.pop()
            if current in found:
                continue
            found.add(current)
            if len(found) > _MOST:
                self._is_known = False
                return found
            pending += self._above(current)
        return found

    def _above(self, target: Target) -> Sequence[Target]:
        if target.name.endswith("<class>"):
            return [Target("function", target.path, "<module>")]
        function = self._program.functions(target.path).get(target.name)
        if function is None or target.name == "<module>":
            return ()
        if PurePath(target.path).name == "conftest.py" or _is_fixture(function):
            # pytest runs it before the tests of its folder.
            folder = str(PurePath(target.path).parent)
            return [
                Target("function", path, name)
                for path in self._program.indexes
                if path.startswith(folder) and Path(path).name.startswith("test")
                for name in self._program.functions(path)
            ]
        uses = self._callers.of(target)
        found = [_function_of(use) for use in uses or ()]
        scope = target.name.rpartition(".<locals>.")[0]
        if scope:
            # What is defined in a function is run by it, or returned from it.
            found.append(Target("function", target.path, scope))
        if function.owner is not None and (uses is None or function.qualname.endswith(".<class>")):
            # The language calls it where there is an object.
            uses = self._callers.made(Target("class", target.path, function.owner))
            found += [_function_of(use) for use in uses or ()]
        if uses is None:
            self._is_known = False
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
