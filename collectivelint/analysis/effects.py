"""What a function does to the groups: ordered terms of collectives, branches, loops and exits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import is_
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ..catalog.operations import Operation
    from ..ir.nodes import Span
    from .domain.causes import Cause
    from .domain.symbol import Symbol


@dataclass(frozen=True, slots=True)
class CallSite:
    """A call on the way to a collective: `function` of file `path` calls `callee` here."""

    path: str
    function: str
    span: Span
    statement: Span
    callee: str


@dataclass(frozen=True, slots=True)
class Event:
    """One collective. `chain` are the calls that lead to it from the function whose term it stands in.

    `kind`: "implicit" is a call that runs collectives inside, "create" one that makes a group, which every rank has to
    call; "init" is nothing to report but the birth of the default group, which has only the ranks that get here. `why`
    says of an implicit one what it does that every rank has to take part in. `data` are the parameters and the elements of
    loops that its arguments come from.
    """

    op: str
    group: Symbol
    partial: bool
    path: str
    function: str
    span: Span
    statement: Span
    kind: Literal["collective", "implicit", "create", "init"] = "collective"
    chain: tuple[CallSite, ...] = ()
    why: str = ""
    operation: Operation | None = None
    data: frozenset[str] = frozenset()

    @property
    def place(self) -> tuple[Span, Span]:
        """Span and statement of what the function whose term this is does itself: the first call, or the collective."""
        return (self.chain[0].span, self.chain[0].statement) if self.chain else (self.span, self.statement)

    @property
    def token(self) -> tuple[str, Symbol, str]:
        """What has to be equal for two ranks to meet in a collective; frameworks have calls of one name."""
        return (self.op, self.group, self.why)


@dataclass(frozen=True, slots=True)
class Guard:
    """One condition. `symbol` identifies it; `own` says that it has to be judged in the function whose term this is.

    `maybe`: it varies only under some configurations. `positive`: the condition as it is written at `span` holds where the symbol does; otherwise it is its negation.
    `subject`: what `match` compares with the pattern at `span`.

    `chosen`: the parameter that decides it alone, and the constant for which it holds (UNKNOWN: if it is true). `ways`: it
    picks one of that many overrides of a method.
    """

    symbol: Symbol
    varies: frozenset[Symbol]
    causes: tuple[Cause, ...]
    depends: frozenset[str]
    one: bool | None
    path: str
    span: Span
    statement: Span
    positive: bool = True
    own: bool = True
    maybe: bool = False
    chosen: tuple[str, object] | None = None
    ways: int = 2
    subject: Span | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """`then` where the guard holds, `orelse` where it does not."""

    guard: Guard
    then: Term
    orelse: Term


@dataclass(frozen=True, slots=True)
class Repeat:
    """A loop; loops over equal `symbol` make equally many turns.

    `trips` says what the number of turns depends on where that differs between ranks. Of one whose collectives depend on the
    element at hand, `unordered` is the set whose order it follows, and `over` names the parameter that it runs over.
    """

    symbol: Symbol
    body: Term
    trips: Guard | None = None
    unordered: Cause | None = None
    over: str | None = None


@dataclass(frozen=True, slots=True)
class Leave:
    """The function (return, raise) or the turn of a loop (break, continue) ends here.

    `refused`: it returns because what it was asked for cannot be done.
    """

    kind: Literal["return", "raise", "break", "continue"]
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Fails:
    """Here something may fail on one rank alone; only terms inside `try` have these."""

    cause: Cause


@dataclass(frozen=True, slots=True)
class Yielded:
    """The `yield` of a context manager: the body of the `with` runs here."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """A call of what was passed for a parameter."""

    parameter: str


Item: TypeAlias = Event | Choice | Repeat | Leave | Fails | Yielded | Deferred
Term: TypeAlias = tuple[Item, ...]

_Result = TypeVar("_Result")

# ------------------------------------------------------------------------------------------------------- the algebra


def parts(item: Item) -> tuple[Term, ...]:
    """The terms inside an item: both arms of a choice, the body of a loop."""
    if isinstance(item, Choice):
        return (item.then, item.orelse)
    return (item.body,) if isinstance(item, Repeat) else ()


def with_parts(item: Item, inner: Sequence[Term]) -> Item:
    """The item with other terms inside; the very same item where all items in them are those that it has."""
    if all(len(new) == len(old) and all(map(is_, new, old)) for new, old in zip(inner, parts(item), strict=True)):
        return item
    if isinstance(item, Choice):
        return Choice(item.guard, *inner)
    return replace(item, body=inner[0]) if isinstance(item, Repeat) else item


def walk(term: Term, into: Callable[[Item], bool] | None = None) -> Iterator[Item]:
    """All items of a term in order of appearance, those that contain others first.

    What is inside an item comes only if `into` says so; without it, everything.
    """
    # One loop over a stack: generators in each other would pass on each item of a chain of conditions once for each of them.
    pending = [*reversed(term)]
    while pending:
        item = pending.pop()
        yield item
        if isinstance(item, Choice):
            if into is None or into(item):
                pending += reversed(item.orelse)
                pending += reversed(item.then)
        elif isinstance(item, Repeat) and (into is None or into(item)):
            pending += reversed(item.body)


def fold(
    term: Term,
    each: Callable[[Item, tuple[_Result, ...]], _Result],
    sequence: Callable[[list[_Result]], _Result],
    into: Callable[[Item], bool] | None = None,
) -> _Result:
    """A term from the inside out: `each` gives the result of an item from those of its parts, `sequence` that of a term.

    An item that `into` says no of has no parts.
    """
    # A stack of its own, since chains of conditions are deeper than Python's: the item around (None at the top), its terms
    # that are still to come, the results of those before, the term at hand, where in it, and the results so far.
    todo: list[tuple[Item | None, tuple[Term, ...], list[_Result], Term, int, list[_Result]]] = []
    todo.append((None, (), [], term, 0, []))
    while True:
        item, later, earlier, current, position, results = todo.pop()
        if position == len(current):
            earlier.append(sequence(results))
            if later:
                todo.append((item, later[1:], earlier, later[0], 0, []))
            elif item is None:
                return earlier[0]
            else:
                todo[-1][5].append(each(item, tuple(earlier)))
            continue
        todo.append((item, later, earlier, current, position + 1, results))
        entered = current[position]
        inner = parts(entered) if into is None or into(entered) else ()
        if inner:
            todo.append((entered, inner[1:], [], inner[0], 0, []))
        else:
            results.append(each(entered, ()))


def map_term(
    term: Term,
    change: Callable[[Item], Iterable[Item]],
    into: Callable[[Item], bool] | None = None,
    finish: Callable[[Term], Term] | None = None,
) -> Term:
    """A term with each item replaced by what `change` makes of it, from the inside out.

    An item that `into` says no of is changed as a whole. `finish` is applied to each of the terms that come out. What
    is not changed are the same items.
    """

    def each(item: Item, inner: tuple[Term, ...]) -> Term:
        return tuple(change(with_parts(item, inner) if inner else item))

    def sequence(found: list[Term]) -> Term:
        joined = tuple(item for part in found for item in part)
        return joined if finish is None else finish(joined)

    return fold(term, each, sequence, into)


# ---------------------------------------------------------------------------------------------------- what is in it


def events(term: Term) -> Iterator[Event]:
    """All collectives of a term, in order of appearance."""
    return (item for item in walk(term) if isinstance(item, Event))


def decided_by(item: Item) -> Guard | None:
    """The condition that decides between the arms of a choice, or about the number of turns of a loop."""
    if isinstance(item, Choice):
        return item.guard
    return item.trips if isinstance(item, Repeat) else None


def guards(term: Term) -> Iterator[Guard]:
    """All conditions of a term, outer ones first."""
    return (guard for item in walk(term) if (guard := decided_by(item)) is not None)


def repeats(term: Term) -> Iterator[Repeat]:
    """All loops of a term, outer ones first."""
    return (item for item in walk(term) if isinstance(item, Repeat))


def deferred(term: Term) -> Iterator[str]:
    """The parameters that a term calls."""
    return (item.parameter for item in walk(term) if isinstance(item, Deferred))


def size(term: Term) -> int:
    """Number of items."""
    return sum(1 for _ in walk(term))


def matters(term: Term) -> bool:
    """Whether there is a collective in the term, or one may come in with an argument."""
    return any(isinstance(item, (Event, Deferred)) for item in walk(term))


def is_choice(item: Item) -> bool:
    """Whether the item is a choice: `walk` into these alone stays within one turn of the loop around."""
    return isinstance(item, Choice)


def exits(term: Term) -> bool:
    """Whether an arm of the term, not of a loop in it, ends the function or the turn of the loop around it."""
    return any(isinstance(item, Leave) for item in walk(term, is_choice))
