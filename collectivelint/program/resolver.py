"""The files joined into one program: which definition a dotted name means, seen from which file."""

from __future__ import annotations

import builtins
import os.path
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from .dependencies import Separately
from .index import class_table
from .modules import Modules
from .resolution import Resolution
from .subclasses import Subclasses
from .target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ..ir.nodes import Function
    from .index import ClassIndex, FileIndex

_BUILTINS: Final = frozenset(dir(builtins))
_NOTHING: Final = Target("external", "", "")


class Program:
    """Resolves names and classes over the indexes of all files; lowers a file when it is first needed."""

    def __init__(
        self,
        indexes: Mapping[str, FileIndex],
        lower: Callable[[str], Mapping[str, Function]],
        known_modules: frozenset[str] = frozenset(),
        known_names: frozenset[str] = frozenset(),
        classes: Callable[[], Mapping[str, Sequence[tuple[str, str, str]]]] | None = None,
    ) -> None:
        """`indexes` may be made when asked for. `lower` gives the functions of a file by qualified name; it is called at
        most once per file.

        `known_modules` are those the catalogue describes, `known_names` what it says something about: such a name means
        that even where a file of the program could be imported by the same name. `classes` gives `class_table` of
        every file.
        """
        self._known_modules, self._known_names = known_modules, known_names
        #: The files whose index has been read for the answer that is being computed (see `Separately`), as a sum of their
        #: `bits`; and those whose functions have been, shifted by the number of files.
        self.looked = 0
        self._sets: dict[int, int] = {}
        self.indexes = indexes
        #: A power of two for each file. Sets of files are kept for every function: as numbers they are small and fast.
        self.bits: dict[str, int] = {path: 1 << number for number, path in enumerate(sorted(indexes))}
        self._modules = Modules(indexes)
        every = classes or (lambda: {path: class_table(index) for path, index in indexes.items()})
        self._subclasses = Subclasses(every, self.resolve, self)
        self._lower = lower
        self._lowered: dict[str, Mapping[str, Function]] = {}
        #: With what had to be looked at to say so.
        self._resolved: dict[tuple[str, str], tuple[Target, int]] = {}
        self._resolution: Resolution[tuple[Target, int]] = Resolution()
        #: A class -> itself and its bases, what had to be looked at to say so, and the methods that have been asked for.
        self._bases: dict[Target, tuple[tuple[Target, ...], int, dict[str, Target | None]]] = {}

    def body(self, path: str) -> int:
        """The bit for the functions of a file having been read."""
        return self.bits.get(path, 0) << len(self.bits)

    def circle(self, path: str) -> int:
        """The bit for functions of a file belonging to a call cycle."""
        return self.bits.get(path, 0) << 2 * len(self.bits)

    def shared(self, files: int) -> int:
        """The same set of files as one shared object, to save memory."""
        return self._sets.setdefault(files, files)

    def look(self, path: str) -> None:
        """Record that the current answer depends on this file."""
        self.looked |= self.bits.get(path, 0)

    def functions(self, path: str) -> Mapping[str, Function]:
        """The lowered functions of a file."""
        self.looked |= self.bits.get(path, 0) | self.body(path)
        if path not in self._lowered:
            self._lowered[path] = self._lower(path)
        return self._lowered[path]

    def forget(self, paths: Iterable[str], renamed: Iterable[str]) -> None:
        """Lower these files again when needed, and forget answers that depend on the indexes of the `renamed` ones."""
        self.looked = 0
        for path in paths:
            self._lowered.pop(path, None)
        files = sum(self.bits[path] for path in renamed)
        if files:
            self._subclasses.below.forget(files)
            self._bases = {target: known for target, known in self._bases.items() if not known[1] & files}
            self._resolved = {key: known for key, known in self._resolved.items() if not known[1] & files}

    def is_annotated(self, path: str) -> bool:
        """Whether the file has annotations in comments. Costs nothing where it has not been read."""
        return path in self.indexes and self.indexes[path].annotated

    def mentions(self, path: str, name: str) -> bool:
        """Whether any function of the file uses this name, as a variable, an attribute or a string."""
        # Not at the top: a run in which nothing has changed does not need it.
        from ..ir.nodes import expressions

        return any(
            name in (getattr(expr, "id", None), getattr(expr, "name", None), getattr(expr, "value", None))
            for function in self.functions(path).values()
            for expr in expressions(function.body)
        )

    def function(self, target: Target) -> Function | None:
        """The lowered function behind a target, a class's `__init__` for a class."""
        if target.kind == "class":
            found = self.method(target, "__init__")
            return self.function(found) if found else None
        if target.kind != "function":
            return None
        return self.functions(target.path).get(target.name)

    def asked(self) -> dict[str, dict[str, set[str]]]:
        """Asking file -> file -> the names it looked up there, since the last call."""
        return self._resolution.taken()

    def resolve(self, path: str, name: str) -> Target | None:
        """The meaning of dotted `name` at the top level of file `path`; None for an unknown variable."""
        known = self._resolved.get((path, name)) or self._resolution.known(path, name)
        if known is None:
            if self._resolution.is_endless(path, name):
                return None
            with Separately(self) as read:
                self.look(path)
                with self._resolution.step(path, name, (_NOTHING, read.looked)) as step:
                    target = self._resolve(path, name) or _NOTHING
                    self.look(target.path)
                    known = step.answer = (target, self.shared(read.looked))
            if step.is_final:
                self._resolved[path, name] = known
        found, looked = known
        self.looked |= looked
        return None if found is _NOTHING else found

    def _resolve(self, path: str, name: str) -> Target | None:
        index = self.indexes[path]
        if name in index.functions:
            return Target("function", path, name)
        if name in index.classes:
            return Target("class", path, name)
        head, _, rest = name.partition(".")
        if head in index.imports:
            found = [self.absolute(path, f"{target}.{rest}" if rest else target) for target in index.imports[head]]
            inside = [target for target in found if target.kind != "external"]
            # Of several alternatives (`try: import fast_comm as dist` ...) one that we know something about.
            known = [target for target in found if self._is_known(target.name)]
            return (inside or known or found)[0]
        if head in index.classes and rest:
            return self.method(Target("class", path, head), rest)
        # `y = y.z` says nothing about `y`, but that it is a variable.
        if head in index.aliases and index.aliases[head].partition(".")[0] != head:
            aliased = index.aliases[head]
            return self.resolve(path, f"{aliased}.{rest}" if rest else aliased)
        if name in index.variables:
            return Target("variable", path, name)
        # What modules give away by `*` hardly ever hides `open` or `range`.
        for module in index.imports.get("*", ()) if head not in _BUILTINS else ():
            star = self.absolute(path, module)
            if star.kind == "external":
                found_outside = Target("external", "", f"{star.name}.{name}")
                if star.name in self._known_modules:
                    return found_outside
            elif star.path != path:
                self._resolution.ask(star.path, head)
                if found_inside := self.resolve(star.path, name):
                    return found_inside
        return None

    def _is_known(self, name: str) -> bool:
        """Whether a dotted name lies in a module of the catalogue."""
        parts = name.split(".")
        return any(".".join(parts[:end]) in self._known_modules for end in range(len(parts), 0, -1))

    def absolute(self, importer: str, target: str) -> Target:
        """An import target as it is written in `importer`, leading dots included."""
        if target.startswith("."):
            level = len(target) - len(target.lstrip("."))
            folder = importer
            for _ in range(level):
                folder = os.path.dirname(folder)
            return self._inside(folder, target[level:]) or Target("external", "", target)
        parts = target.split(".")
        for end in range(len(parts), 0, -1):
            if ".".join(parts[:end]) in self._known_modules and (
                target in self._known_names or not self._modules.has(parts)
            ):
                return Target("external", "", target)
            path = self._modules.find(".".join(parts[:end]), importer)
            if path is not None:
                self.look(path)
                return self._member(path, parts[end:]) or Target("external", "", target)
        return Target("external", "", target)

    def _inside(self, folder: str, name: str) -> Target | None:
        """`name` looked up in a folder: the files of a package first, then its `__init__`."""
        parts = name.split(".") if name else []
        for end in range(len(parts), -1, -1):
            base = os.path.join(folder, *parts[:end])
            for path in (f"{base}.py", os.path.join(base, "__init__.py")):
                if path in self.indexes:
                    self.look(path)
                    return self._member(path, parts[end:])
        return None

    def _member(self, path: str, rest: list[str]) -> Target | None:
        if not rest:
            return Target("module", path, "")
        self._resolution.ask(path, rest[0])
        return self.resolve(path, ".".join(rest)) or self._submodule(path, rest)

    def _submodule(self, path: str, rest: list[str]) -> Target | None:
        if PurePath(path).name != "__init__.py":
            return None
        folder = os.path.dirname(path)
        for end in range(len(rest), 0, -1):
            base = os.path.join(folder, *rest[:end])
            for file in (f"{base}.py", os.path.join(base, "__init__.py")):
                if file in self.indexes:
                    return self._member(file, rest[end:])
        return None

    def member(self, target: Target, name: str) -> Target | None:
        """`target.name` for a module, a class or something outside the program."""
        if target.kind == "module":
            return self._member(target.path, [name])
        if target.kind == "class":
            return self.method(target, name)
        if target.kind != "external":
            return None
        full = f"{target.name}.{name}"
        ours = full not in self._known_names and self._modules.has(full.split("."))
        return self.absolute("", full) if ours else Target("external", "", full)

    def class_index(self, target: Target) -> ClassIndex | None:
        """The index of a class target."""
        if target.kind == "class":
            self.look(target.path)
        return self.indexes[target.path].classes.get(target.name) if target.kind == "class" else None

    def bases(self, target: Target) -> Sequence[Target]:
        """The class and its bases in the program, nearest first (depth first; close enough to the MRO)."""
        known = self._bases.get(target)
        if known is None:
            with Separately(self) as read:
                found = tuple(self._above(target))
            known = self._bases[target] = (found, read.looked, {})
        self.looked |= known[1]
        return known[0]

    def _above(self, target: Target) -> Iterator[Target]:
        seen: set[Target] = set()
        pending = [target]
        while pending:
            current = pending.pop(0)
            index = self.class_index(current)
            if index is None or current in seen:
                continue
            seen.add(current)
            yield current
            found = [self.resolve(current.path, base) for base in index.bases]
            pending = [base for base in found if base is not None and base.kind == "class"] + pending

    def outside(self, target: Target) -> Iterator[str]:
        """The bases of a class that are not in the program."""
        for owner in self.bases(target):
            for base in self.indexes[owner.path].classes[owner.name].bases:
                found = self.resolve(owner.path, base)
                if found is not None and found.kind == "external":
                    yield found.name

    def method(self, target: Target, name: str) -> Target | None:
        """Method `name` of a class or its nearest base that has one."""
        bases, known = self.bases(target), self._bases[target][2]
        if name not in known:
            owners = [owner for owner in bases if name in self.indexes[owner.path].classes[owner.name].methods]
            known[name] = Target("function", owners[0].path, f"{owners[0].name}.{name}") if owners else None
        return known[name]

    def methods(self, target: Target, name: str) -> list[Target]:
        """Every method a call of `name` on an instance may run: its own or the inherited one, and all overrides."""
        found = [self.method(target, name)]
        found += [
            Target("function", child.path, f"{child.name}.{name}")
            for child in self.subclasses(target)
            if (index := self.class_index(child)) is not None and name in index.methods
        ]
        return list(dict.fromkeys(method for method in found if method is not None))

    def subclasses(self, target: Target) -> list[Target]:
        """All direct and indirect subclasses of this class in the program."""
        return self._subclasses.of(target)
