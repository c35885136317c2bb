"""A callee's term as part of its caller: parameters replaced by arguments, the call put in front of each chain."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ...record import Record
from ..effects import CallSite, Choice, Deferred, Event, Guard, Leave, Repeat, walk
from .causes import Cause
from .settled import settled
from .sharding import asks_what_is_shown, is_sharded, is_sharding_test, is_shown, sharding_test
from .symbol import WORLD, attribute, constant, parameter
from .value import UNKNOWN, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ...ir.nodes import Span
    from ..effects import Item, Term
    from .symbol import Symbol

#: Chains are read by people: no more calls on the way to a collective. Each function has chains of its own.
LONGEST_CHAIN: Final = 24
_ZERO: Final = constant(0)
_NO_LOOPS: Final[Mapping[Symbol, Symbol]] = MappingProxyType({})


class Inlining(Record):
    """How a callee's term becomes part of its caller: the call, the symbols for its parameters, and the terms they run.

    `symbols` replace its parameters; None leaves them as they are. `callee` is the callee's location. `elements` maps
    what the caller's loops bind to what they iterate over. `asks` says whether a condition of the callee tests the
    values of own data that are passed; it is None if none are.
    """

    __slots__ = (
        "_memo",
        "arguments",
        "asks",
        "callee",
        "elements",
        "passes_sharded",
        "run",
        "site",
        "symbols",
        "wrapped",
    )

    def __init__(
        self,
        site: CallSite,
        arguments: Mapping[str, Value],
        symbols: Mapping[str, Symbol] | None,
        run: Callable[[Value, Deferred], Term],
        callee: Span,
        elements: Mapping[Symbol, Symbol] = _NO_LOOPS,
        asks: Callable[[Symbol], bool] | None = None,
    ) -> None:
        self.site: Final = site
        self.arguments: Final = arguments
        self.symbols: Final = symbols
        self.run: Final = run
        self.callee: Final = callee
        self.elements: Final = elements
        self.asks: Final = asks
        self.passes_sharded: Final = any(is_sharded(value) for value in arguments.values())
        self.wrapped: Final = frozenset(
            [name for name, value in arguments.items() if value.reference.wrapped is not None]
        )
        #: What an object that is made in reach was given as options are constants in the methods called on it.
        self._memo: Final[dict[Symbol, Symbol]] = {
            attribute(parameter(name), option): chosen
            for name, value in arguments.items()
            for option, chosen in value.reference.options
        }

    def _fields(self) -> tuple[object, ...]:
        return (self.site, self.arguments, self.symbols, self.run, self.callee, self.elements)

    def rename(self, symbol: Symbol) -> Symbol:
        """A symbol of the callee as one of the caller."""
        if self.symbols is None:
            return symbol
        found = symbol.substitute(self.symbols, self._memo)
        if found is not symbol and self.elements and is_sharding_test(found):
            # What the callee was given is an element of what a loop here runs over: that is asked about as well.
            return sharding_test(found.args, self.elements)
        return found


def inline(term: Term, call: Inlining, *, loop: bool = False) -> Term:
    """A callee's term as part of its caller: parameters replaced by arguments, the call put in front of each chain.

    A condition that a constant argument decides is decided here; one that an argument makes vary is judged here.
    """
    # No fold: what was passed may only be run on arms that are taken, and whether a return leaves a loop is known from around.
    found: list[Item] = []
    for item in term:
        match item:
            case Event():
                argument = call.arguments.get(item.group.parameter or "")
                group = argument.group_key if argument is not None else call.rename(item.group)
                partial = item.partial or (argument is not None and argument.reference.partial)
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
                        (call.site, *item.chain[:LONGEST_CHAIN]),
                        item.why,
                        item.operation,
                        _data(item.data, call.arguments),
                        item.api,
                        item.confidence,
                    )
                )
            case Choice(guard=guard) if _is_told_alone(guard, call):
                continue
            case Choice(guard=guard, then=then, orelse=orelse):
                holds = _decided(guard, call)
                if holds is not None:
                    found.extend(inline(then if holds else orelse, call, loop=loop))
                    continue
                arms = inline(then, call, loop=loop), inline(orelse, call, loop=loop)
                inner = _inlined(guard, call)
                if guard.own and guard.varies:
                    shown = call.passes_sharded and asks_what_is_shown(item, call.arguments)
                    if shown or (call.wrapped and any(name in call.wrapped for name in _uses((item,)))):
                        # Only here is it known that what stands behind the test runs, or that it is a collective.
                        inner = inner.but(own=True)
                found.append(Choice(inner, *arms) if inner.positive == guard.positive else Choice(inner, *arms[::-1]))
            case Repeat(symbol=symbol, body=body, trips=trips, unordered=unordered, over=over):
                argument = call.arguments.get(over or "")
                inside = inline(body, call, loop=True)
                turns = _inlined(trips, call) if trips is not None else None
                if argument is not None:
                    unordered = unordered or argument.extent.unordered
                    over = argument.given_as
                found.append(Repeat(call.rename(symbol), inside, turns, unordered, over))
            case Leave(kind="raise", span=span, raised=raised) if span is not None:
                found.append(Leave("raise", raised=raised))
            case Leave(kind="return"):
                # It ends the callee only; what follows it there already stands in the other arm (see `continued`).
                if loop:
                    found.append(Leave("break"))
            case Deferred(parameter=parameter):
                argument = call.arguments.get(parameter)
                if argument is not None:
                    found.extend(call.run(argument, item))
            case _:
                found.append(item)
    return tuple(found)


def _uses(term: Term) -> Iterator[str]:
    """The parameters that a term calls, or calls methods of."""
    return (item.parameter for item in walk(term) if isinstance(item, Deferred))


def _data(data: frozenset[str], arguments: Mapping[str, Value]) -> frozenset[str]:
    """The caller's parameters and loop elements that flow into a collective of the callee."""
    return frozenset().union(*(arguments[name].flows_from for name in data if name in arguments))


def _inlined(guard: Guard, call: Inlining) -> Guard:
    """A callee's condition in the terms of its caller."""
    given = [call.arguments[name] for name in guard.depends if name in call.arguments]
    chosen: tuple[str, object] | None = None
    if guard.chosen is not None and guard.chosen[1] is None:
        # Whether it was given at all: what differs between ranks is another thing, unless it may be nothing on some.
        chosen = next(((value.given_as, None) for value in given if value.given_as is not None), None)
        given = [value if chosen is not None else value.varying(varies=value.uniformity.absent) for value in given]
        given = [value for value in given if value.uniformity.varies or chosen is not None]
    own, reasons = guard.varies, guard.causes
    if (
        own
        and given
        and not any(value.uniformity.varies for value in given)
        and not without_names(reasons, call.callee)
    ):
        # A rank only by the name of the parameter; what was passed is none.
        own, reasons = frozenset(), ()
    varies = own.union(*(value.uniformity.varies for value in given))
    causes = tuple(dict.fromkeys((*reasons, *(cause for value in given for cause in value.uniformity.causes))))
    if not varies and call.asks is not None and call.asks(guard.symbol):
        varies, causes = frozenset({WORLD}), (Cause("own data", guard.path, guard.span),)
    symbol, positive, one = call.rename(guard.symbol), guard.positive, guard.one
    if symbol.is_negation:
        symbol, positive, one = symbol.positive, not positive, None if one is None else not one
    return Guard(
        symbol,
        varies,
        causes[:3],
        frozenset().union(*(value.uniformity.depends | value.origin.elements for value in given)),
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
    """The causes of a function without those that are only names of parameters, since the arguments are known now."""
    return tuple(cause for cause in causes if cause.kind != "rank" or cause.span != function)


def _is_told_alone(guard: Guard, call: Inlining) -> bool:
    """Whether a test for rank 0 gets the argument -1, which marks a job that is not distributed: `zero_first(-1)`."""
    symbol = guard.symbol
    if symbol.kind != "compare" or symbol.head[0] != "==" or not any(cause.kind == "rank" for cause in guard.causes):
        return False
    argument = call.arguments.get(symbol.args[0].parameter or "")
    return argument is not None and argument.constant == -1 and symbol.args[1] is _ZERO


def _decided(guard: Guard, call: Inlining) -> bool | None:
    """Whether the arguments of the call make the condition true or false; None where they decide nothing."""
    if not guard.symbol.parameters or call.symbols is None:
        return None
    found = None if guard.chosen is None else _chosen(guard.chosen, call.arguments)
    if found is not None:
        return found
    symbol = call.rename(guard.symbol)
    if is_sharding_test(symbol):
        return True if is_shown(guard.symbol, call.arguments) else None if symbol.parameters else False
    return settled(symbol)


def _chosen(asked: tuple[str, object], arguments: Mapping[str, Value]) -> bool | None:
    """The outcome of a condition that one parameter decides alone."""
    name: str = asked[0]
    wanted: object = asked[1]
    argument = arguments.get(name)
    if argument is None:
        return None
    if argument.constant is UNKNOWN:
        is_made = argument.reference.instance is not None and argument.symbol.root is None
        return (
            False
            if wanted is None and is_made and not (argument.reference.optional or argument.uniformity.absent)
            else None
        )
    if wanted is UNKNOWN:
        return bool(argument.constant)
    return argument.constant is wanted if wanted is None else argument.constant == wanted
