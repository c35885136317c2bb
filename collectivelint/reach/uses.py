"""What the programs that run a function use, if the confidence of a finding about a catalogued call depends on it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from ..ir.names import plain
from ..ir.nodes import Assert, Attribute, Branch, Call, Compare, Constant, Exit, Name, Not, expressions, walk
from ..ir.traversal import blocks
from ..program.target import Target
from ..source.discover import is_test
from .names import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..catalog.model import Catalog
    from ..ir.nodes import Block, Expr, Function
    from ..program.resolver import Program
    from .answers import Question
    from .configured import Configured
    from .entry_points import EntryPoints
    from .texts import Texts

#: How an option that has to be on, and an entry of a configuration, are written in the catalogue.
_ON: Final = "=true"
_ENTRY: Final = ":"
#: A class that is made an object of.
_MADE: Final = "()"
#: A class, of which the method with the call is one.
_BELOW: Final = "<"


class Uses:
    """Looks for names and options in the files of the programs that run a function."""

    def __init__(
        self, program: Program, catalog: Catalog, texts: Texts, entry_points: EntryPoints, configured: Configured
    ) -> None:
        """Nothing is read before it is asked for."""
        self._program, self._catalog, self._texts, self._entry_points = program, catalog, texts, entry_points
        self._configured = configured
        self._known: dict[tuple[str, str, str], bool] = {}

    def leave_open(self, function: Target, question: Question) -> bool:
        """Whether a finding about a conditional or renamed API is in doubt.

        That is: its call is a collective only in configurations that no program which runs the function uses; or its
        old name only warns, and the program ignores that warning or never uses the new name.
        """
        api = self._catalog.apis.get(question.api)
        if api is None:
            return False
        package = question.api.partition(".")[0]
        if api.only_with:
            ways = [way for way in api.only_with if not self._asks(function, question, package, way)]
            return not any(self._is_used(function, package, sign) for way in ways for sign in way)
        if api.renamed is None:
            return False
        # A program that has the new name nowhere may be made for a torch without it.
        return not self._is_known(api.renamed) or self._is_silenced(function, api.op)

    def _asks(self, function: Target, question: Question, package: str, way: Sequence[str]) -> bool:
        """Whether a condition of the finding tests for a configuration in which the call is a collective."""
        user = self._program.functions(function.path).get(function.name)
        if user is None:
            return False
        tests = (
            branch.test for branch in _branches(user.body) if any(line in _lines(branch) for line in question.lines)
        )
        return any(self._names(user, part, package, sign) for test in tests for part in walk(test) for sign in way)

    def _is_used(self, function: Target, package: str, sign: str) -> bool:
        """Whether a sign of a configuration is found near a function.

        A sign is a name of a package, an option of any call, an entry of a configuration file, or a base class.
        """
        if sign.startswith(_BELOW):
            return sign.removeprefix(_BELOW) in self._above(function)
        if _ENTRY in sign:
            return self._configured.has(function.path, *sign.split(_ENTRY))
        option = sign.removesuffix(_ON).removesuffix(_MADE)
        for path in self._beside(function, option.rpartition(".")[2]):
            key = (path, package, sign)
            if key not in self._known:
                self._known[key] = any(
                    _switches(expr, option) if sign.endswith(_ON) else self._names(user, expr, package, sign)
                    for user, expr in self._expressions(path)
                )
            if self._known[key]:
                return True
        return False

    def _above(self, function: Target) -> set[str]:
        """The bases outside of the program of the class that a method belongs to."""
        user = self._program.functions(function.path).get(function.name)
        owner = None if user is None else user.owner
        return set() if owner is None else set(self._program.outside(Target("class", function.path, owner)))

    def _names(self, function: Function, expr: Expr, package: str, sign: str) -> bool:
        """Whether an expression is a name of a package, or the call of one."""
        if sign.endswith(_MADE):
            return isinstance(expr, Call) and self._names(function, expr.function, package, sign.removesuffix(_MADE))
        name = plain(expr) if isinstance(expr, (Name, Attribute)) else None
        target = resolve(self._program, function, name) if name is not None else None
        return target is not None and target.name.startswith(f"{package}.") and target.name.endswith(f".{sign}")

    def _is_known(self, name: str) -> bool:
        """Whether code outside of tests contains a name."""
        return any(not is_test(path) for path in self._texts.files(name))

    def _is_silenced(self, function: Target, name: str) -> bool:
        """Whether the program ignores warnings whose message contains a name."""
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
            refused = {id(part) for expr in _refused(function.body) for part in walk(expr)}
            for expr in expressions(function.body):
                if id(expr) not in refused:
                    yield function, expr

    def _beside(self, function: Target, word: str) -> Iterator[str]:
        """The files of `_near` in the folder of the function, of a program that runs it, or below.

        What a library elsewhere in the tree supports says little about one of its examples.
        """
        entries = {entry.path for entry in self._entry_points.programs_of(function).entries}
        folders = {os.path.dirname(path) for path in (function.path, *entries)}
        return (
            path
            for path in self._near(function, word)
            if any(not folder or path.startswith(f"{folder}/") for folder in folders)
        )

    def _near(self, function: Target, word: str) -> Iterator[str]:
        """The files with a word in them that are reachable from a program that runs a function, or from its own file.

        Tests are left out unless the function is in one.
        """
        imports = self._entry_points.imports
        entries = {entry.path for entry in self._entry_points.programs_of(function).entries}
        for path in self._texts.files(word):
            if is_test(path) and not is_test(function.path):
                continue
            reached = path in imports.files(function.path) or function.path in imports.files(path)
            if reached or any(path in imports.files(entry) for entry in entries):
                yield path


def _branches(block: Block) -> Iterator[Branch]:
    for statement in block:
        if isinstance(statement, Branch):
            yield statement
        for inner in blocks(statement):
            yield from _branches(inner)


def _refused(block: Block) -> Iterator[Expr]:
    """The conditions under which a program only raises: a name in them does not count as used."""
    for statement in block:
        if isinstance(statement, Assert) and _excludes(statement.test):
            yield statement.test
        elif isinstance(statement, Branch) and not statement.orelse and not _excludes(statement.test):
            last = statement.then[-1] if statement.then else None
            if isinstance(last, Exit) and last.kind == "raise":
                yield statement.test
        for inner in blocks(statement):
            yield from _refused(inner)


def _excludes(test: Expr) -> bool:
    return isinstance(test, Not) or (isinstance(test, Compare) and test.op in ("!=", "is not", "not in"))


def _lines(branch: Branch) -> range:
    return range(branch.test_span.line, branch.test_span.end_line + 1)


def _switches(expr: Expr, option: str) -> bool:
    """Whether a call enables an option, with True or a mode: `fsdp="full_shard"`."""
    return isinstance(expr, Call) and any(
        word == option and isinstance(value, Constant) and bool(value.value) for word, value in expr.keywords
    )


def _ignores(call: Call, name: str) -> bool:
    """Whether a call ignores warnings whose message contains a name."""
    arguments = [*call.args, *(value for _, value in call.keywords)]
    texts = [argument.value for argument in arguments if isinstance(argument, Constant)]
    return "ignore" in texts and any(isinstance(text, str) and name in text for text in texts)
