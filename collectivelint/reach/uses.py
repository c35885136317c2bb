"""What the programs that run a function use, where that decides how sure a finding about a call of the catalogue is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..ir.names import plain
from ..ir.nodes import Attribute, Call, Constant, Name, expressions
from ..source.discover import is_test
from .names import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..catalog.model import Catalog
    from ..ir.nodes import Expr, Function
    from ..program.resolver import Program
    from ..program.target import Target
    from .entry_points import EntryPoints
    from .texts import Texts

#: How an option is written in the catalogue that has to be on.
_ON: Final = "=true"


class Uses:
    """Looks for names and options in the files of the programs that run a function."""

    def __init__(self, program: Program, catalog: Catalog, texts: Texts, entry_points: EntryPoints) -> None:
        """Nothing is read before it is asked for."""
        self._program, self._catalog, self._texts, self._entry_points = program, catalog, texts, entry_points
        self._known: dict[tuple[str, str, str], bool] = {}

    def leave_open(self, function: Target, name: str) -> bool:
        """Whether a finding about a call in a function is in doubt: its API, by its name in the catalogue, says when.

        It is a collective only with what no program that runs the function uses, or its old name warns and the program
        silences that warning.
        """
        api = self._catalog.apis.get(name)
        if api is None:
            return False
        if api.only_with:
            package = name.partition(".")[0]
            return not any(self._is_used(function, package, wanted) for wanted in api.only_with)
        return api.renamed is not None and self._is_silenced(function, api.op)

    def _is_used(self, function: Target, package: str, wanted: str) -> bool:
        """Whether something of a package, or an option of any call, is used near a function."""
        option, is_option, _ = wanted.partition(_ON)
        word = wanted.rpartition(".")[2] if not is_option else option
        for path in self._near(function, word):
            key = (path, package, wanted)
            if key not in self._known:
                self._known[key] = any(
                    _switches(expr, option) if is_option else self._names(user, expr, package, wanted)
                    for user, expr in self._expressions(path)
                )
            if self._known[key]:
                return True
        return False

    def _names(self, function: Function, expr: Expr, package: str, wanted: str) -> bool:
        if not isinstance(expr, (Name, Attribute)):
            return False
        name = plain(expr) or ""
        if name.rpartition(".")[2] != wanted.rpartition(".")[2] and "." in wanted:
            return False
        target = resolve(self._program, function, name) if name else None
        return target is not None and target.name.startswith(f"{package}.") and target.name.endswith(f".{wanted}")

    def _is_silenced(self, function: Target, name: str) -> bool:
        """Whether the program ignores warnings whose message has a name in it."""
        for silencing in self._catalog.silencing:
            for path in self._near(function, silencing.rpartition(".")[2]):
                for user, expr in self._expressions(path):
                    if isinstance(expr, Call) and _ignores(expr, name):
                        target = resolve(self._program, user, plain(expr.function) or "")
                        if target is not None and target.name == silencing:
                            return True
        return False

    def _expressions(self, path: str) -> Iterator[tuple[Function, Expr]]:
        for function in self._program.functions(path).values():
            for expr in expressions(function.body):
                yield function, expr

    def _near(self, function: Target, word: str) -> Iterator[str]:
        """The files with a word in them that a program which runs a function reaches.

        What tests use says nothing of other programs.
        """
        imports = self._entry_points.imports
        entries = {entry.path for entry in self._entry_points.programs_of(function).entries}
        for path in self._texts.files(word):
            if is_test(Path(path)) and not is_test(Path(function.path)):
                continue
            reached = path in imports.files(function.path) or function.path in imports.files(path)
            if reached or any(path in imports.files(entry) for entry in entries):
                yield path


def _switches(expr: Expr, option: str) -> bool:
    """Whether a call switches an option on."""
    return isinstance(expr, Call) and (option, Constant(True)) in expr.keywords


def _ignores(call: Call, name: str) -> bool:
    """Whether a call says that warnings are ignored whose message has a name in it."""
    arguments = [*call.args, *(value for _, value in call.keywords)]
    texts = [argument.value for argument in arguments if isinstance(argument, Constant)]
    return "ignore" in texts and any(isinstance(text, str) and name in text for text in texts)
