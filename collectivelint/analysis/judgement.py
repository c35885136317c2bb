"""Judgement: the divergences in each function's term, minus those that the program shows to be harmless."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from ..program.target import Target
from .checks.comparison import divergences, one_for_each_exit, surest
from .checks.delays import only_delays
from .checks.failed_reads import is_failed_read
from .checks.file_evidence import file_evidence
from .checks.memoised import conditions_of, keeps, made_before
from .checks.own_turn import is_own_turn
from .checks.same_data import is_same_data
from .checks.seeded import seeded_before
from .checks.serving import is_served
from .checks.told_apart import is_told_apart
from .domain.normalise import continued, tidy
from .domain.path_condition import ANYWHERE
from .domain.sharding import without_sharded
from .domain.symbol import WORLD
from .effects import Leave, is_choice, map_term
from .summary.refused import CONSTRUCTORS, attributes_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ..catalog.model import Catalog
    from ..ir.nodes import Call, Function
    from ..program.resolver import Program
    from .checks.divergence import Divergence
    from .checks.file_evidence import FileEvidence
    from .domain.symbol import Symbol
    from .effects import Event, Item, Term
    from .summary.facts import FunctionFacts


class Known(Protocol):
    """What the judgement needs to know of a program."""

    @property
    def program(self) -> Program:
        """The program."""

    @property
    def catalog(self) -> Catalog:
        """The catalogue of libraries."""

    @property
    def functions(self) -> list[FunctionFacts]:
        """The facts of the functions to judge."""

    def facts(self, target: Target) -> FunctionFacts | None:
        """The facts of a function."""

    def facts_for(self, path: str, target: Target) -> FunctionFacts | None:
        """The facts of a function that findings about file `path` depend on."""

    def functions_for(self, path: str, other: str) -> Mapping[str, Function]:
        """The functions of another file, in source form, that findings about a file depend on."""

    def calls_in(self, path: str, name: str) -> Sequence[tuple[Function, Call]]:
        """The calls of anything of this name in one file."""

    def setters(self, owner: Target, name: str) -> tuple[str, ...]:
        """The methods of a class, without its bases, that assign an attribute."""


def diverging(known: Known) -> Iterator[tuple[FunctionFacts, Divergence]]:
    """The divergences of each function; for each place the one with the highest confidence."""
    for facts in known.functions:
        term = _whole_term(known, facts)
        if not term:
            continue
        bare = without_sharded(term, facts.function)
        found = list(divergences(bare))
        if bare is not term:
            places = {divergence.event.place for divergence in found}
            behind = divergences(term)
            found += [divergence.unless_plain() for divergence in behind if divergence.event.place not in places]
        setters = partial(_setters, known, facts.function)
        if found and (never := list(_refused(known, facts.function, setters))):
            possible = {divergence.event.place for divergence in divergences(_where_not(never, term))}
            found = [divergence for divergence in found if divergence.event.place in possible]
        callers = partial(_callers, known)
        real = (
            divergence
            for divergence in found
            if not is_same_data(known.catalog, divergence)
            and not only_delays(facts, divergence.guard, setters)
            and not seeded_before(facts, divergence.guard, callers)
            and not _is_made_before(known, facts, term, divergence.event)
            and not _is_of_one_rank(known, facts, divergence)
            and not _is_told_apart(known, facts, divergence)
        )
        elsewhere = partial(known.facts_for, facts.function.path)
        judged = (
            divergence.in_doubt()
            if is_own_turn(term, divergence)
            or is_served(facts, term, divergence, elsewhere)
            or is_failed_read(
                known.program, known.catalog, divergence, partial(known.functions_for, facts.function.path)
            )
            else divergence
            for divergence in surest(real, partial(_file_evidence, known, facts))
        )
        for divergence in one_for_each_exit(judged):
            yield facts, divergence


def _is_made_before(known: Known, facts: FunctionFacts, term: Term, event: Event) -> bool:
    """Whether an event makes a group that all ranks have already made."""
    if event.kind != "create" or not event.chain:
        return False
    maker = known.facts_for(facts.function.path, Target("function", event.path, event.function))
    if maker is None or not keeps(maker.function, event):
        return False
    return made_before(term, event, maker.function, event.place[0], conditions_of(term, event))


def _is_of_one_rank(known: Known, facts: FunctionFacts, divergence: Divergence) -> bool:
    """Whether a collective's group exists only on the ranks that a condition selects, by where its file assigns it."""
    group = divergence.event.group
    while group.kind == "subscript":
        group = group.args[0]
    if divergence.guard.one is None or group is WORLD or group.kind not in ("attribute", "global"):
        return False
    name = str(group.head[-1]).rpartition(".")[2]
    path = facts.function.path
    others = (known.facts(Target("function", path, qualname)) for qualname in known.program.functions(path))
    return any(other is not None and name in other.rank_bound for other in others)


def _is_told_apart(known: Known, facts: FunctionFacts, divergence: Divergence) -> bool:
    """Whether the enclosing function uses a nested function on both sides of the condition of a divergence in it."""
    outer, is_nested, _ = facts.function.qualname.rpartition(".<locals>.")
    around = known.facts(Target("function", facts.function.path, outer)) if is_nested else None
    return around is not None and is_told_apart(around.function, facts.function, divergence.guard)


def _refused(known: Known, function: Function, setters: Callable[[str], tuple[str, ...]]) -> Iterator[Symbol]:
    """The conditions under which the class's constructor raises: no object exists in such a configuration."""
    names = {f"{function.owner}.{name}" for name in CONSTRUCTORS}
    if function.owner is None or function.qualname in names:
        return
    for name in sorted(names):
        constructor = known.facts_for(function.path, Target("function", function.path, name))
        for condition in () if constructor is None else constructor.refused:
            if all({*setters(attribute)} <= names for attribute in attributes_in(condition)):
                yield condition


def _where_not(never: Sequence[Symbol], term: Term) -> Term:
    """The term where all of the conditions `never` are false."""
    known = ANYWHERE
    for condition in never:
        known = known.given(condition, holds=False)
    return tidy(term, known)


def _setters(known: Known, function: Function, name: str) -> tuple[str, ...]:
    return () if function.owner is None else known.setters(Target("class", function.path, function.owner), name)


def _file_evidence(known: Known, facts: FunctionFacts, divergence: Divergence) -> FileEvidence | None:
    """What the program shows about the look-ups of files that decide a divergence."""
    return file_evidence(facts, divergence.guard, divergence.event, partial(_callers, known, facts))


def _callers(known: Known, facts: FunctionFacts) -> Iterator[FunctionFacts]:
    """The other functions of its file that call a function."""
    path, name = facts.function.path, facts.function.qualname.rpartition(".")[2]
    for caller in dict.fromkeys(caller.qualname for caller, _ in known.calls_in(path, name)):
        found = known.facts(Target("function", path, caller))
        if found is not None and found is not facts:
            yield found


def _whole_term(known: Known, facts: FunctionFacts) -> Term:
    """The term to judge: `__enter__` and `__exit__` together, since one half may make up for what the other skips."""
    name, _, method = facts.function.qualname.rpartition(".")
    if method in ("__exit__", "__aexit__"):
        return ()
    if method not in ("__enter__", "__aenter__"):
        return facts.term
    other = known.facts(Target("function", facts.function.path, f"{name}.{method.replace('enter', 'exit')}"))
    return facts.term if other is None else (*_returned(facts.term), *other.term)


def _returned(term: Term) -> Term:
    """The term with its returns removed, so that another term can follow it."""

    def went_on(item: Item) -> Term:
        return () if isinstance(item, Leave) and item.kind == "return" else (item,)

    return map_term(continued(term), went_on, is_choice)
