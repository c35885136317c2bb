"""The references to a function from all files of a program; only files whose text has its name in them are read."""

from __future__ import annotations

import re
from io import IOBase
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from ..ir.names import plain
from ..ir.nodes import Constant
from ..program.target import Target
from .names import resolve
from .references import references

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ..ir.nodes import Call
    from ..program.resolver import Program
    from .import_reach import ImportReach
    from .libraries import Libraries
    from .openness import Openness
    from .references import Reference
    from .texts import Texts

#: Files that may use a name; the callers of a name that more of them use are not followed.
_MOST_FILES: Final = 30
#: As many of those that one program reaches.
_MOST_INSIDE: Final = 100
#: Methods that run where an object is made.
_CONSTRUCTORS: Final = frozenset({"__init__", "__new__", "__post_init__"})
#: Calls that give all that a module has.
_LISTING: Final = frozenset({"vars", "dir", "getmembers"})
#: A definition that another one of the same name replaces, or stands beside in another branch.
_REPLACED: Final = re.compile(r"#\d+")
#: Methods that objects of the language have.
_COMMON: Final = frozenset(name for kind in (dict, list, set, str, bytes, tuple, IOBase) for name in dir(kind))


class Callers:
    """Finds references, and keeps those of each file that was read."""

    def __init__(
        self, program: Program, texts: Texts, openness: Openness, libraries: Libraries, imports: ImportReach
    ) -> None:
        """Nothing is read before it is asked for."""
        self._program, self.texts, self.openness, self._libraries = program, texts, openness, libraries
        self._imports = imports
        self._references: dict[str, Mapping[str, list[Reference]]] = {}
        self._known: dict[Target, list[Reference] | None] = {}

    def named(self, path: str, name: str) -> Sequence[Reference]:
        """The references in one file whose dotted name contains a name."""
        return self.within(path).get(name, ())

    def within(self, path: str) -> Mapping[str, list[Reference]]:
        """All references in one file, by each part of their names."""
        if path not in self._references:
            index = self._program.indexes[path]
            is_readable = index.problem is None
            self._references[path] = references(self._program.functions(path), index.imports) if is_readable else {}
        return self._references[path]

    def everywhere(self, name: str, inside: frozenset[str] | None = None) -> list[Reference] | None:
        """The references (of some files) with a name in them; None where there are too many files to read."""
        files = self.texts.files(name)
        if inside is not None:
            files = [path for path in files if path in inside]
        if len(files) > (_MOST_FILES if inside is None else _MOST_INSIDE):
            return None
        return [use for path in files for use in self.named(path, name)]

    def _under(self, names: Iterable[str], inside: frozenset[str] | None) -> list[tuple[str, Reference]] | None:
        """The references that contain one of some names, each with that name; None if there are too many files."""
        found: list[tuple[str, Reference]] = []
        for name in sorted(names):
            some = self.everywhere(name, inside)
            if some is None:
                return None
            found += [(name, use) for use in some]
        return found

    def of(self, target: Target, inside: frozenset[str] | None = None) -> list[Reference] | None:
        """The references to a function (from some files); None if it may be called in ways that no reference shows."""
        if inside is not None:
            return self._of(target, inside)
        if target not in self._known:
            self._known[target] = self._of(target, None)
        return self._known[target]

    def _of(self, target: Target, inside: frozenset[str] | None) -> list[Reference] | None:
        found = self._found(target, inside)
        return None if found is None or any(map(self._is_given_away, found)) else found

    def _is_given_away(self, use: Reference) -> bool:
        """Whether a function is passed to a library that may run it in another process or later."""
        name = plain(use.passed.call.function) if use.passed is not None and not use.is_called else None
        target = resolve(self._program, use.function, name) if name is not None else None
        return target is not None and target.kind == "external" and not self._libraries.is_in_process(target.name)

    def _found(self, target: Target, inside: frozenset[str] | None) -> list[Reference] | None:
        path = target.path
        function = self._program.functions(path).get(target.name)
        # `f#2`: a definition that another one of the same name replaces.
        name = target.name.partition("#")[0].rpartition(".")[2]
        if function is None:
            return None
        scope = target.name.rpartition(".<locals>.")[0]
        if function.owner is not None and name.startswith("__"):
            # The language calls it: a constructor where the class is, the others where objects are.
            owner = Target("class", path, function.owner)
            if name not in _CONSTRUCTORS or self.openness.is_made_by_language(owner, name):
                return None
            return self.made(owner, inside)
        plain_target = Target("function", path, _REPLACED.sub("", target.name))
        is_plain = function.owner is None and not scope
        if is_plain and not self._is_known_elsewhere(path):
            if self.openness.is_decorated(function) or self.openness.is_hidden(name, frozenset({path})):
                return None
            uses = [use for use in self.named(path, name) if use.name == name]
            return [use for use in uses if resolve(self._program, use.function, name) == plain_target]
        if self.openness.is_open(function, name, inside):
            return None
        if function.owner is not None:
            some = self.everywhere(name, inside)
            class_ = Target("class", path, function.owner)
            return None if some is None else [use for use in some if self._may_mean(use, name, class_)]
        if scope:
            return [use for use in self.named(path, name) if use.name == name and _is_inside(use, scope)]
        found = self._under(self.texts.names(name), inside)
        kept = self._kept(path, inside)
        if found is None or kept is None:
            return None
        return [
            use
            for own, use in found
            if use.last == own
            and (
                resolve(self._program, use.function, use.name) == plain_target
                or (
                    own == name and self._is_unknown(use) and (kept or use.function.path in self.texts.files("modules"))
                )
            )
        ]

    def _is_known_elsewhere(self, path: str) -> bool:
        """Whether another file may refer to a module; only a script that no file imports or names is ruled out."""
        if b"__main__" not in self.texts.code(path) or self._imports.is_imported(path):
            return True
        return self.texts.is_module_quoted(PurePath(path).stem)

    def _is_unknown(self, use: Reference) -> bool:
        """Whether a name is an attribute of an unknown object, which may be a module."""
        if "." not in use.name:
            return False
        head = use.name.partition(".")[0]
        return not head or resolve(self._program, use.function, use.name) is None

    def _kept(self, path: str, inside: frozenset[str] | None) -> bool | None:
        """Whether a module itself is passed or stored in a variable; None if any member may be used that way."""
        own = PurePath(path)
        stem = own.parent.name if own.name == "__init__.py" else own.stem
        uses = self._under(self.texts.names(stem), inside)
        if uses is None:
            return True
        module = Target("module", path, "")
        is_kept = False
        for name, use in uses:
            if name not in use.parts or resolve(self._program, use.function, use.upto(name)) != module:
                continue
            if use.last == "__dict__":
                return None
            if use.last == name:
                is_kept = True
                if use.passed is not None and _lists(use.passed.call):
                    return None
        return is_kept

    def made(self, owner: Target, inside: frozenset[str] | None = None) -> list[Reference] | None:
        """The references to a class and its subclasses (in some files); None if they cannot be determined."""
        found: list[Reference] = []
        for class_ in (owner, *self._program.subclasses(owner)):
            own = class_.name.rpartition(".")[2]
            some = self._under(self.texts.names(own), inside)
            if some is None or self.openness.is_registered(class_, own, inside):
                return None
            found += [use for name, use in some if self._means_class(use, name, class_)]
        return found

    def is_definite(self, use: Reference, target: Target) -> bool:
        """Whether a reference certainly refers to `target`; a method is often recognised by its name only."""
        function = self._program.functions(target.path).get(target.name)
        name = target.name.rpartition(".")[2]
        if function is not None and function.owner is None and self._is_unknown(use):
            return False
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
            for path in self.texts.files(name)
            for function in self._program.indexes[path].functions
            if function.endswith(own)
        ]
        return len(defining) == 1

    def _means_class(self, use: Reference, name: str, class_: Target) -> bool:
        """Whether a reference is to a class, or to something in it."""
        return resolve(self._program, use.function, use.upto(name)) == class_

    def _may_mean(self, use: Reference, name: str, owner: Target) -> bool:
        """Whether a reference may be to a method of a class: not where it is known to be something else."""
        if use.last != name:
            return False
        if "." not in use.name:
            # In the body of the class: `step = sync`, `property(sync)`.
            return use.function.qualname == f"{owner.name}.<class>" and use.function.path == owner.path
        head, _, rest = use.name.partition(".")
        if head in ("self", "cls") and rest == name and use.function.owner is not None:
            own = Target("class", use.function.path, use.function.owner)
            family = {own, *self._program.bases(own), *self._program.subclasses(own)}
            return owner in family
        target = resolve(self._program, use.function, use.name) if head else None
        if target is not None and target.kind == "external":
            return self._is_of_ours(use)
        if target is None or target.kind != "function":
            return target is None or target.kind == "variable"
        return target.name.rpartition(".")[2] == name and "." in target.name

    def _is_of_ours(self, use: Reference) -> bool:
        """Whether a prefix of a name is defined in the program: `env.setup`, with `env` a variable of another file."""
        parts = use.name.split(".")
        heads = (".".join(parts[:end]) for end in range(len(parts) - 1, 0, -1))
        found = (resolve(self._program, use.function, head) for head in heads)
        return any(target is not None and target.kind in ("variable", "class", "function") for target in found)


def _lists(call: Call) -> bool:
    """Whether a call lists the members of a module, or accesses one by a computed name."""
    name = (plain(call.function) or "").rpartition(".")[2]
    return name in _LISTING or (name == "getattr" and not all(isinstance(arg, Constant) for arg in call.args[1:2]))


def _is_inside(use: Reference, scope: str) -> bool:
    return use.function.qualname == scope or use.function.qualname.startswith(f"{scope}.<locals>.")
