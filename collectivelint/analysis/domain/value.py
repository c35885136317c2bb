"""What the analysis knows about a value: over which axes it differs between ranks, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .causes import Cause, Length, Sharded, merged
from .symbol import WORLD, Symbol, constant, name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...program.target import Target

#: The axes that a value varies over are the symbols of groups. What varies over the default group, WORLD, varies over every
#: group; these are places instead: ranks that share one differ in nothing else of it.
LOCAL_AXIS: Final = name("local")
PLACES: Final = frozenset({LOCAL_AXIS, name("node")})


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
            origins = merged(origins, value.origins)
        if ranks:
            if value.varies:
                varies |= value.varies
                maybe |= value.maybe
            if value.causes:
                causes = merged(causes, value.causes)
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
