"""What makes a process group in the files of a program, and the functions from which it may be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..ir.names import plain
from ..ir.nodes import Call, Constant, expressions
from ..program.target import Target
from .entry_points import is_under_main
from .group_of_one import is_group_of_one
from .names import resolve

if TYPE_CHECKING:
    from ..catalog.model import Catalog
    from ..ir.nodes import Function
    from ..program.resolver import Program
    from .callers import Callers
    from .references import Reference

#: Functions that may reach one that makes a group; with more of them nothing is known.
_MOST: Final = 500
#: What runs code that no import statement and no reference names.
_DYNAMIC: Final = ("exec", "import_module", "__import__", "run_path", "run_module", "instantiate")


class Initialisers:
    """Follows the references to what makes a group back to the functions of an entry point."""

    def __init__(self, program: Program, catalog: Catalog, callers: Callers) -> None:
        """Nothing is read before it is asked for."""
        self._program, self._catalog, self._callers = program, catalog, callers

    def are_reached(self, own: set[Target], entry: Target, files: frozenset[str], conftests: set[str]) -> bool:
        """Whether one of some functions may create a process group, directly or through these files."""
        pending = self._seeds(files, entry)
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
            above = self._above(current, entry, files) if len(found) < _MOST else None
            if above is None:
                return True
            pending += above
        return False

    def _seeds(self, files: frozenset[str], entry: Target) -> list[Target] | None:
        """The functions of some files that create a process group, or run unknown code; None if there are too many."""
        texts = self._callers.texts
        found: set[Target] = set()
        makers = {api.name for api in self._catalog.of("group_constructor")}
        for starter in sorted(self._catalog.starters | makers):
            library, own = starter.partition(".")[0], starter.rpartition(".")[2]
            beside = files.intersection(texts.files(library))
            if not beside:
                continue
            is_telling = "_" in own or not own.islower()
            if is_telling and texts.is_quoted(own, beside):
                return None
            for name in sorted(texts.names(own)):
                # A name that says little is one of the library only in files that speak of it.
                uses = self._callers.everywhere(name, files if is_telling else beside)
                if uses is None:
                    return None
                found |= {
                    _function_of(use)
                    for use in uses
                    if self._is_of(use, name, library, is_own=name == own)
                    and not is_group_of_one(use.function, self._program.functions(use.function.path).get("<module>"))
                    and not _is_type_test(use)
                    and not _is_elsewhere(use, entry)
                }
        for name in _DYNAMIC:
            uses = self._callers.everywhere(name, files)
            if uses is None:
                return None
            found |= {
                _function_of(use)
                for use in uses
                if use.is_called and not _names_module(use.function, name) and not _is_elsewhere(use, entry)
            }
        return sorted(found, key=lambda target: (target.path, target.name))

    def _is_of(self, use: Reference, own: str, library: str, *, is_own: bool) -> bool:
        """Whether a reference may be to a library's function of this name.

        `is_own`: it is the name that the library gives it; an alias from an import must be resolved to count.
        """
        name = use.upto(own)
        target = resolve(self._program, use.function, name)
        if target is None:
            return is_own and ("." in name or own.islower())
        return target.kind == "external" and target.name.partition(".")[0] == library

    def _above(self, target: Target, entry: Target, files: frozenset[str]) -> list[Target] | None:
        """The functions of these files that may call a function; None if they cannot be determined."""
        function = self._program.functions(target.path).get(target.name)
        if function is None or target.name == "<module>" or target.name.endswith("<class>"):
            # It runs where its file is imported, and all of these files are.
            return None
        uses = self._callers.of(target, files)
        if uses is None and function.owner is not None and target.name.rpartition(".")[2].startswith("__"):
            # The language calls it where there is an object.
            class_ = Target("class", target.path, function.owner)
            if self._callers.openness.is_made_by_language(class_, target.name.rpartition(".")[2]):
                return None
            uses = self._callers.made(class_, files)
        if uses is None:
            return None
        found = [_function_of(use) for use in uses if not _is_elsewhere(use, entry)]
        scope = target.name.rpartition(".<locals>.")[0]
        if scope:
            # What is defined in a function is run by it, or returned from it.
            found.append(Target("function", target.path, scope))
        return found


def _function_of(use: Reference) -> Target:
    return Target("function", use.function.path, use.function.qualname)


def _is_elsewhere(use: Reference, entry: Target) -> bool:
    """Whether a reference runs only in a program other than that of the entry point."""
    return use.function.path != entry.path and use.function.qualname == "<module>" and is_under_main(use)


def _is_type_test(use: Reference) -> bool:
    """Whether a name is used only in a type test."""
    name = plain(use.passed.call.function) if use.passed is not None and not use.is_called else None
    return name in ("isinstance", "issubclass", "cast")


def _names_module(function: Function, name: str) -> bool:
    """Whether all calls of an import function, such as `import_module`, pass a constant; such imports are followed."""
    calls = [
        expr
        for expr in expressions(function.body)
        if isinstance(expr, Call) and (plain(expr.function) or "").rpartition(".")[2] == name
    ]
    return (
        name in ("import_module", "__import__")
        and bool(calls)
        and all(call.args and isinstance(call.args[0], Constant) for call in calls)
    )
