"""How many elements an iteration gives on this rank: of generators, of the program's own iterables and data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.nodes import Compound, Constant, Evaluate, Exit, Loop, blocks, expressions
from ...program.target import Target
from ..domain.causes import Cause
from ..domain.inlining import without_names
from ..domain.normalise import MOST_ITEMS, continued
from ..domain.symbol import make, parameter
from ..domain.value import Value
from ..effects import Choice, Leave, Repeat, Yielded, size, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...ir.nodes import Statement
    from ..effects import Guard, Term
    from .state import Frame


def generated(frame: Frame) -> Value | None:
    """The value of calling the current function if it is a generator, with its number of elements on this rank.

    None for other functions, and if nothing is known of that number.
    """
    term = tuple(frame.out)
    if not any(isinstance(item, Yielded) for item in walk(term)) or size(term) > MOST_ITEMS:
        return None
    guard = next(_uneven(continued(term)), None)
    depends = frozenset().union(*_counted_by(term))
    if guard is None and not depends:
        return None
    symbol = make(
        "operation", ("generated", *frame.position(frame.function.span)), tuple(map(parameter, sorted(depends)))
    )
    if guard is None:
        return Value(symbol).varying(depends=depends)
    found = Value(symbol).sized(uneven=guard.causes)
    return found.varying(varies=guard.varies, causes=guard.causes, depends=depends | guard.depends)


def _counted_by(term: Term) -> Iterator[frozenset[str]]:
    """For each loop that yields, the parameters that its number of iterations depends on."""
    for item in walk(term):
        if isinstance(item, Repeat) and item.symbol.head == ("for",) and _yields(item.body):
            yield item.symbol.parameters


def _uneven(term: Term) -> Iterator[Guard]:
    """The guards of choices and loops that make the number of yielded elements differ between ranks."""
    for item in term:
        match item:
            case Repeat() if _is_endless(item):
                pass
            case Repeat(trips=trips, body=body):
                if trips is not None and trips.varies and _yields(body):
                    yield trips
                yield from _uneven(body)
            case Choice(guard=guard, then=then, orelse=orelse):
                if guard.varies and not guard.maybe and not _raises(then, orelse) and _yields(then) != _yields(orelse):
                    yield guard
                yield from _uneven(then)
                yield from _uneven(orelse)
            case _:
                pass


def _is_endless(loop: Repeat) -> bool:
    """Whether it is `while True:` without an exit, with unlimited elements."""
    is_constant = loop.symbol.head == ("while",) and loop.symbol.args[0].kind == "constant"
    return is_constant and not any(isinstance(item, Leave) and item.kind != "continue" for item in walk(loop.body))


def _yields(term: Term) -> int:
    """The number of `yield` items in a term."""
    return sum([isinstance(item, Yielded) for item in walk(term)])


def _raises(*arms: Term) -> bool:
    """Whether one of the arms ends with an exception."""
    return any(arm and isinstance(arm[-1], Leave) and arm[-1].kind == "raise" for arm in arms)


def own_length(frame: Frame, value: Value) -> tuple[Cause, ...]:
    """The causes of unequal lengths of an object: its `__iter__` or `__len__` depends on the rank."""
    if value.extent.uneven or value.reference.instance is None or value.reference.target is not None:
        return value.extent.uneven
    program, instance = frame.context.program, value.reference.instance
    for method in ("__iter__", "__len__"):
        own = program.method(instance, method)
        if own is None or not _is_left_open(frame, own):
            known = () if own is None else _own_length(frame, own, method)
        else:
            # The object is one of the classes below.
            found = [_own_length(frame, target, method) for target in program.methods(instance, method)[1:]]
            known = next(filter(None, found), ())
            if known and not all(found):
                known = (*known[:2], Cause("override", own.path, program.functions(own.path)[own.name].span))
        if known:
            return known
    return ()


def _own_length(frame: Frame, method: Target, name: str) -> tuple[Cause, ...]:
    """The causes for a method's number of elements to depend on the rank; none if it does not."""
    facts = frame.context.facts(Target("function", method.path, method.name))
    result = None if facts is None else facts.returns
    if result is None or facts is None:
        return ()
    causes = result.extent.uneven if name == "__iter__" else result.uniformity.causes
    known = without_names(causes, facts.function.span)
    is_said = (name == "__iter__" or result.uniformity.varies) and is_share(known)
    return known if is_said else ()


def _is_left_open(frame: Frame, method: Target) -> bool:
    """Whether a method only raises an exception, as an abstract one does."""
    function = frame.context.program.functions(method.path).get(method.name)
    if function is None:
        return False
    ends = [part for part in function.body if not isinstance(part, Evaluate)]
    return len(ends) == 1 and isinstance(ends[0], Exit) and ends[0].kind == "raise"


def is_share(causes: tuple[Cause, ...]) -> bool:
    """Whether a difference between ranks comes from each rank taking a share."""
    return any(cause.kind in ("rank", "share") for cause in causes)


def streamed(frame: Frame, items: Value) -> tuple[Cause, ...]:
    """The cause of unequal numbers of batches for a streamed data set: it reads until this rank's stream ends.

    None for a stream that is or may be endless, and for one whose ranks run collectives on the way.
    """
    instance, program = items.reference.instance, frame.context.program
    if instance is None or not any(name in _STREAMS for name in program.outside(instance)):
        return ()
    own = program.method(instance, "__iter__")
    facts = None if own is None else frame.context.facts(own)
    if own is None or facts is None or facts.events or any(_goes_on(part) for part in facts.function.body):
        return ()
    return (Cause("stream", own.path, facts.function.span),)


_STREAMS: Final = (
    "torch.utils.data.IterableDataset",
    "torch.utils.data.dataset.IterableDataset",
)


def _goes_on(statement: Statement) -> bool:
    """Whether a statement has a `while True` loop that yields, with or without an exit."""
    if isinstance(statement, Loop) and statement.target is None and statement.iterable == Constant(True):
        return any(isinstance(part, Compound) and part.kind.startswith("yield") for part in expressions(statement.body))
    return any(_goes_on(inner) for block in blocks(statement) for inner in block)
