"""What a function does to the groups: ordered terms of collectives, branches, loops and exits."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from .domain.path_condition import ANYWHERE, PathCondition
from .domain.symbol import Symbol, both, make
from .domain.value import UNKNOWN, Cause, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ..catalog.operations import Operation
    from ..ir.nodes import Span

#: A summary larger than this is reduced to the set of its collectives: calls would multiply it.
MOST_ITEMS: Final = 200
#: Nobody reads more calls on the way to a collective, and each function has chains of its own.
_LONGEST_CHAIN: Final = 24


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
    says of an implicit one what it does that every rank has to take part in.
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

    `trips` says what the number of turns depends on where that differs between ranks. `unordered`: the set whose order
    it follows; `over` names the parameter that it runs over.
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


def events(term: Term) -> Iterator[Event]:
    """All collectives of a term, in order of appearance."""
    # Generators in each other would pass on each collective of a chain of conditions once for each of them.
    pending = [*reversed(term)]
    while pending:
        match pending.pop():
            case Event() as event:
                yield event
            case Choice(then=then, orelse=orelse):
                pending += reversed(orelse)
                pending += reversed(then)
            case Repeat(body=body):
                pending += reversed(body)


def following(term: Term, span: Span) -> Iterator[Event]:
    """The collectives that may come after the one of a call, on its way and not on another arm."""
    for index, item in enumerate(term):
        inner = (
            (item.then, item.orelse) if isinstance(item, Choice) else (item.body,) if isinstance(item, Repeat) else ()
        )
        here = isinstance(item, Event) and item.place[0] == span
        if here or any(event.place[0] == span for part in inner for event in events(part)):
            for part in inner:
                yield from following(part, span)
            yield from events(term[index + 1 :])
            return


def guards(term: Term) -> Iterator[Guard]:
    """All conditions of a term, outer ones first."""
    for item in term:
        match item:
            case Choice(guard=guard, then=then, orelse=orelse):
                yield guard
                yield from guards(then)
                yield from guards(orelse)
            case Repeat(body=body, trips=trips):
                if trips is not None:
                    yield trips
                yield from guards(body)


def repeats(term: Term) -> Iterator[Repeat]:
    """All loops of a term, outer ones first."""
    for item in term:
        match item:
            case Choice(then=then, orelse=orelse):
                yield from repeats(then)
                yield from repeats(orelse)
            case Repeat(body=body):
                yield item
                yield from repeats(body)


def deferred(term: Term) -> Iterator[str]:
    """The parameters that a term calls."""
    for item in term:
        match item:
            case Deferred(parameter=parameter):
                yield parameter
            case Choice(then=then, orelse=orelse):
                yield from deferred(then)
                yield from deferred(orelse)
            case Repeat(body=body):
                yield from deferred(body)


def size(term: Term) -> int:
    """Number of items."""
    total = 0
    for item in term:
        total += 1
        match item:
            case Choice(then=then, orelse=orelse):
                total += size(then) + size(orelse)
            case Repeat(body=body):
                total += size(body)
    return total


def tidy(term: Term, known: PathCondition = ANYWHERE) -> Term:
    """Drop what has no effect: empty loops, choices without collectives or exits, what follows a return.

    Inside an arm the outcome of its condition is `known`: the same condition there is no choice any more.
    """
    kept: list[Item] = []
    for item in term:
        match item:
            case Choice(guard=guard, then=then, orelse=orelse) if (holds := known.outcome(guard.symbol)) is not None:
                kept.extend(tidy(then if holds else orelse, known))
                if kept and isinstance(kept[-1], Leave):
                    break
            case Choice(guard=guard, then=then, orelse=orelse):
                then = tidy(then, known.given(guard.symbol, holds=True))
                orelse = tidy(orelse, known.given(guard.symbol, holds=False))
                if then or orelse:
                    kept.append(Choice(guard, then, orelse))
                if then and orelse and isinstance(then[-1], Leave) and isinstance(orelse[-1], Leave):
                    break
                # After `if c: return` the rest knows that c does not hold.
                leaving = _leaving((Choice(guard, then, orelse),))
                if leaving is not None:
                    known = known.given(leaving, holds=False)
            case Repeat(body=body):
                body = tidy(body, known)
                if _leaves(body) or matters(body):
                    kept.append(replace(item, body=body))
            case Leave():
                kept.append(item)
                break
            case Fails():
                continue
            case _:
                kept.append(item)
    return tuple(kept)


def _leaving(term: Term, deep: int = 0) -> Symbol | None:
    """A condition under which the term surely ends the function or the turn of a loop: `if a: if b: return` does for a and b."""
    found: list[Symbol] = []
    for item in term if deep < _DEEPEST_EXIT else ():
        if isinstance(item, Choice):
            for arm, condition in ((item.then, item.guard.symbol), (item.orelse, item.guard.symbol.negate())):
                if arm and isinstance(arm[-1], Leave):
                    found.append(condition)
                elif (inner := _leaving(arm, deep + 1)) is not None:
                    found.append(both("and", (condition, inner)))
    return both("or", found) if found else None


#: Conditions in each other, of which the rest of a block knows that not all of them hold.
_DEEPEST_EXIT: Final = 6


def _leaves(term: Term) -> bool:
    """Does the term end the function from inside a loop?"""
    for item in term:
        match item:
            case Leave(kind="return" | "raise"):
                return True
            case Choice(then=then, orelse=orelse) if _leaves(then) or _leaves(orelse):
                return True
            case Repeat(body=body) if _leaves(body):
                return True
    return False


def _splits(term: Term) -> bool:
    """Does an arm of the term, not of a loop in it, end the function or the turn of the loop around it?"""
    # A plain loop: Python 3.12 allows `any` and generators in each other a few hundred times only.
    for item in term:
        if isinstance(item, Leave) or (isinstance(item, Choice) and (_splits(item.then) or _splits(item.orelse))):
            return True
    return False


def matters(term: Term) -> bool:
    """Is there a collective in the term, or may one come in with an argument?"""
    for item in term:
        match item:
            case Event() | Deferred():
                return True
            case Choice(then=then, orelse=orelse) if matters(then) or matters(orelse):
                return True
            case Repeat(body=body) if matters(body):
                return True
    return False


def summarise(term: Term) -> Term:
    """The term as callers see it: tidy, bounded, and with what follows an early return in the arms that get there."""
    term = tidy(continued(term))
    if not matters(term):
        # Callers care about collectives only; how this function ends is its own affair.
        return ()
    if size(term) > MOST_ITEMS:
        seen: dict[tuple[str, Symbol, str], Event] = {}
        always = {id(event) for event in events(_unconditional(term))}
        for event in events(term):
            # A group that is made below a condition is mostly made once, where it is first needed.
            if event.kind != "create" or id(event) in always:
                seen.setdefault(event.token, event)
        # Order and conditions are unknown from here on: a loop of unknown length that is equal to nothing else.
        return (Repeat(_unknown(term), tuple(list(seen.values())[:MOST_ITEMS])),)
    return term


def _unknown(term: Term) -> Symbol:
    """The number of turns of a loop that stands for a term too large to be kept: equal for equal terms, in every run."""
    found = blake2b(digest_size=16)
    for event in events(term):
        found.update(f"{event.op} {event.why} {event.path} {event.span}".encode(errors="surrogatepass"))
        found.update(event.group.digest)
    return make("loop", ("unknown", found.hexdigest()))


def _unconditional(term: Term) -> Term:
    """What of a term runs on all its ways."""
    return tuple(
        replace(item, body=_unconditional(item.body)) if isinstance(item, Repeat) else item
        for item in term
        if not isinstance(item, Choice)
    )


def continued(term: Term, rest: Term = ()) -> Term:
    """`term` followed by `rest`, with `if c: return` + more turned into `if c: return else: more`."""
    result = rest
    for item in reversed(term):
        match item:
            case Leave():
                result = (item,)
            case Repeat(body=body):
                result = (replace(item, body=continued(body)), *result)
            case Choice(guard=guard, then=then, orelse=orelse) if _splits((item,)):
                ends = any(arm and isinstance(arm[-1], Leave) for arm in (then, orelse))
                if not ends and size(result) > MOST_ITEMS // 4:
                    # Splitting would double a long continuation; several of these in a row would explode.
                    result = (item, *result)
                else:
                    result = (Choice(guard, continued(then, result), continued(orelse, result)),)
            case _:
                result = (item, *result)
    return result


@dataclass(frozen=True, slots=True)
class Inlining:
    """How a callee's term becomes part of its caller: the call, what stands for its parameters, and what those run.

    `symbols` are what stands for its parameters; None if they stay what they are. `callee` is where the callee stands.
    """

    site: CallSite
    arguments: Mapping[str, Value]
    symbols: Mapping[str, Symbol] | None
    run: Callable[[Value], Term]
    callee: Span
    _memo: dict[Symbol, Symbol] = field(default_factory=dict)

    def rename(self, symbol: Symbol) -> Symbol:
        """A symbol of the callee as one of the caller."""
        return symbol if self.symbols is None else symbol.substitute(self.symbols, self._memo)


def inline(term: Term, call: Inlining, *, loop: bool = False) -> Term:
    """A callee's term as part of its caller: parameters replaced by arguments, the call put in front of each chain.

    A condition that a constant argument decides is decided here; one that an argument makes vary is judged here.
    """
    found: list[Item] = []
    for item in term:
        match item:
            case Event():
                argument = call.arguments.get(item.group.parameter or "")
                group = argument.group_key if argument is not None else call.rename(item.group)
                partial = item.partial or (argument is not None and argument.partial)
                found.append(
                    Event(
                        item.op,
                        group,
                        partial,
                        item.path,
                        item.function,
                        item.span,
                        item.statement,
                        item.kind,
                        (call.site, *item.chain[:_LONGEST_CHAIN]),
                        item.why,
                        item.operation,
                    )
                )
            case Choice(guard=guard, then=then, orelse=orelse):
                holds = _decided(guard, call.arguments)
                if holds is not None:
                    found.extend(inline(then if holds else orelse, call, loop=loop))
                    continue
                arms = inline(then, call, loop=loop), inline(orelse, call, loop=loop)
                inner = _inlined(guard, call)
                found.append(Choice(inner, *arms) if inner.positive == guard.positive else Choice(inner, *arms[::-1]))
            case Repeat(symbol=symbol, body=body, trips=trips, unordered=unordered, over=over):
                argument = call.arguments.get(over or "")
                inside = inline(body, call, loop=True)
                turns = _inlined(trips, call) if trips is not None else None
                if argument is not None:
                    unordered = unordered or argument.unordered
                    over = argument.given_as
                found.append(Repeat(call.rename(symbol), inside, turns, unordered, over))
            case Leave(kind="return"):
                # It ends the callee only; what follows it there already stands in the other arm (see `continued`).
                if loop:
                    found.append(Leave("break"))
            case Deferred(parameter=parameter):
                argument = call.arguments.get(parameter)
                if argument is not None:
                    found.extend(call.run(argument))
            case _:
                found.append(item)
    return tuple(found)


def _inlined(guard: Guard, call: Inlining) -> Guard:
    """A callee's condition in the terms of its caller."""
    given = [call.arguments[name] for name in guard.depends if name in call.arguments]
    chosen: tuple[str, object] | None = None
    if guard.chosen is not None and guard.chosen[1] is None:
        # Whether it was given at all: what differs between ranks is another thing, unless it may be nothing on some.
        chosen = next(((value.given_as, None) for value in given if value.given_as is not None), None)
        given = [value if chosen is not None else value.but(varies=value.absent) for value in given]
        given = [value for value in given if value.varies or chosen is not None]
    own, reasons = guard.varies, guard.causes
    if own and given and not any(value.varies for value in given) and not without_names(reasons, call.callee):
        # A rank only by the name of the parameter; what was passed is none.
        own, reasons = frozenset(), ()
    varies = own.union(*(value.varies for value in given))
    causes = tuple(dict.fromkeys((*reasons, *(cause for value in given for cause in value.causes))))
    symbol, positive, one = call.rename(guard.symbol), guard.positive, guard.one
    if symbol.is_negation:
        symbol, positive, one = symbol.positive, not positive, None if one is None else not one
    return Guard(
        symbol,
        varies,
        causes[:3],
        frozenset().union(*(value.depends for value in given)),
        one,
        guard.path,
        guard.span,
        guard.statement,
        positive,
        own=bool(varies) and not own,
        maybe=guard.maybe,
        chosen=chosen,
        ways=guard.ways,
        subject=guard.subject,
    )


def without_names(causes: tuple[Cause, ...], function: Span) -> tuple[Cause, ...]:
    """The causes of a function without those that are only the names of its parameters, which are known by now."""
    return tuple(cause for cause in causes if cause.kind != "rank" or cause.span != function)


def _decided(guard: Guard, arguments: Mapping[str, Value]) -> bool | None:
    if guard.chosen is None:
        return None
    name, wanted = guard.chosen
    argument = arguments.get(name)
    if argument is None:
        return None
    if argument.constant is UNKNOWN:
        is_made = argument.instance is not None and argument.symbol.root is None
        return False if wanted is None and is_made and not (argument.optional or argument.absent) else None
    if wanted is UNKNOWN:
        return bool(argument.constant)
    return argument.constant is wanted if wanted is None else argument.constant == wanted
