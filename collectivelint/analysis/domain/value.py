"""What the analysis knows about a value: over which axes it differs between ranks, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from .symbol import WORLD, Symbol, constant, name, subscript

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ...ir.nodes import Span
    from ...program.target import Target

#: The axes that a value varies over are the symbols of groups. What varies over the default group, WORLD, varies over every
#: group; these are places instead: ranks that share one differ in nothing else of it.
LOCAL_AXIS: Final = name("local")
PLACES: Final = frozenset({LOCAL_AXIS, name("node")})

_MOST_CAUSES: Final = 3


Kind: TypeAlias = Literal[
    "rank",
    "branch",
    "received",
    "restored",
    "file system",
    "clock",
    "random",
    "process",
    "queue",
    "poll",
    "signal",
    "data",
    "exception",
    "declared",
]
#: What a rank sees of its own surroundings, with how a report says it.
LOCAL: Final[Mapping[Kind, str]] = {
    "file system": "the state of the file system, as this rank sees it",
    "clock": "the clock, differs between ranks",
    "random": "a random number, differs between ranks",
    "process": "a property of this process or host",
    "queue": "how full a queue of this rank is",
    "poll": "a poll of work in the background, differs between ranks",
    "signal": "set by a signal handler, on the ranks that get the signal",
    "data": "the size of this rank's data",
    "exception": "an exception that may happen on one rank only",
    "declared": "declared to differ between ranks",
}


@dataclass(frozen=True, slots=True)
class Cause:
    """Where a property of a value comes from.

    "rank": a rank was asked for; "branch": assigned under a condition that differs between ranks; "received": data of
    other ranks; "restored": data read from a checkpoint; the others are `LOCAL`.
    """

    kind: Kind
    path: str
    span: Span


@dataclass(frozen=True, slots=True)
class Length:
    """Where a length, or a number, comes from.

    A list has "grown" to it, a buffer was "made" that long, or one or the other ("mixed"); it is one rank's "share" of a
    whole, or the "highest" of the numbers that were found.
    """

    kind: Literal["grown", "made", "mixed", "share", "highest"]
    cause: Cause


@dataclass(frozen=True, slots=True)
class Sharded:
    """Each rank has another part, under the same name: by "hand", by a "framework" that knows, or as its "own" state."""

    kind: Literal["hand", "framework", "own"]
    cause: Cause


class _Unknown:
    """The type of UNKNOWN, the constant of a value that is not one."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()


class Value:
    """An abstract value; never changed, `but` makes a changed copy.

    Most values have most fields at their defaults, and millions are made: only what differs is stored. A frozen
    dataclass with these fields takes six times as long to copy.

    `symbol` identifies it: equal symbols in one function are equal values.
    `depends` names the parameters that flow into it. `absent`: the axes over which it is None on some ranks only, and `present` the condition of those where it is not. `one` says of a condition whether it holds on exactly one rank
    (True) or on all but one (False). `target` is what it refers to, `instance` the program's class it is an object of,
    `type` the class outside the program; `meaning` is "group" or "mesh". `partial` marks a group made from a list of ranks.
    `parts` are the elements of a tuple or list display. `maybe`: it varies only where some configuration says so (`rank == 0 if coordinated else True`).
    `uneven` says why its length differs between ranks, `unordered` where the set it iterates over was made. `size_of`:
    its length, or the number it is, is the size of that group. `everyone`: a group of all ranks. `shared`: filled by a collective that leaves the same data on all
    ranks. `given`: an attribute that only
    holds what was passed in. `runs` is the term of
    calling it, `manager` that of the `with` statement it manages. `was`: the symbol of the expression it was assigned from.
    `item`: what any element of a container is, where that is an object of the program. `length`: where its length comes
    from, as far as that matters to who receives it. `ranked`: a rank is written into it, which makes another text of it.
    `sharded`: each rank has another part of it. `dims`: the names of a mesh's dimensions.
    """

    symbol: Symbol
    varies: frozenset[Symbol] = frozenset()
    causes: tuple[Cause, ...] = ()
    origins: tuple[Cause, ...] = ()
    depends: frozenset[str] = frozenset()
    one: bool | None = None
    constant: object = UNKNOWN
    optional: bool = False
    absent: frozenset[Symbol] = frozenset()
    present: Symbol | None = None
    target: Target | None = None
    receiver: Value | None = None
    instance: Target | None = None
    type: str | None = None
    meaning: str | None = None
    partial: bool = False
    maybe: bool = False
    parts: tuple[Value, ...] = ()
    uneven: tuple[Cause, ...] = ()
    unordered: Cause | None = None
    size_of: Symbol | None = None
    everyone: bool = False
    shared: bool = False
    given: bool = False
    runs: tuple[object, ...] = ()
    manager: tuple[object, ...] = ()
    was: Symbol | None = None
    item: Value | None = None
    length: Length | None = None
    ranked: bool = False
    sharded: Sharded | None = None
    dims: tuple[str, ...] | None = None

    def __init__(
        self, symbol: Symbol, varies: frozenset[Symbol] = frozenset(), causes: tuple[Cause, ...] = (), **more: Any
    ):
        """`more` are other fields by name."""
        fields = self.__dict__
        fields["symbol"] = symbol
        if varies:
            fields["varies"] = varies
        if causes:
            fields["causes"] = causes
        if more:
            fields.update(more)

    def but(self, **changes: Any) -> Value:
        """A copy with other values for these fields."""
        copy = object.__new__(Value)
        fields = copy.__dict__
        fields.update(self.__dict__)
        fields.update(changes)
        return copy

    def __eq__(self, other: object) -> bool:
        """Equal in every field."""
        if not isinstance(other, Value):
            return NotImplemented
        mine, theirs = self.__dict__, other.__dict__
        if mine == theirs:
            return True
        names = mine.keys() | theirs.keys()
        return all(getattr(self, name) == getattr(other, name) for name in names)

    __hash__ = None  # type: ignore[assignment]  # equal values may store different fields

    def __repr__(self) -> str:
        """The fields that are not at their defaults."""
        return f"Value({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"

    @property
    def written(self) -> Symbol:
        """The expression it was assigned from, or itself."""
        return self.symbol if self.was is None else self.was

    @property
    def given_as(self) -> str | None:
        """The parameter that it is, unchanged, and whose argument it stands for."""
        name = self.symbol.parameter
        return name if name in self.depends else None

    @property
    def group_key(self) -> Symbol:
        """The symbol of the group this value is when it is passed as `group`; None means the default group."""
        return WORLD if self.constant is None else self.symbol


NONE: Final = Value(constant(None), constant=None)


def flow(symbol: Symbol, values: Iterable[Value], *, ranks: bool = True) -> Value:
    """A new value computed from `values`: it varies as they do (if `ranks`), and comes from where they come from."""
    varies: frozenset[Symbol] = frozenset()
    causes: tuple[Cause, ...] = ()
    origins: tuple[Cause, ...] = ()
    depends: frozenset[str] = frozenset()
    maybe = ranked = False
    sharded: Sharded | None = None
    for value in values:
        sharded = sharded or value.sharded
        ranked |= value.ranked or any(cause.kind == "rank" for cause in value.causes)
        if value.origins:
            origins = _merge(origins, value.origins)
        if ranks:
            if value.varies:
                varies |= value.varies
                maybe |= value.maybe
            if value.causes:
                causes = _merge(causes, value.causes)
            if value.depends:
                depends |= value.depends
    found = Value(symbol, varies, causes)
    fields = found.__dict__
    if origins:
        fields["origins"] = origins
    if depends:
        fields["depends"] = depends
    if maybe:
        fields["maybe"] = True
    if ranked:
        fields["ranked"] = True
    if sharded is not None:
        fields["sharded"] = sharded
    return found


def of_shape(value: Value) -> Value:
    """The value without data of other ranks: a buffer that was received into is as large as it was made here."""
    if not any(cause.kind == "received" for cause in value.origins):
        return value
    return value.but(origins=tuple(cause for cause in value.origins if cause.kind != "received"))


def each(value: Value, symbol: Symbol) -> Value:
    """An element of a container, or what a loop over it binds."""
    found = flow(symbol, (value,))
    known = value.item
    if known is None:
        return found
    return found.but(instance=known.instance, parts=known.parts, item=known.item)


def holding(values: Iterable[Value]) -> Value | None:
    """What all elements of a container are, as far as they are objects of one class."""
    every = list(values)
    first = every[0] if every else None
    if first is None or first.instance is None or any(value.instance != first.instance for value in every):
        return None
    return first


def join(one: Value, other: Value, fresh: Symbol, guard: Value | None = None, where: Cause | None = None) -> Value:
    """The value of a variable after a branch whose arms gave it `one` and `other`.

    Where `guard`, the condition, varies, so does the result, unless both arms agree: an implicit flow.
    """
    if one == other:
        return one
    if one.symbol is other.symbol and one.constant is UNKNOWN:
        return one.but(
            optional=one.optional or other.optional,
            absent=one.absent | other.absent,
            present=one.present if one.present is other.present else None,
            item=one.item or other.item,
            sharded=one.sharded or other.sharded,
            uneven=one.uneven or other.uneven,
        )
    if guard is None or not guard.varies:
        for rank, rest in ((one, other), (other, one)):
            if rank.type == "rank" and rest.constant in (0, -1) and rest.constant is not False:
                # What a job of one process says instead.
                return rank
    mixed = flow(fresh, (one, other))
    if len(one.parts) == len(other.parts):
        pairs = enumerate(zip(one.parts, other.parts, strict=True))
        parts = tuple(
            join(left, right, subscript(fresh, constant(index)), guard, where) for index, (left, right) in pairs
        )
        mixed = mixed.but(parts=parts)
    # None beside an object is the common "not set up yet": the object's kind stays known.
    known = other if one.constant is None else one
    same = known.constant is UNKNOWN and (
        one.constant is None or other.constant is None or one.instance == other.instance
    )
    if same:
        mixed = mixed.but(
            instance=known.instance,
            type=known.type,
            meaning=known.meaning,
            dims=known.dims if None in (one.constant, other.constant) or one.dims == other.dims else None,
            target=known.target,
            partial=known.partial,
            # `group = default() if group is None else group` is not the parameter any more.
            symbol=known.symbol if known.symbol.root and None in (one.constant, other.constant) else mixed.symbol,
        )
    mixed = mixed.but(
        optional=one.constant is None or other.constant is None or one.optional or other.optional,
        **_absence(one, other, guard),
        uneven=_merge(one.uneven, other.uneven),
        unordered=one.unordered and other.unordered,
        size_of=_size(one, other) or _size(other, one),
        sharded=one.sharded and other.sharded,
        everyone=all(value.everyone for value in (one, other) if value.constant is not None),
        item=one.item or other.item,
        length=_longer(one.length, other.length, guard),
    )
    settled = any(value.constant not in (UNKNOWN, None) for value in (one, other))
    if settled and mixed.varies and (guard is None or not guard.varies):
        mixed = mixed.but(maybe=True)
    sized = one.size_of is not None or other.size_of is not None
    if guard is not None and guard.varies and where is not None and not sized:
        causes = _merge(mixed.causes, (*guard.causes, where))
        mixed = mixed.but(varies=mixed.varies | guard.varies, causes=causes)
    return mixed


def _absence(one: Value, other: Value, guard: Value | None) -> dict[str, Any]:
    """Where there is nothing after a branch on some ranks: by what its condition varies, if one arm leaves nothing.

    `x = None`, `if rank == 0: x = a`, `if rank != 0: x = b` leaves something on all of them.
    """
    before: frozenset[Symbol] = frozenset()
    if guard is None:
        return {"absent": one.absent | other.absent, "present": None}
    known, opposite = guard.symbol, guard.symbol.negate()
    for value, holds in ((one, known), (other, opposite)):
        if value.present is not holds:
            before |= value.absent
    if (one.constant is None) == (other.constant is None):
        return {"absent": before, "present": None}
    # Where it was missing before for another reason, no single condition says where it is.
    present = opposite if one.constant is None else known
    return {"absent": before | guard.varies, "present": None if before else present}


def _size(one: Value, other: Value) -> Symbol | None:
    """The size of a group, also where it is 1 in a job that is not distributed."""
    return one.size_of if one.size_of == other.size_of or other.constant == 1 else None


def _longer(one: Length | None, other: Length | None, guard: Value | None) -> Length | None:
    """The length after a branch: on some ranks that of what they have, on others that of a buffer for it."""
    roles = guard is not None and any(cause.kind == "rank" for cause in guard.causes)
    if one is None or other is None:
        known = one or other
        return known if known is not None and known.kind == "grown" and not roles else None
    if one.kind == other.kind:
        return one
    grown = one if one.kind == "grown" else other
    return Length("mixed", grown.cause) if roles else None


def _merge(one: tuple[Cause, ...], other: tuple[Cause, ...]) -> tuple[Cause, ...]:
    return one if not other else tuple(dict.fromkeys((*one, *other)))[:_MOST_CAUSES]
