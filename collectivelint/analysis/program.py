"""The analysis of a whole program: every function interpreted once, callees before their callers need them."""

from __future__ import annotations

from collections import defaultdict
from copy import copy
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..ir.nodes import Assign, Attribute, Branch, Call, Loop, Name, Try, With, expressions
from ..program.dependencies import Separately
from ..program.target import Target
from .checks.divergence import divergences
from .domain.value import UNKNOWN, WORLD, Cause, Value, join
from .effects import events, repeats
from .summary.fixpoint import Postponed, Solver
from .summary.model import FunctionFacts, Registration
from .transfer.binding import plain
from .transfer.group_names import named_calls, other_uses
from .transfer.statements import interpret

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ..catalog.model import Catalog
    from ..ir.nodes import Block, Function, Span
    from ..program.resolver import Program
    from ..source.annotations import Annotation
    from .checks.divergence import Divergence
    from .effects import Event, Guard, Repeat, Term
    from .summary.model import ApiCall, Invariant, Making, Note, NoteKind


class Analysis:
    """What the rules ask. Facts of a function are computed when first needed and kept."""

    def __init__(
        self,
        program: Program,
        catalog: Catalog,
        paths: Iterable[str],
        annotations: Mapping[str, Annotation] = MappingProxyType({}),
    ) -> None:
        """`paths` are the files to answer about; functions of other files are interpreted where these call them.

        `annotations` are those of the configuration, by dotted name.

        Set `making` before asking for divergences: where the whole program makes sub-groups.
        """
        self.program, self.catalog = program, catalog
        self.paths = tuple(paths)
        self.making: Sequence[Making] = ()
        #: Should facts say which calls could not be followed?
        self.explaining = False
        self.failures: list[tuple[Function, Exception]] = []
        self._solver = Solver(program, _same)
        #: By path: what rules have looked at beyond the facts of the file's own functions.
        self._looked: defaultdict[str, int] = defaultdict(int)
        self._closures: dict[tuple[str, str], Mapping[str, Value]] = {}
        #: By (path, name): what the configuration says of the names it mentions.
        self._configured: dict[tuple[str, str], Annotation] = {}
        for name, annotation in annotations.items():
            target = program.absolute("", name)
            self._configured[target.path, target.name] = annotation
        self._handling: dict[Target, list[str]] = {}
        self._assigning: dict[Target, Mapping[str, list[str]]] = {}
        self._uses: dict[tuple[str, str], frozenset[str]] = {}
        self._named: dict[str, Mapping[str, list[tuple[Function, Call]]]] = {}

    def about(self, paths: Iterable[str]) -> Analysis:
        """The same for other files; what is known of functions is shared."""
        other = copy(self)
        for name in ("functions", "_divergences"):
            other.__dict__.pop(name, None)
        other.paths, other.failures = tuple(paths), self.failures
        return other

    # ------------------------------------------------------------------------------------- what the rules ask for

    @cached_property
    def functions(self) -> list[FunctionFacts]:
        """The facts of every function of the files in question, in order of position."""
        return [facts for path in self.paths for facts in self._of(path)]

    def _of(self, path: str) -> Iterator[FunctionFacts]:
        # By position, so that a function is interpreted before those defined inside it need its variables.
        for function in sorted(self.program.functions(path).values(), key=lambda function: function.span):
            facts = self.facts(Target("function", path, function.qualname))
            if facts is not None:
                yield facts

    def looked(self, path: str) -> int:
        """The files that the answers about a file rest on, as a sum of their bits."""
        total = self._looked[path] | self.program.bits[path]
        for qualname in self.program.functions(path):
            total |= self._solver.looked.get(("function", path, qualname), 0)
        return total

    def calls(self) -> Iterator[ApiCall]:
        """Every call of an API of the catalogue."""
        for facts in self.functions:
            yield from facts.calls

    def calls_of(self, path: str) -> Iterator[ApiCall]:
        """Those of one file, whether or not it was asked about."""
        for facts in self._of(path):
            yield from facts.calls

    def owner_at(self, path: str, node: object) -> Target | None:
        """The class whose method begins where `node` does."""
        place = (getattr(node, "lineno", 0), getattr(node, "col_offset", 0))
        for function in self.program.functions(path).values():
            if function.owner is not None and (function.span.line, function.span.column) == place:
                return Target("class", path, function.owner)
        return None

    def distributed(self, *, explicit: bool = False) -> set[str]:
        """Those of these files that have something to do with several ranks; `explicit`: not only through a framework."""
        skipped = ("implicit",) if explicit else ()
        return {call.function.path for call in self.calls() if call.is_distributed and call.api.category not in skipped}

    def notes(self, kind: NoteKind) -> Iterator[tuple[FunctionFacts, Note]]:
        """What was noted in the functions of these files."""
        for facts in self.functions:
            yield from ((facts, note) for note in facts.notes if note.kind == kind)

    def invariants(self) -> Iterator[Invariant]:
        """Every assert about data of other ranks or of a checkpoint."""
        for facts in self.functions:
            yield from facts.invariants

    def divergences(self) -> Iterator[tuple[FunctionFacts, Divergence]]:
        """Every collective that some ranks skip because of a condition that differs between ranks."""
        return iter(self._divergences)

    @cached_property
    def _divergences(self) -> list[tuple[FunctionFacts, Divergence]]:
        return list(self._diverging())

    def _diverging(self) -> Iterator[tuple[FunctionFacts, Divergence]]:
        lists = any(made.lists for made in self.making)
        for facts in self.functions:
            term = self._whole_term(facts)
            if term:
                for divergence in divergences(term, lists_of_ranks=lists):
                    yield facts, divergence

    def dimension(self, call: ApiCall) -> str | None:
        """The dimension of the parallelism that the group of a call is, as far as its name or its accessor says."""
        match call.group_expr:
            case Call(function=function):
                name = plain(function)
            case None:
                return None
            case expr:
                name = plain(expr)
        short = (name or "").rpartition(".")[2].lstrip("_").lower()
        for convention in self.catalog.conventions:
            if convention.meaning == "group" and convention.axis is not None and convention.fits(short):
                return convention.axis
        form = call.group.form if call.group is not None else ""
        return form if form.endswith("]") and "mesh" in form else None

    def fallen(self) -> Iterator[tuple[FunctionFacts, Guard, Span, Event]]:
        """Exceptions that some ranks alone run into, each with a collective that lies ahead of the others."""
        for facts in self.functions:
            for guard, span in facts.fallen:
                ahead = [event for event in events(facts.term) if event.place[0].line > span.line]
                if ahead:
                    yield facts, guard, span, ahead[0]

    def unordered_loops(self) -> Iterator[tuple[FunctionFacts, Repeat, Event]]:
        """Every loop over a set that runs a collective, with the first one."""
        for facts in self.functions:
            reported: set[object] = set()
            for loop in repeats(facts.term):
                event = next(events(loop.body), None)
                if loop.unordered is None or event is None or event.kind == "implicit":
                    continue
                # In the function where the set meets the loop; its callers need not hear of it again.
                here = loop.unordered.path == facts.function.path and not event.chain
                passed = event.chain and self._is_given(event, loop)
                if (here or passed) and event.place not in reported:
                    reported.add(event.place)
                    yield facts, loop, event

    def _is_given(self, event: Event, loop: Repeat) -> bool:
        """Did this function pass the set to a callee that loops over it?"""
        callee = self.facts(Target("function", event.path, event.function))
        if callee is None:
            return False
        return not any(inner.unordered == loop.unordered for inner in repeats(callee.term))

    def registered(self) -> Iterator[tuple[FunctionFacts, Registration, Event]]:
        """Everything that is called some other time and reaches a collective, with the first one."""
        for facts in self.functions:
            function = facts.function
            if function.owner is not None and function.qualname.endswith(".__del__"):
                for event in facts.events[:1]:
                    span, statement = event.place
                    own = Target("function", function.path, function.qualname)
                    yield facts, Registration(function, span, statement, "a finaliser", own), event
            for registration in facts.registrations:
                with Separately(self.program) as read:
                    target = self.facts(registration.target)
                self._looked[function.path] |= read.looked
                reached = [event for event in target.events if event.kind != "init"] if target is not None else []
                if "thread" in registration.kind:
                    # A thread with a group of its own is how collectives run in the background.
                    reached = [event for event in reached if event.group == WORLD]
                for event in reached[:1]:
                    yield facts, registration, event

    def _whole_term(self, facts: FunctionFacts) -> Term:
        """The term to judge: a context manager's two halves belong together, what one side skips the other makes up."""
        name, _, method = facts.function.qualname.rpartition(".")
        if method in ("__exit__", "__aexit__"):
            return ()
        if method not in ("__enter__", "__aenter__"):
            return facts.term
        other = self.facts(Target("function", facts.function.path, f"{name}.{method.replace('enter', 'exit')}"))
        return (*facts.term, *other.term) if other is not None else facts.term

    # -------------------------------------------------------------------------- what interpreting a function needs

    def facts(self, target: Target) -> FunctionFacts | None:
        """The facts of a function; None if it cannot be found, or while nothing is known of a recursion."""
        return self._solver.solve(("function", target.path, target.name), lambda: self._interpreted(target))

    def annotation(self, target: Target) -> Annotation | None:
        """What a comment or the configuration says of a function or a variable."""
        found = self._configured.get((target.path, target.name)) if self._configured else None
        if found is None and target.kind == "function" and self.program.is_annotated(target.path):
            function = self.program.function(target)
            found = function.annotation if function is not None else None
        return found

    def other_uses(self, path: str, qualname: str) -> frozenset[str]:
        """The names that a function uses as no process group can be used."""
        if (path, qualname) not in self._uses:
            function = self.program.functions(path).get(qualname)
            self._uses[path, qualname] = (
                frozenset() if function is None else other_uses(self.program, self.catalog, function)
            )
        return self._uses[path, qualname]

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
            return interpret(self, function, self._closures.get((target.path, target.name), {}))
        except Postponed:
            raise
        except Exception as error:  # one function's failure must not lose what is found in the others
            self.failures.append((function, error))
            return None

    def define(self, path: str, qualname: str, variables: Mapping[str, Value]) -> None:
        """Remember what a nested function sees of the function around it."""
        self._closures[(path, qualname)] = variables

    def attribute(self, owner: Target, name: str) -> Value | None:
        """What the methods of a class and its bases assign to `self.name`, joined."""
        return self._solver.solve(("attribute", owner.path, owner.name, name), lambda: self._joined(owner, name))

    def _joined(self, owner: Target, name: str) -> Value | None:
        found: Value | None = None
        for base in self.program.bases(owner):
            for method in self._assigned_in(base).get(name, ()):
                facts = self.facts(Target("function", base.path, method))
                value = facts.attributes.get(name) if facts is not None else None
                if value is not None:
                    found = value if found is None else join(found, value, f"$self.{name}")
        if found is None:
            return None
        flag = self.handled(owner, name)
        if flag is not None:
            found = found.but(varies=found.varies | {WORLD}, causes=(flag, *found.causes)[:3])
        # A parameter of __init__ means nothing in another method, where the attribute has its own name; and
        # `self.group = None` is often only a place for what somebody else puts there.
        form = f"$self.{name}" if found.form.startswith("$") or found.constant is not UNKNOWN else found.form
        given = found.form[1:] in found.depends
        if any(cause.kind == "restored" for cause in found.origins):
            # Whoever has restored it has looked at it then; most of what an object holds comes from elsewhere.
            found = found.but(origins=tuple(cause for cause in found.origins if cause.kind != "restored"))
        return found.but(form=form, depends=frozenset(), constant=UNKNOWN, given=given)

    def shared_out(self, owner: Target) -> Cause | None:
        """Where a model of this class makes a parameter of one rank's share of a size, itself or in a model inside it."""
        found: Cause | None = self._solver.solve(("shared out", owner.path, owner.name), lambda: self._share(owner))
        return found

    def _share(self, owner: Target) -> Cause | None:
        for base in self.program.bases(owner):
            for method in dict.fromkeys(method for names in self._assigned_in(base).values() for method in names):
                facts = self.facts(Target("function", base.path, method))
                for note in facts.notes if facts is not None else ():
                    if note.kind == "share":
                        return note.causes[0]
        for name in self.attributes(owner):
            value = self.attribute(owner, name)
            part = None if value is None else value.instance or (value.item.instance if value.item else None)
            if part is not None and part != owner and (found := self.shared_out(part)) is not None:
                return found
        return None

    def handled(self, owner: Target, name: str) -> Cause | None:
        """Where a method that handles a signal sets `self.name`."""
        for base in self.program.bases(owner):
            for method in self._handlers(base):
                if method in self._assigned_in(base).get(name, ()):
                    function = self.program.function(Target("function", base.path, method))
                    if function is not None:
                        return Cause("signal", base.path, function.span)
        return None

    def _handlers(self, owner: Target) -> list[str]:
        """The methods of a class that it registers as signal handlers: `signal.signal(SIGTERM, self.method)`."""
        if owner not in self._handling:
            found: list[str] = []
            index = self.program.class_index(owner)
            # Reading the statements is enough, and saves interpreting every method of every class for it.
            for name in index.methods if index is not None else ():
                function = self.program.functions(owner.path).get(f"{owner.name}.{name}")
                if function is not None and function.params:
                    methods = _registered(function.body, function.params[0].name)
                    found += [f"{owner.name}.{method}" for method in methods]
            self._handling[owner] = found
        return self._handling[owner]

    def attributes(self, owner: Target) -> list[str]:
        """The names that methods of a class and its bases assign on self."""
        return list(dict.fromkeys(name for base in self.program.bases(owner) for name in self._assigned_in(base)))

    def _assigned_in(self, owner: Target) -> Mapping[str, list[str]]:
        """Attribute -> the methods of this class that assign it."""
        if owner not in self._assigning:
            found: defaultdict[str, list[str]] = defaultdict(list)
            index = self.program.class_index(owner)
            lowered = self.program.functions(owner.path)
            for name in index.methods if index is not None else ():
                function = lowered.get(f"{owner.name}.{name}")
                if function is not None and function.params:
                    for attribute in dict.fromkeys(_assigned(function.body, function.params[0].name)):
                        found[attribute].append(function.qualname)
            self._assigning[owner] = found
        return self._assigning[owner]


def _same(one: FunctionFacts | Value | Cause | None, other: FunctionFacts | Value | Cause | None) -> bool:
    """Do two facts say the same to those who ask for them?"""
    if not isinstance(one, FunctionFacts) or not isinstance(other, FunctionFacts):
        return one == other
    return (
        one.summary == other.summary
        and one.returns == other.returns
        and one.attributes == other.attributes
        and one.roots == other.roots
        and one.fallible == other.fallible
        and one.writing == other.writing
        and one.uniform == other.uniform
        and one.whole == other.whole
        and one.notes == other.notes
    )


def _registered(block: Block, self_name: str) -> Iterator[str]:
    """Methods of `self` that a block makes signal handlers."""
    for expr in expressions(block):
        match expr:
            case Call(function=Attribute(name="signal"), args=(_, Attribute(value=Name(id=owner), name=method))):
                if owner == self_name:
                    yield method


def _assigned(block: Block, self_name: str) -> Iterator[str]:
    """Names assigned as `self.name` anywhere in a block."""
    for statement in block:
        match statement:
            case Assign(targets=targets):
                for target in targets:
                    match target:
                        case Attribute(value=Name(id=owner), name=name) if owner == self_name:
                            yield name
            case Branch(then=then, orelse=orelse):
                yield from _assigned(then, self_name)
                yield from _assigned(orelse, self_name)
            case Loop(body=body, orelse=orelse):
                yield from _assigned(body, self_name)
                yield from _assigned(orelse, self_name)
            case With(body=body):
                yield from _assigned(body, self_name)
            case Try(body=body, handlers=handlers, orelse=orelse, final=final):
                for part in (body, *(handler for _, _, handler in handlers), orelse, final):
                    yield from _assigned(part, self_name)
