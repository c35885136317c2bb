"""Programs of one process: nothing that they reach creates a process group or reads a launcher's environment."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from ..ir.names import plain
from ..ir.nodes import Call, Constant, expressions
from ..program.target import Target
from ..source.discover import is_test
from .default_of_one import DefaultOfOne
from .entry_points import SET_UP, is_test_function
from .group_of_one import is_group_of_one
from .initialisers import Initialisers
from .libraries import is_starting_name
from .names import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..catalog.model import Catalog
    from ..ir.nodes import Expr, Function
    from ..program.resolver import Program
    from .callers import Callers
    from .entry_points import EntryPoints
    from .libraries import Libraries
    from .references import Reference

#: What only works in a process group.
_GROUPED: Final = ("collective", "point_to_point", "group_constructor", "group_accessor", "rank_source")


class SingleProcess:
    """Which programs run in one process."""

    def __init__(
        self, program: Program, catalog: Catalog, callers: Callers, entries: EntryPoints, libraries: Libraries
    ) -> None:
        """Nothing is read before it is asked for."""
        self._program, self._catalog, self._callers, self._entries = program, catalog, callers, entries
        self._libraries = libraries
        self._initialisers = Initialisers(program, catalog, callers)
        self._default_of_one = DefaultOfOne(program, catalog, callers)
        self._imports = entries.imports
        self._programs: dict[Target, bool] = {}
        self._functions: dict[Target, bool] = {}
        self._distributed: dict[str, frozenset[str]] = {}
        self._grouped = {api.op for api in catalog.of(*_GROUPED)}
        self._environment = {*catalog.environment, *catalog.sizes}

    def runs(self, target: Target) -> bool:
        """Whether every program that runs a function is in the tree and has one process."""
        if target not in self._functions:
            programs = self._entries.programs_of(target)
            self._functions[target] = (
                not programs.others and bool(programs.entries) and all(map(self.is_program, programs.entries))
            )
        return self._functions[target]

    def may_run(self, target: Target) -> bool:
        """Whether all programs that run a function are in the tree and have one process unless launched with more."""
        programs = self._entries.programs_of(target)
        return (
            not programs.others
            and bool(programs.entries)
            and all(self._default_of_one.is_file(entry.path) or self.is_program(entry) for entry in programs.entries)
        )

    def is_program(self, entry: Target) -> bool:
        """Whether the program of an entry point has one process."""
        if entry not in self._programs:
            self._programs[entry] = self._is_single(entry)
        return self._programs[entry]

    def _is_single(self, entry: Target) -> bool:
        functions = self._program.functions(entry.path)
        is_function = is_test_function(entry)
        around = self._around(entry) if is_function else [Target("function", entry.path, name) for name in functions]
        if around is None:
            return False
        if not is_function and self._libraries.run_in_one(entry.path):
            return True
        if not self._makes_group_of_one(around) and any(map(self._is_distributed, around)):
            return False
        if not is_function and self._is_run_by_others(entry.path):
            return False
        conftests = set(self._conftests(entry.path)) if is_test(entry.path) else set()
        files = self._imports.files(entry.path).union(*map(self._imports.files, conftests))
        if any(self._program.indexes[path].problem is not None for path in files):
            return False
        if any(map(self._libraries.may_start, sorted(files))):
            return False
        return not self._initialisers.are_reached(set(around), entry, files, conftests)

    def _makes_group_of_one(self, targets: Iterable[Target]) -> bool:
        """Whether one of some functions creates a process group of one rank, in which collectives work."""
        for target in targets:
            functions = self._program.functions(target.path)
            if target.name in functions and is_group_of_one(functions[target.name], functions.get("<module>")):
                return True
        return False

    def _is_run_by_others(self, path: str) -> bool:
        """Whether another file runs this script in its own process, where a process group may exist."""
        texts = self._callers.texts
        running = {*texts.files("runpy"), *(set(texts.files("exec")) & set(texts.files("open")))} - {path}
        own = re.compile(
            rb"[\"'/]%b[\"']|\brun_module\(|\brun_path\((?![\"'])"
            % re.escape(PurePath(path).name.encode(errors="surrogateescape"))
        )
        return any(own.search(texts.code(other)) for other in running)

    def _conftests(self, path: str) -> Iterator[str]:
        for folder in PurePath(path).parents:
            conftest = str(folder / "conftest.py")
            if conftest in self._program.indexes:
                yield conftest

    def _around(self, test: Target) -> list[Target] | None:
        """A test, its nested functions, and the fixtures and set-up functions of its file, its class and its bases.

        None for a test of a class with a base outside of the program that may start processes.
        """
        functions = self._program.functions(test.path)
        found = [test]
        for name, function in functions.items():
            is_own = name.startswith(f"{test.name}.<locals>")
            is_around = "." not in name and (name in SET_UP or name == "setup_module")
            if is_own or is_around or _is_fixture(function) or name.endswith("<class>"):
                found.append(Target("function", test.path, name))
        owner = functions[test.name].owner if test.name in functions else None
        if owner is None:
            return found
        for class_ in self._program.bases(Target("class", test.path, owner)):
            index = self._program.indexes[class_.path].classes[class_.name]
            for base in index.bases:
                target = self._program.resolve(class_.path, base)
                is_inside = target is not None and target.kind == "class"
                if not is_inside and base.rpartition(".")[2] not in self._catalog.plain_tests:
                    return None
            # Whatever a base of tests defines besides tests it may run around them.
            found += [
                Target("function", class_.path, f"{class_.name}.{method}")
                for method in index.methods
                if method in SET_UP or (class_.name != owner and not method.startswith("test"))
            ]
        return found

    def _is_distributed(self, target: Target) -> bool:
        """Whether a function itself uses a process group, or reads a launcher's environment."""
        path, name = target.path, target.name
        function = self._program.functions(path).get(name)
        if function is None:
            return True
        if function.owner is not None:
            bases = self._program.outside(Target("class", path, function.owner))
            if any(
                "distributed" in base or base.rpartition(".")[2] in self._catalog.distributed_tests for base in bases
            ):
                return True
        if any(self._is_starting(function, decorator) for decorator in function.decorators):
            return True
        if name in self._distributed_in(path):
            return True
        words = self._environment
        return any(isinstance(expr, Constant) and expr.value in words for expr in expressions(function.body))

    def _is_starting(self, function: Function, decorator: Expr) -> bool:
        """Whether a decorator of a library starts ranks: `with_comms`, `pytest.mark.world_size(2)`."""
        name = plain(decorator.function if isinstance(decorator, Call) else decorator)
        target = resolve(self._program, function, name) if name is not None else None
        if name is None or (target is not None and target.kind != "external"):
            return False
        full = target.name if target is not None else name
        return is_starting_name(full) or any(word in full for word in self._catalog.rank_marks)

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


def _is_fixture(function: Function) -> bool:
    """Whether pytest runs a function for the tests that ask for it."""
    names = (plain(item.function if isinstance(item, Call) else item) or "" for item in function.decorators)
    return any(name.endswith("fixture") for name in names)
