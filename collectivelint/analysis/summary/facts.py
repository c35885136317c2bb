"""Facts of a function: all that is known about it after it was interpreted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..domain.causes import Cause
from ..effects import deferred, events
from .observed import ParameterEffect, Summary, first_uses, widened_uses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...ir.nodes import Function, Span
    from ...program.target import Target
    from ..domain.symbol import Symbol
    from ..domain.uniformity import Uniformity
    from ..domain.value import Value
    from ..effects import Event, Guard, Term
    from .file_use import FileUse
    from .model import ApiCall, GroupInReach, HelperCall, Invariant, Note, Registration
    from .observed import Meeting, PathUses, Stamped, Writing

_NO_NAMES: Final[frozenset[str]] = frozenset()
#: Of most functions most facts are empty: they share these, which nobody changes.
_NO_LIST: Final[list[Any]] = []
_NO_DICT: Final[dict[Any, Any]] = {}
_NO_SET: Final[set[Any]] = set()


class FunctionFacts:
    """Everything known about one function after it was interpreted."""

    __slots__ = (
        "alone",
        "arms",
        "attributes",
        "calls_at",
        "closures",
        "events",
        "fallen",
        "fallible",
        "files",
        "function",
        "gathered",
        "handed",
        "helpers",
        "invariants",
        "meetings",
        "met_in",
        "names",
        "notes",
        "paths",
        "rank_bound",
        "reaching",
        "refused",
        "registrations",
        "return_arm",
        "returns",
        "roots",
        "seed",
        "sets",
        "stamped",
        "summary",
        "term",
        "turns",
        "uniform",
        "unresolved",
        "variables",
        "whole",
        "writing",
    )

    def __init__(self, function: Function) -> None:
        self.function: Function = function
        self.calls_at: dict[Span, ApiCall] = {}
        self.invariants: list[Invariant] = []
        self.term: Term = ()
        self.summary: Term = ()
        self.returns: Value | None = None
        self.attributes: dict[str, Value] = {}
        #: Of a module, what its global variables are; of other functions only where the user asks for an explanation.
        self.variables: dict[str, Value] = {}
        #: By function defined in it: the variables that one sees.
        self.closures: dict[str, Mapping[str, Value]] = {}
        self.helpers: list[HelperCall] = []
        self.registrations: list[Registration] = []
        #: The functions that it passes to something outside the program, and the terms of lambdas.
        self.handed: list[Target | Term] = []
        self.files: list[FileUse] = []
        #: What it does to paths, itself and in what it calls, in order, with the call of this function that does it.
        self.paths: PathUses = {}
        #: By call that does something to a path where a condition on ranks leads: the conditions around it that differ.
        self.turns: dict[Span, tuple[Guard, ...]] = {}
        #: Its uses of paths that a rank has named after its own clock or random numbers, each once.
        self.stamped: dict[Stamped, None] = {}
        #: Where its ranks meet, itself and in what it calls, in order.
        self.meetings: list[Meeting] = []
        #: The conditions around each of these in this function, and around its uses of paths where a condition on ranks leads.
        self.met_in: list[tuple[Symbol, ...]] = []
        self.arms: dict[Span, tuple[Symbol, ...]] = {}
        self.notes: list[Note] = []
        #: Its parameters that hold the same on all ranks of a group afterwards.
        self.uniform: tuple[str, ...] = ()
        #: Its parameters whose elements it replaces by what it has gathered from all ranks.
        self.gathered: tuple[str, ...] = ()
        #: The attributes of its parameters that it sets on some ranks only: how they differ then.
        self.sets: dict[tuple[str, str], Uniformity] = {}
        #: Its parameters that one rank writes as if they were the whole model, with where.
        self.whole: tuple[tuple[str, Cause], ...] = ()
        #: What all ranks that call it write to.
        self.writing: Writing | None = None
        #: Its parameters that are the root of a collective it runs, itself or in what it calls.
        self.roots: tuple[str, ...] = ()
        #: The attributes, containers and variables that it binds, or puts something into, where a condition on ranks leads.
        self.rank_bound: set[str] = set()
        #: A final `else: raise`, reached by the ranks that another rank's condition sent there.
        self.fallen: list[tuple[Guard, Span]] = []
        #: What it returns where there are no other ranks.
        self.alone: Value | None = None
        #: Of a constructor: the conditions on the attributes that it sets in which it raises.
        self.refused: tuple[Symbol, ...] = ()
        #: What it seeds random numbers with.
        self.seed: Value | None = None
        #: The collectives of its summary.
        self.events: tuple[Event, ...] = ()
        #: What may fail in it on one rank alone, and is not caught there.
        self.fallible: Cause | None = None
        #: The condition that differs between ranks and decides what is returned, one object for each of its arms.
        self.return_arm: tuple[Guard, Value] | None = None
        #: By call of a function of the program, for those who ask: the groups in reach there, and the names that are bound.
        self.reaching: dict[Span, tuple[tuple[GroupInReach, ...], frozenset[str]]] = {}
        #: The names that are bound in it, for those who ask.
        self.names: frozenset[str] = _NO_NAMES
        #: Attribute calls whose function could not be found, for those who ask.
        self.unresolved: list[tuple[str, Span]] = []

    def settle(self) -> None:
        """Freeze the facts: nothing is added from now on, and empty containers are shared to save memory."""
        self.calls_at = self.calls_at or _NO_DICT
        self.invariants = self.invariants or _NO_LIST
        self.attributes = self.attributes or _NO_DICT
        self.variables = self.variables or _NO_DICT
        self.closures = self.closures or _NO_DICT
        self.helpers = self.helpers or _NO_LIST
        self.registrations = self.registrations or _NO_LIST
        self.handed = self.handed or _NO_LIST
        self.files = self.files or _NO_LIST
        self.paths = self.paths or _NO_DICT
        self.turns = self.turns or _NO_DICT
        self.stamped = self.stamped or _NO_DICT
        self.meetings = self.meetings or _NO_LIST
        self.met_in = self.met_in or _NO_LIST
        self.arms = self.arms or _NO_DICT
        self.notes = self.notes or _NO_LIST
        self.sets = self.sets or _NO_DICT
        self.rank_bound = self.rank_bound or _NO_SET
        self.fallen = self.fallen or _NO_LIST
        self.reaching = self.reaching or _NO_DICT
        self.unresolved = self.unresolved or _NO_LIST

    @property
    def calls(self) -> list[ApiCall]:
        """Its catalogue calls, in the order in which they were interpreted."""
        return list(self.calls_at.values())

    @property
    def changed(self) -> Cause | None:
        """The first place where it changes a tensor argument in place, if any."""
        places = (found.span for found in self.notes if found.kind == "in place" and not found.callee)
        return next((Cause("data", self.function.path, span) for span in places), None)

    @property
    def share(self) -> Cause | None:
        """Where a model parameter is created with the size of one rank's share."""
        return next((found.causes[0] for found in self.notes if found.kind == "share"), None)

    def observed(self) -> Summary:
        """The summary: what other functions can see of it."""
        return Summary(
            effect=self.summary,
            returns=self.returns,
            attributes=self.attributes,
            variables=self.variables if self.function.qualname == "<module>" else {},
            parameters=ParameterEffect(
                self.uniform, self.roots, self.whole, self.changed, self.gathered, self.own_sets
            ),
            writing=self.writing,
            share=self.share,
            fallible=self.fallible,
            calls=tuple(dict.fromkeys(deferred(self.term))),
            paths=first_uses(self.paths),
            seed=self.seed,
            meetings=tuple(self.meetings),
        )

    @property
    def own_sets(self) -> tuple[tuple[str, str, Uniformity], ...]:
        """The attributes of its parameters that differ between ranks after a call."""
        return tuple((*names, found) for names, found in self.sets.items())

    def widened(self, summary: Summary) -> FunctionFacts:
        """The same facts with another summary for callers."""
        found = FunctionFacts(self.function)
        found.calls_at = self.calls_at
        found.invariants = self.invariants
        found.term = self.term
        found.summary = summary.effect
        found.returns = summary.returns
        found.attributes = dict(summary.attributes)
        found.variables = {**self.variables, **summary.variables}
        found.closures = self.closures
        found.helpers = self.helpers
        found.registrations = self.registrations
        found.handed = self.handed
        found.files = self.files
        found.paths = widened_uses(self.paths, summary.paths)
        found.turns = self.turns
        found.stamped = self.stamped
        found.meetings = list(summary.meetings)
        found.met_in = self.met_in
        found.arms = self.arms
        found.notes = self.notes
        found.uniform = summary.parameters.uniform
        found.whole = summary.parameters.whole
        found.gathered = summary.parameters.gathered
        found.sets = {(owner, name): known for owner, name, known in summary.parameters.sets}
        found.writing = summary.writing
        found.roots = summary.parameters.roots
        found.fallen = self.fallen
        found.alone = self.alone
        found.events = tuple(events(summary.effect))
        found.fallible = summary.fallible
        found.seed = summary.seed
        found.refused = self.refused
        found.return_arm = self.return_arm
        found.reaching = self.reaching
        found.names = self.names
        found.unresolved = self.unresolved
        return found


def note(facts: FunctionFacts, found: Note) -> None:
    """Record a note once, since the body of a loop is interpreted twice."""
    if not any(other.kind == found.kind and other.span == found.span for other in facts.notes):
        facts.notes.append(found)
