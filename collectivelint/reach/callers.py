"""The references to a function from all files of a program; only files whose text has its name in them are read."""

from __future__ import annotations

from io import IOBase
from typing import TYPE_CHECKING, Final

from ..program.target import Target
from .one_rank import resolve
from .references import references

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..program.resolver import Program
    from .references import Reference

#: Files that may use a name; the callers of a name that more of them use are not followed.
_MOST_FILES: Final = 30
#: As many of those that one program reaches.
_MOST_INSIDE: Final = 100
#: Methods that run where an object is made.
_CONSTRUCTORS: Final = frozenset({"__init__", "__new__", "__post_init__"})
#: Methods that objects of the language have.
_COMMON: Final = frozenset(name for kind in (dict, list, set, str, bytes, tuple, IOBase) for name in dir(kind))


class Callers:
    """Finds references, and keeps those of each file that was read."""

    def __init__(self, program: Program, text: Callable[[str], bytes]) -> None:
        """`text` gives the content of a file."""
        self._program, self._text = program, text
        self._files: dict[str, list[str]] = {}
        self._references: dict[str, Mapping[str, list[Reference]]] = {}
        self._known: dict[Target, list[Reference] | None] = {}

    def files(self, name: str) -> list[str]:
        """The files that have a name in their text."""
        if name not in self._files:
            wanted = name.encode()
            self._files[name] = [path for path in self._program.indexes if wanted in self._text(path)]
        return self._files[name]

    def named(self, path: str, name: str) -> Sequence[Reference]:
        """The references of one file that have a name in them."""
        return self.within(path).get(name, ())

    def within(self, path: str) -> Mapping[str, list[Reference]]:
        """All references of one file, by each part of their names."""
        if path not in self._references:
            index = self._program.indexes[path]
            is_readable = index.problem is None
            self._references[path] = references(self._program.functions(path), index.imports) if is_readable else {}
        return self._references[path]

    def everywhere(
        self, name: str, *, beside: str = "", inside: frozenset[str] | None = None
    ) -> list[Reference] | None:
        """The references that have a name in them; None where there are too many files to read.

        `inside`: those of some files only; `beside`: of files that have this in their text as well.
        """
        files = self.files(name)
        if inside is not None:
            files = [path for path in files if path in inside]
        if beside:
            others = set(self.files(beside))
            files = [path for path in files if path in others]
        if len(files) > (_MOST_FILES if inside is None else _MOST_INSIDE):
            return None
        return [use for path in files for use in self.named(path, name)]

    def of(self, target: Target, *, inside: frozenset[str] | None = None) -> list[Reference] | None:
        """The references to a function; None where they cannot be told."""
        if inside is not None:
            return self._of(target, inside)
        if target not in self._known:
            self._known[target] = self._of(target, None)
        return self._known[target]

    def _of(self, target: Target, inside: frozenset[str] | None) -> list[Reference] | None:
        path = target.path
        function = self._program.functions(path).get(target.name)
        # `f#2`: a definition that another one of the same name replaces.
        name = target.name.partition("#")[0].rpartition(".")[2]
        if function is None:
            return None
        scope = target.name.rpartition(".<locals>.")[0]
        if function.owner is not None:
            return self._of_method(Target("class", path, function.owner), name, inside)
        if scope:
            return [use for use in self.named(path, name) if use.name == name and _is_inside(use, scope)]
        found = self.everywhere(name, inside=inside)
        if found is None:
            return None
        return [use for use in found if use.last == name and resolve(self._program, use.function, use.name) == target]

    def _of_method(self, owner: Target, name: str, inside: frozenset[str] | None) -> list[Reference] | None:
        if name in _CONSTRUCTORS:
            return self.made(owner, inside=inside)
        if name.startswith("__"):
            # The language calls it.
            return None
        some = self.everywhere(name, inside=inside)
        return None if some is None else [use for use in some if self._may_mean(use, name, owner)]

    def made(self, owner: Target, *, inside: frozenset[str] | None = None) -> list[Reference] | None:
        """The references to a class and those below it; None where they cannot be told."""
        found: list[Reference] = []
        for class_ in (owner, *self._program.subclasses(owner)):
            own = class_.name.rpartition(".")[2]
            some = self.everywhere(own, inside=inside)
            if some is None:
                return None
            found += [use for use in some if self._means_class(use, own, class_)]
        return found

    def is_definite(self, use: Reference, target: Target) -> bool:
        """Whether a reference that may be to a function is known to be: that of a method is often told by its name only."""
        function = self._program.functions(target.path).get(target.name)
        name = target.name.rpartition(".")[2]
        if function is None or function.owner is None or name in _CONSTRUCTORS or name not in use.parts:
            return True
        head, _, rest = use.name.partition(".")
        if (head in ("self", "cls") and rest == name) or (head and resolve(self._program, use.function, use.name)):
            return True
        return not use.name.startswith(".") and name not in _COMMON and self._is_unique(name)

    def _is_unique(self, name: str) -> bool:
        """Whether one class alone has a method of this name."""
        own = f".{name}"
        defining = [
            function
            for path in self.files(name)
            for function in self._program.indexes[path].functions
            if function.endswith(own)
        ]
        return len(defining) == 1

    def _means_class(self, use: Reference, name: str, class_: Target) -> bool:
        """Whether a reference is to a class, or to something in it."""
        return resolve(self._program, use.function, use.upto(name)) == class_

    def _may_mean(self, use: Reference, name: str, owner: Target) -> bool:
        """Whether an attribute may be a method of a class: not where it is known to be something else."""
        if use.last != name or "." not in use.name:
            return False
        head, _, rest = use.name.partition(".")
        if head in ("self", "cls") and rest == name and use.function.owner is not None:
            own = Target("class", use.function.path, use.function.owner)
            family = {own, *self._program.bases(own), *self._program.subclasses(own)}
            return owner in family
        target = resolve(self._program, use.function, use.name) if head else None
        if target is None or target.kind != "function":
            return target is None or target.kind == "variable"
        return target.name.rpartition(".")[2] == name and "." in target.name


def _is_inside(use: Reference, scope: str) -> bool:
    return use.function.qualname == scope or use.function.qualname.startswith(f"{scope}.<locals>.")
