"""Functions that may be called without any reference to them: by name in a string, or by a framework."""

from __future__ import annotations

import builtins
import re
from typing import TYPE_CHECKING

from ..ir.names import plain
from ..ir.nodes import Call, Exit, Name
from ..ir.traversal import blocks
from ..program.target import Target
from .names import resolve
from .references import references

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..catalog.model import Catalog
    from ..ir.nodes import Block, Expr, Function
    from ..program.resolver import Program
    from .texts import Texts


class Openness:
    """Whether all calls of a function can be found by the references to it."""

    def __init__(self, program: Program, catalog: Catalog, texts: Texts) -> None:
        """Nothing is read before it is asked for."""
        self._program, self._catalog, self._texts = program, catalog, texts

    def is_open(self, function: Function, name: str, inside: frozenset[str] | None) -> bool:
        """Whether a function may be called other than through references to it (in some files)."""
        if self.is_decorated(function):
            return True
        if "<locals>" in function.qualname:
            # What a function defines is not there for others by its name.
            return False
        if function.owner is not None:
            owner = Target("class", function.path, function.owner)
            return self.is_hidden(name, inside) or self._is_called_outside(owner, name)
        return any(self.is_hidden(own, inside) for own in self._texts.names(name))

    def is_decorated(self, function: Function) -> bool:
        """Whether a decorator may call the function, or register it elsewhere."""
        return not all(self._is_plain(function, decorator) for decorator in function.decorators)

    def is_registered(self, class_: Target, name: str, inside: frozenset[str] | None) -> bool:
        """Whether instances of a class may be created other than through references to it (in some files)."""
        if any(self.is_hidden(own, inside) for own in self._texts.names(name)):
            return True
        if self._program.method(class_, "__init_subclass__") is not None:
            return True
        if len(self._program.bases(class_)) > 1 and self._texts.files("__subclasses__"):
            return True
        above = re.search(
            rb"([^\n]*)\n[ \t]*class[ \t]+%b\b" % name.encode(errors="surrogateescape"), self._texts.code(class_.path)
        )
        line = above[1].strip() if above is not None else b""
        decorator = re.match(rb"@(?:\w+\.)*(\w+)", line)
        if decorator is None:
            # The end of a decorator over several lines.
            return line == b")"
        return decorator[1].decode() not in self._catalog.plain_class_decorators

    def is_made_by_language(self, class_: Target, method: str) -> bool:
        """Whether a special method runs when a class is defined, not when an instance is created."""
        if method in ("__init_subclass__", "__set_name__", "__prepare__"):
            return True
        found = (self._program.class_index(above) for above in self._program.bases(class_))
        return any(index is not None and not {"type", "ABCMeta", "EnumMeta"}.isdisjoint(index.bases) for index in found)

    def is_hidden(self, name: str, inside: frozenset[str] | None) -> bool:
        """Whether a name may be used where no reference shows it: in a string, or in a file that cannot be read."""
        files = [path for path in self._texts.files(name) if inside is None or path in inside]
        if any(self._program.indexes[path].problem is not None for path in files):
            return True
        return self._texts.is_quoted(name, inside) or self._texts.decorates_class(name, inside)

    # ------------------------------------------------------------------------------------------------- decorators

    def _is_plain(self, function: Function, decorator: Expr) -> bool:
        """Whether a decorated function is still called only through its own name."""
        name = plain(decorator.function if isinstance(decorator, Call) else decorator)
        if name is None:
            return False
        target = resolve(self._program, function, name)
        if target is None or target.kind == "external":
            api = self._catalog.apis.get(target.name) if target is not None else None
            is_one = api is not None and api.category in ("decorator", "guard")
            return is_one or name.rpartition(".")[2] in self._catalog.plain_decorators
        inner = self._program.functions(target.path).get(target.name) if target.kind == "function" else None
        if inner is None:
            return False
        if not isinstance(decorator, Call):
            return self._hands_on(inner)
        scope = f"{inner.qualname}.<locals>."
        nested = [
            found
            for qualname, found in self._program.functions(inner.path).items()
            if qualname.startswith(scope) and "." not in qualname[len(scope) :] and found.params
        ]
        return bool(nested) and all(map(self._hands_on, nested))

    def _hands_on(self, decorator: Function) -> bool:
        """Whether a decorator only returns its argument, or a wrapper that calls it."""
        first = next((item.name for item in decorator.params if item.name not in ("self", "cls")), None)
        if first is None:
            return False
        scope = f"{decorator.qualname}.<locals>."
        around = {
            qualname: inner
            for qualname, inner in self._program.functions(decorator.path).items()
            if inner is decorator or qualname.startswith(scope)
        }
        kept = 0
        for use in references(around).get(first, ()):
            if use.function is not decorator or use.is_tested or use.name.startswith(f"{first}.__"):
                continue
            call = plain(use.passed.call.function) if use.passed is not None else None
            if (call or "").rpartition(".")[2] not in self._catalog.not_calling:
                kept += 1
        # Each of those that remain has to be `return function`.
        return kept <= sum(value == Name(first) for value in returned(decorator.body))

    # -------------------------------------------------------------------------------------------------- frameworks

    def _is_called_outside(self, owner: Target, name: str) -> bool:
        """Whether a class, or one below it, has a base outside of the program that may call a method of this name."""
        for class_ in (owner, *self._program.subclasses(owner)):
            for above in self._program.bases(class_):
                index = self._program.class_index(above)
                if index is not None and any(self._may_call(above, base, name) for base in index.bases):
                    return True
        return False

    def _may_call(self, class_: Target, base: str, name: str) -> bool:
        target = self._program.resolve(class_.path, base)
        if target is not None and target.kind == "class":
            return False
        last = base.rpartition(".")[2]
        if target is None and isinstance(found := getattr(builtins, base, None), type):
            return name in dir(found)
        if last == "Module":
            return name in self._catalog.module_methods or name.startswith("_")
        if last.endswith("TestCase"):
            return name.startswith(("test", "setUp", "tearDown", "asyncSetUp", "_"))
        return last not in self._catalog.plain_bases


def returned(block: Block) -> Iterator[Expr]:
    """The values that a function returns."""
    for statement in block:
        if isinstance(statement, Exit) and statement.kind == "return" and statement.value is not None:
            yield statement.value
        for inner in blocks(statement):
            yield from returned(inner)
