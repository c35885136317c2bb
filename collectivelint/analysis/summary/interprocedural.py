"""The facts of every function of a program, each computed when it is first read: summaries, attributes, closures."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from ...program.dependencies import Memo
from ...program.target import Target
from ..calls.wrapped_models import asked_of
from ..domain.causes import Cause, merged
from ..domain.joining import either_state
from ..domain.kept import kept_under
from ..domain.symbol import WORLD, attribute, parameter
from ..domain.value import UNKNOWN, Value
from ..transfer.changes import SELF
from ..transfer.containers import recorded_names
from ..transfer.group_names import named_calls, other_uses
from .attribute_writes import changed_by
from .class_text import class_text
from .closures import Closure, bound_around, enclosing
from .fixpoint import Postponed, Solver
from .forgetting import resting
from .lattice import Facts
from .observed import ClassFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from ...catalog.model import Catalog
    from ...ir.nodes import Call, Function, Span
    from ...program.resolver import Program
    from ...source.annotations import Annotation
    from .facts import FunctionFacts
    from .fixpoint import Key

    #: The transfer function of a whole function: its facts, given the variables of the function around it.
    Interpret: TypeAlias = Callable[["Interprocedural", Function, Mapping[str, Value]], FunctionFacts]

#: The kinds of facts that are compared by digest between runs.
COMPARED: Final = frozenset({"function", "class"})


class Interprocedural:
    """The context in which functions are interpreted. It is shared by all files that are analysed."""

    def __init__(
        self,
        program: Program,
        catalog: Catalog,
        interpret: Interpret,
        annotations: Mapping[str, Annotation] = MappingProxyType({}),
    ) -> None:
        """`annotations` are those of the configuration, by dotted name."""
        self.program, self.catalog = program, catalog
        self._interpret = interpret
        #: Should facts say which calls could not be followed?
        self.explaining = False
        self.failures: list[tuple[Function, Exception]] = []
        self.solver = Solver(program, Facts(), COMPARED)
        #: By (path, name): what the configuration says of the names it mentions.
        self._configured: dict[tuple[str, str], Annotation] = {}
        for name, annotation in annotations.items():
            target = program.absolute("", name)
            self._configured[target.path, target.name] = annotation
        #: By the identity of the members, which the solver keeps.
        self._circles: dict[int, int] = {}
        self._uses: Memo[tuple[str, str], frozenset[str]] = Memo(program)
        self._changed: dict[str, frozenset[str]] = {}
        self._recorded: dict[str, Mapping[str, Span]] = {}
        self._named: dict[str, Mapping[str, list[tuple[Function, Call]]]] = {}

    def forget(self, paths: Collection[str], renamed: Collection[str]) -> None:
        """Forget the facts that depend on the functions of these files, or on the names of the `renamed` files."""
        files = 0
        for path in paths:
            files |= self.program.body(path)
            self._changed.pop(path, None)
            self._recorded.pop(path, None)
            self._named.pop(path, None)
        for path in renamed:
            files |= self.program.bits[path]
        self._uses.forget(files)
        self._circles.clear()
        self.failures.clear()
        solver = self.solver
        solver.forget(resting(solver.reads, solver.looked, solver.circles, files, paths))

    @property
    def is_configured(self) -> bool:
        """Whether the configuration says something of names of the program."""
        return bool(self._configured)

    def facts(self, target: Target) -> FunctionFacts | None:
        """The facts of a function; None if it cannot be found, or while nothing is known of a recursion."""
        return self.solver.solve(("function", target.path, target.name), lambda: self._interpreted(target))

    def is_recursive(self, target: Target) -> bool:
        """Whether a call of the function is recursive: its interpretation is in progress."""
        return self.solver.is_provisional(("function", target.path, target.name))

    def circle(self, key: Key) -> int:
        """The files with functions in the circle (strongly connected component) of a fact, as bits."""
        members = self.solver.circles[key]
        if id(members) not in self._circles:
            files = 0
            for path in {member[1] for member in members}:
                files |= self.program.circle(path)
            self._circles[id(members)] = files
        return self._circles[id(members)]

    def annotation(self, target: Target) -> Annotation | None:
        """The annotation of a function or a variable, from the configuration or a comment."""
        found = self._configured.get((target.path, target.name)) if self._configured else None
        if found is None and target.kind == "function" and self.program.is_annotated(target.path):
            function = self.signature(target)
            found = function.annotation if function is not None else None
        return found

    def signature(self, target: Target) -> Function | None:
        """A function for its parameters, decorators and annotation only: the caller does not depend on its body."""
        if target.kind == "class":
            found = self.program.method(target, "__init__")
            return self.signature(found) if found is not None else None
        if target.kind != "function":
            return None
        self.solver.note_read(("function", target.path, target.name))
        before = self.program.looked
        function = self.program.functions(target.path).get(target.name)
        self.program.looked = before
        return function

    def other_uses(self, path: str, qualname: str) -> frozenset[str]:
        """The names that a function uses in ways that no process group allows."""
        return self._uses.get((path, qualname), lambda: self._other_uses(path, qualname))

    def _other_uses(self, path: str, qualname: str) -> frozenset[str]:
        function = self.program.functions(path).get(qualname)
        return frozenset() if function is None else other_uses(self.program, self.catalog, function)

    def calls_in(self, path: str, name: str) -> Sequence[tuple[Function, Call]]:
        """The calls of anything of this name in one file."""
        if path not in self._named:
            self._named[path] = named_calls(self.program, path)
        return self._named[path].get(name, ())

    def _interpreted(self, target: Target) -> FunctionFacts | None:
        function = self.program.function(target)
        if function is None:
            return None
        try:
            return self._interpret(self, function, self._around(function))
        except Postponed:
            raise
        except Exception as error:  # one function's failure must not lose what is found in the others
            self.failures.append((function, error))
            return None

    def _around(self, function: Function) -> Mapping[str, Value]:
        """The variables of the enclosing function; empty for methods and for functions that are not nested."""
        if function.owner is not None or not enclosing(function.qualname):
            return {}
        bound = bound_around(self.program, function.path, function.qualname)
        return Closure(bound, lambda: self._variables(function)) if bound else {}

    def _variables(self, function: Function) -> Mapping[str, Value]:
        """The variables of the enclosing function at the definition of a nested one."""
        path, qualname = function.path, function.qualname

        def read() -> Mapping[str, Value]:
            facts = self.facts(Target("function", path, enclosing(qualname)))
            return facts.closures.get(qualname, {}) if facts is not None else {}

        return self.solver.solve(("closure", path, qualname), read) or {}

    def attribute(self, owner: Target, name: str) -> Value | None:
        """What the methods of a class and its bases assign to `self.name`, joined."""
        return self.solver.solve(("attribute", owner.path, owner.name, name), lambda: self._joined(owner, name))

    def _joined(self, owner: Target, name: str) -> Value | None:
        found: Value | None = None
        for base in self.program.bases(owner):
            known = self.class_facts(base)
            for method in dict.fromkeys((*known.assigned.get(name, ()), *known.filled.get(name, ()))):
                facts = self.facts(Target("function", base.path, method))
                value = facts.attributes.get(name) if facts is not None else None
                if value is not None and facts is not None:
                    value = kept_under(value, facts.attributes, SELF)
                    found = value if found is None else either_state(found, value, attribute(parameter(SELF), name))
            for function, passed in known.by_others.get(name, ()):
                facts = self.facts(Target("function", base.path, function))
                how = facts.sets.get((passed, name)) if facts is not None else None
                if how is not None:
                    found = Value(attribute(parameter(SELF), name)) if found is None else found
                    varies, causes = found.uniformity.varies | how.varies, merged(how.causes, found.uniformity.causes)
                    found = found.varying(varies=varies, causes=causes)
        if found is None:
            return None
        flag = self.handled(owner, name)
        if flag is not None:
            found = found.varying(varies=found.uniformity.varies | {WORLD}, causes=(flag, *found.uniformity.causes)[:3])
        # A parameter of __init__ means nothing in another method, where the attribute has its own name; and
        # `self.group = None` is often only a place for what somebody else puts there.
        own = found.symbol.root is not None or found.constant is not UNKNOWN
        symbol = attribute(parameter(SELF), name) if own else found.symbol
        given = found.given_as is not None
        if any(cause.kind == "restored" for cause in found.origin.origins):
            # Whoever has restored it has looked at it then; most of what an object holds comes from elsewhere.
            found = found.sourced(origins=tuple(cause for cause in found.origin.origins if cause.kind != "restored"))
        found = found.but(symbol=symbol, constant=UNKNOWN).varying(depends=frozenset()).referring(given=given)
        if given and found.reference.wrapped is None and found.reference.kind is None:
            tested = [
                kind for base in self.program.bases(owner) for kind in self.class_facts(base).tested.get(name, ())
            ]
            return found.referring(wrapped=asked_of(self.catalog, tested))
        return found

    def shared_out(self, owner: Target) -> Cause | None:
        """Where a model of this class, or a sub-module, creates a parameter with the size of one rank's share."""
        found: Cause | None = self.solver.solve(("shared out", owner.path, owner.name), lambda: self._share(owner))
        return found

    def _share(self, owner: Target) -> Cause | None:
        for base in self.program.bases(owner):
            for method in dict.fromkeys(method for names in self._assigned_in(base).values() for method in names):
                facts = self.facts(Target("function", base.path, method))
                if facts is not None and facts.share is not None:
                    return facts.share
        for name in self.attributes(owner):
            value = self.attribute(owner, name)
            part = (
                None
                if value is None
                else value.reference.instance
                or (value.reference.item.reference.instance if value.reference.item else None)
            )
            if part is not None and part != owner and (found := self.shared_out(part)) is not None:
                return found
        return None

    def handled(self, owner: Target, name: str) -> Cause | None:
        """The signal handler of this class that sets `self.name`, as a cause; None if there is none."""
        for base in self.program.bases(owner):
            known = self.class_facts(base)
            for method, span in known.handlers.items():
                if method in known.assigned.get(name, ()):
                    return Cause("signal", base.path, span)
        return None

    def attributes(self, owner: Target) -> list[str]:
        """The names that methods of a class and its bases assign on self."""
        return list(dict.fromkeys(name for base in self.program.bases(owner) for name in self._assigned_in(base)))

    def entries(self, owner: Target) -> frozenset[str]:
        """The entries of attributes of `self` that methods of a class and its bases set: `state['stop']`."""
        known = [self.class_facts(base) for base in self.program.bases(owner)]
        return frozenset(name for facts in known for name in facts.filled if name.endswith("]"))

    def setters(self, owner: Target, name: str) -> tuple[str, ...]:
        """The methods of a class, without its bases, that assign `self.name`."""
        return self._assigned_in(owner).get(name, ())

    def changed_in(self, path: str) -> frozenset[str]:
        """The attributes that functions of a file set on objects other than their own: see `changed_by`."""
        functions = self.program.functions(path)
        if path not in self._changed:
            self._changed[path] = changed_by(functions.values())
        return self._changed[path]

    def recorded_in(self, path: str) -> Mapping[str, Span]:
        """The variables of a file in which its functions record names: see `recorded_names`."""
        if path not in self._recorded:
            self._recorded[path] = recorded_names(self.program.functions(path).values())
        return self._recorded[path]

    def _assigned_in(self, owner: Target) -> Mapping[str, tuple[str, ...]]:
        """Attribute -> the methods of this class that assign it."""
        return self.class_facts(owner).assigned

    def class_facts(self, owner: Target) -> ClassFacts:
        """The attributes and signal handlers of a class, read from its source."""
        found: ClassFacts | None = self.solver.solve(
            ("class", owner.path, owner.name), lambda: class_text(self.program, owner)
        )
        return found or ClassFacts()
