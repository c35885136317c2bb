"""The entry points of a tree, which are scripts, console scripts and tests, and the functions that they run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..ir.nodes import Compare, Name
from ..program.target import Target
from ..source.discover import is_test

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..program.resolver import Program
    from .callers import Callers
    from .import_reach import ImportReach
    from .references import Reference

#: Functions on the ways from a function to the programs that run it.
_MOST: Final = 300
#: Methods of test classes that run before each test, or around all of them.
SET_UP: Final = frozenset({"setUp", "setUpClass", "setup_method", "setup_class", "asyncSetUp", "setup"})


@dataclass(frozen=True, slots=True)
class Programs:
    """The entry points from which a function is reached: the bodies of scripts, and functions.

    `others`: programs outside of the tree may run it too; then `entries` may be incomplete.
    """

    entries: frozenset[Target]
    others: bool


class EntryPoints:
    """Which programs run a function, by following its references to where programs begin."""

    def __init__(
        self, program: Program, callers: Callers, imports: ImportReach, scripts: frozenset[Target] = frozenset()
    ) -> None:
        """`scripts` are the functions that the project installs as commands."""
        self._program, self._callers, self._scripts = program, callers, scripts
        self.imports = imports
        self._known: dict[Target, Programs] = {}

    def programs_of(self, target: Target) -> Programs:
        """The programs that run a function."""
        if target not in self._known:
            self._known[target] = self._find(target)
        return self._known[target]

    def _find(self, target: Target) -> Programs:
        entries: set[Target] = set()
        seen = {target}
        pending = [target]
        while pending:
            current = pending.pop()
            if len(seen) > _MOST:
                return Programs(frozenset(entries), others=True)
            if is_test_function(current):
                entries.add(current)
                continue
            is_script = current in self._scripts
            if is_script:
                entries.add(current)
            if current.name.endswith("<class>"):
                current = Target("function", current.path, "<module>")
            if current.name == "<module>":
                # Code that runs where the file is imported belongs to the programs that import it.
                if self.imports.is_imported(current.path):
                    return Programs(frozenset(entries), others=True)
                entries.add(current)
                continue
            uses = self._callers.of(current)
            if uses is None:
                return Programs(frozenset(entries), others=True)
            if is_script and not uses:
                continue
            uses = uses if any(self._callers.is_definite(use, current) for use in uses) else []
            if not uses and is_test(current.path):
                # What only developers call, by hand.
                entries.add(current)
                continue
            if not uses:
                return Programs(frozenset(entries), others=True)
            for use in uses:
                caller = Target("function", use.function.path, use.function.qualname)
                if caller.name == "<module>" and is_under_main(use):
                    entries.add(caller)
                elif caller not in seen:
                    seen.add(caller)
                    pending.append(caller)
        if not all(is_test(entry.path) for entry in entries) or is_test(target.path):
            return Programs(frozenset(entries), others=False)
        # What only tests call is there for programs that are not.
        return Programs(frozenset(entries), others=True)


def is_test_function(target: Target) -> bool:
    """Whether pytest or unittest runs a function, as a test or around tests."""
    last = target.name.rpartition(".")[2]
    return (last.startswith("test") or last in SET_UP) and "<locals>" not in target.name and is_test(target.path)


def is_under_main(use: Reference) -> bool:
    """Whether a reference stands under `if __name__ == "__main__"`."""
    return any(
        isinstance(test, Compare) and Name("__name__") in (test.left, test.right) and positive == (test.op == "==")
        for test, positive in use.conditions
        if not isinstance(test, Compare) or test.op in ("==", "!=")
    )


_ENTRY: Final = re.compile(r"^\s*[\"']?[\w.-]+[\"']?\s*=\s*[\"']?([\w.]+):([\w.]+)", re.MULTILINE)


def console_scripts(program: Program, texts: Iterable[str]) -> frozenset[Target]:
    """The functions that configuration files of projects (pyproject.toml, setup.cfg, setup.py) name as commands."""
    found = set()
    for text in texts:
        for module, name in _ENTRY.findall(text):
            target = program.absolute("", f"{module}.{name}")
            if target.kind == "function":
                found.add(target)
    return frozenset(found)
