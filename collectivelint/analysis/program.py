"""The analysis of a whole program: every function interpreted once, callees before their callers need them."""

from __future__ import annotations

from collections import defaultdict
from copy import copy
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..ir.names import plain
from ..ir.nodes import Call
from ..program.target import Target
from ..source.discover import is_test
from .checks.memoised import keeps, made_before
from .domain.show import shown
from .domain.sweep import drop_fresh, sweep
from .domain.symbol import WORLD
from .effects import events, repeats
from .judgement import diverging
from .summary.interprocedural import COMPARED, Interprocedural
from .summary.model import Registration
from .transfer.statements import interpret

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence

    from ..catalog.model import Catalog
    from ..ir.nodes import Function, Span
    from ..program.resolver import Program
    from ..source.annotations import Annotation
    from .checks.divergence import Divergence
    from .domain.value import Value
    from .effects import Event, Guard, Repeat
    from .summary.digest import Digests
    from .summary.facts import FunctionFacts
    from .summary.fixpoint import Key
    from .summary.making import Making
    from .summary.model import ApiCall, Invariant, Note, NoteKind


def _interpreted(context: Interprocedural, function: Function, closure: Mapping[str, Value]) -> FunctionFacts:
    # Through the name in this module, so that the interpretations of a run can be counted there.
    return interpret(context, function, closure)


class Analysis:
    """The analysis as the rules query it. Facts of a function are computed when first needed and cached."""

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
        sweep()
        self.paths = tuple(paths)
        self.making: Sequence[Making] = ()
        self._whole = Interprocedural(program, catalog, _interpreted, annotations)
        #: By path: the functions whose facts rules have read beyond the file's own.
        self._read: defaultdict[str, set[Key]] = defaultdict(set)
        self._looked: defaultdict[str, int] = defaultdict(int)

    @property
    def explaining(self) -> bool:
        """Whether facts say which calls could not be followed."""
        return self._whole.explaining

    @explaining.setter
    def explaining(self, wanted: bool) -> None:
        self._whole.explaining = wanted

    @property
    def failures(self) -> list[tuple[Function, Exception]]:
        """The functions that could not be interpreted, with what went wrong."""
        return self._whole.failures

    @property
    def unsettled(self) -> frozenset[tuple[str, ...]]:
        """Facts of recursive circles whose iteration was given up before they stopped changing."""
        return frozenset(self._whole.solver.unsettled)

    def about(self, paths: Iterable[str]) -> Analysis:
        """The same analysis for other files; facts of functions are shared."""
        other = copy(self)
        for name in ("functions", "outside_tests", "_divergences"):
            other.__dict__.pop(name, None)
        other.paths = tuple(paths)
        return other

    @property
    def is_configured(self) -> bool:
        """Whether the configuration says something of names of the program."""
        return self._whole.is_configured

    def forget(self, paths: Collection[str], renamed: Collection[str]) -> None:
        """Forget facts that depend on these files' functions or names of `renamed` files; and what the rules read."""
        sweep()
        self._whole.forget(paths, renamed)
        self._read, self._looked = defaultdict(set), defaultdict(int)

    # ------------------------------------------------------------------------------------- what the rules ask for

    @cached_property
    def functions(self) -> list[FunctionFacts]:
        """The facts of every function of the files in question, in order of position."""
        return [facts for path in self.paths for facts in self._of(path)]

    @cached_property
    def outside_tests(self) -> list[FunctionFacts]:
        """The facts of every function that is not in a test file."""
        tests = {path for path in self.paths if is_test(path)}
        return [facts for facts in self.functions if facts.function.path not in tests]

    def _of(self, path: str) -> Iterator[FunctionFacts]:
        # By position, so that a function is interpreted before those defined inside it need its variables.
        for function in sorted(self.program.functions(path).values(), key=lambda function: function.span):
            facts = self.facts(Target("function", path, function.qualname))
            drop_fresh()
            if facts is not None:
                yield facts

    def rests_on(self, path: str, cut: Container[str]) -> tuple[int, set[Key]]:
        """The dependencies of the findings about a file: the files read, as bits, and the facts of other files.

        For files in `cut`, the fact stands for its own dependencies.
        """
        solver, program = self._whole.solver, self.program
        looked = program.bits[path] | program.body(path) | self._looked[path]
        read: set[Key] = set()
        pending: list[Key] = [*(("function", path, name) for name in program.functions(path)), *self._read[path]]
        entered: set[Key] = set(pending)
        while pending:
            key = pending.pop()
            if key[0] in COMPARED and key[1] != path:
                read.add(key)
                if key[1] in cut:
                    continue
            looked |= solver.looked.get(key, 0)
            if key in solver.circles:
                looked |= self._whole.circle(key)
            fresh = solver.reads.get(key, set()) - entered
            entered |= fresh
            pending += fresh
        return program.shared(looked), read

    def digest(self, kind: str, path: str, name: str, digests: Digests) -> str:
        """The digest of a fact of a function or a class; empty if there is no such function."""
        if kind == "class":
            return digests.of_data(self._whole.class_facts(Target("class", path, name)), path)
        facts = self.facts(Target("function", path, name))
        return digests.of(facts) if facts is not None else ""

    def calls(self) -> Iterator[ApiCall]:
        """Every call of an API of the catalogue."""
        for facts in self.functions:
            yield from facts.calls

    def calls_of(self, path: str) -> Iterator[ApiCall]:
        """The catalogue calls of one file, whether or not it is one of `paths`."""
        for facts in self._of(path):
            yield from facts.calls

    def owner_at(self, path: str, node: object) -> Target | None:
        """The class whose method begins where `node` does."""
        place = (getattr(node, "lineno", 0), getattr(node, "col_offset", 0))
        for function in self.program.functions(path).values():
            if function.owner is not None and function.span.start == place:
                return Target("class", path, function.owner)
        return None

    def distributed(self, *, explicit: bool = False) -> set[str]:
        """The files with distributed calls; `explicit`: not counting those that a framework makes implicitly."""
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
        return list(diverging(self))

    def setters(self, owner: Target, name: str) -> tuple[str, ...]:
        """The methods of a class, without its bases, that assign an attribute."""
        return self._whole.setters(owner, name)

    def dimension(self, call: ApiCall) -> str | None:
        """The parallelism dimension of a call's group, by the group's name or accessor; None where they do not say."""
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
        if call.group is None or call.group.symbol.kind != "subscript":
            return None
        # The dimension of something that is called a mesh.
        named = any("mesh" in str(part) for inner in call.group.symbol.walk() for part in inner.head)
        return shown(call.group.symbol) if named else None

    def fallen(self) -> Iterator[tuple[FunctionFacts, Guard, Span, Event]]:
        """Exceptions in a final `else` that only some ranks reach, each with a later collective of the other ranks."""
        for facts in self.functions:
            for guard, span in facts.fallen:
                ahead = [event for event in events(facts.term) if event.place[0].line > span.line]
                if ahead:
                    yield facts, guard, span, ahead[0]

    def unordered_loops(self) -> Iterator[tuple[FunctionFacts, Repeat, Event]]:
        """Every loop over a set whose collectives follow its order, with the first one, in the function with both."""
        for facts in self.functions:
            reported: set[object] = set()
            for loop in repeats(facts.term):
                event = next(events(loop.body), None)
                if loop.unordered is None or event is None or event.kind == "implicit":
                    continue
                if event.place not in reported and not self._is_callees(facts.function.path, event, loop):
                    reported.add(event.place)
                    yield facts, loop, event

    def _is_callees(self, path: str, event: Event, loop: Repeat) -> bool:
        """Whether the callee contains the loop over this set itself."""
        if not event.chain:
            return False
        below = event.chain[1] if len(event.chain) > 1 else event
        callee = self.facts_for(path, Target("function", below.path, below.function))
        return callee is not None and any(inner.unordered == loop.unordered for inner in repeats(callee.term))

    def registered(self) -> Iterator[tuple[FunctionFacts, Registration, Event]]:
        """Threads, signal and exit handlers and finalisers that reach a collective, with the first one."""
        for facts in self.functions:
            function = facts.function
            if function.owner is not None and function.qualname.endswith(".__del__"):
                for event in facts.events[:1]:
                    own = Target("function", function.path, function.qualname)
                    yield facts, Registration(function, *event.place, "a finaliser", own), event
            for registration in facts.registrations:
                target = self.facts_for(function.path, registration.target)
                reached = [event for event in target.events if event.kind != "init"] if target is not None else []
                if "thread" in registration.kind:
                    # A thread with a group of its own is how collectives run in the background.
                    reached = [event for event in reached if event.group == WORLD]
                    reached = [event for event in reached if not self._is_made_before(facts, event, registration.span)]
                for event in reached[:1]:
                    yield facts, registration, event

    def _is_made_before(self, facts: FunctionFacts, event: Event, place: Span) -> bool:
        """Whether an event makes a group that all ranks have made when they reach a place of a function."""
        made_in = Target("function", event.path, event.function)
        maker = self.facts_for(facts.function.path, made_in) if event.kind == "create" else None
        if maker is None or not keeps(maker.function, event):
            return False
        return made_before(facts.term, event, maker.function, place)

    def facts(self, target: Target) -> FunctionFacts | None:
        """The facts of a function; None if it cannot be found."""
        return self._whole.facts(target)

    def facts_for(self, path: str, target: Target) -> FunctionFacts | None:
        """The facts of a function that findings about file `path` depend on."""
        self._read[path].add(("function", target.path, target.name))
        return self.facts(target)

    def functions_for(self, path: str, other: str) -> Mapping[str, Function]:
        """The functions of another file, in source form, that findings about a file depend on."""
        self._looked[path] |= self.program.bits[other] | self.program.body(other)
        return self.program.functions(other)

    def attribute(self, owner: Target, name: str) -> Value | None:
        """What the methods of a class and its bases assign to `self.name`, joined."""
        return self._whole.attribute(owner, name)

    def calls_in(self, path: str, name: str) -> Sequence[tuple[Function, Call]]:
        """The calls of anything of this name in one file."""
        return self._whole.calls_in(path, name)
