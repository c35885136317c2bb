"""What the analysis knows about a value: over which axes it differs between ranks, and why."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ...ir.nodes import Span
    from ...program.target import Target

#: The axis of the default group: what varies over it varies over every group.
WORLD: Final = "world"
#: Axes that are not process groups but places; ranks that share one differ in nothing else of it.
PLACES: Final = frozenset({"local", "node"})

#: The form of a condition that counts the turns of a `for` loop begins so, that of one that an exception takes so, and
#: that of one that picks an override of a method so.
TURNS: Final = "turns of "
CAUGHT: Final = "exception "
OVERRIDE: Final = "override "

_MOST_CAUSES: Final = 3
_LONGEST_FORM: Final = 400


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

    `form` is a canonical text: equal forms in one function are equal values; `$name` in it stands for a parameter.
    `depends` names the parameters that flow into it. `absent`: the axes over which it is None on some ranks only, and `present` the condition of those where it is not. `one` says of a condition whether it holds on exactly one rank
    (True) or on all but one (False). `target` is what it refers to, `instance` the program's class it is an object of,
    `type` the class outside the program; `meaning` is "group" or "mesh". `partial` marks a group made from a list of ranks.
    `parts` are the elements of a tuple or list display. `maybe`: it varies only where some configuration says so (`rank == 0 if coordinated else True`).
    `uneven` says why its length differs between ranks, `unordered` where the set it iterates over was made. `size_of`:
    its length, or the number it is, is the size of that group. `everyone`: a group of all ranks. `shared`: filled by a collective that leaves the same data on all
    ranks. `given`: an attribute that only
    holds what was passed in. `runs` is the term of
    calling it, `manager` that of the `with` statement it manages. `was`: the form of the expression it was assigned from.
    `item`: what any element of a container is, where that is an object of the program. `length`: where its length comes
    from, as far as that matters to who receives it. `ranked`: a rank is written into it, which makes another text of it.
    `sharded`: each rank has another part of it. `dims`: the names of a mesh's dimensions.
    """

    form: str
    varies: frozenset[str] = frozenset()
    causes: tuple[Cause, ...] = ()
    origins: tuple[Cause, ...] = ()
    depends: frozenset[str] = frozenset()
    one: bool | None = None
    constant: object = UNKNOWN
    optional: bool = False
    absent: frozenset[str] = frozenset()
    present: str = ""
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
    size_of: str | None = None
    everyone: bool = False
    shared: bool = False
    given: bool = False
    runs: tuple[object, ...] = ()
    manager: tuple[object, ...] = ()
    was: str = ""
    item: Value | None = None
    length: Length | None = None
    ranked: bool = False
    sharded: Sharded | None = None
    dims: tuple[str, ...] | None = None

    def __init__(self, form: str, varies: frozenset[str] = frozenset(), causes: tuple[Cause, ...] = (), **more: Any):
        """`more` are other fields by name."""
        fields = self.__dict__
        fields["form"] = form if len(form) <= _LONGEST_FORM else _digest(form)
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
        if len(fields["form"]) > _LONGEST_FORM:
            fields["form"] = _digest(fields["form"])
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
    def group_key(self) -> str:
        """The name of the group this value is when it is passed as `group`; None means the default group."""
        return WORLD if self.constant is None or self.form == WORLD else self.form


def _digest(form: str) -> str:
    """A short form for a long one: `x = f(x, x)` would double it in every line."""
    negated = form.startswith("not ")
    digest = blake2b(form.removeprefix("not ").encode(), digest_size=12).hexdigest()
    return f"not #{digest}" if negated else f"#{digest}"


NONE: Final = Value("None", constant=None)


def flow(form: str, values: Iterable[Value], *, ranks: bool = True) -> Value:
    """A new value computed from `values`: it varies as they do (if `ranks`), and comes from where they come from."""
    varies: frozenset[str] = frozenset()
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
    found = Value(form, varies, causes)
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


def each(value: Value, form: str) -> Value:
    """An element of a container, or what a loop over it binds."""
    found = flow(form, (value,))
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


def join(one: Value, other: Value, fresh: str, guard: Value | None = None, where: Cause | None = None) -> Value:
    """The value of a variable after a branch whose arms gave it `one` and `other`.

    Where `guard`, the condition, varies, so does the result, unless both arms agree: an implicit flow.
    """
    if one == other:
        return one
    if one.form == other.form and one.constant is UNKNOWN:
        return one.but(
            optional=one.optional or other.optional,
            absent=one.absent | other.absent,
            present=one.present if one.present == other.present else "",
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
        parts = tuple(join(left, right, f"{fresh}[{index}]", guard, where) for index, (left, right) in pairs)
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
            form=known.form if known.form.startswith("$") and None in (one.constant, other.constant) else mixed.form,
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
    known = guard.form if guard is not None else ""
    opposite = known[4:] if known.startswith("not ") else f"not {known}"
    before: frozenset[str] = frozenset()
    for value, holds in ((one, known), (other, opposite)):
        if guard is None or value.present != holds:
            before |= value.absent
    here = (one.constant is None) != (other.constant is None)
    if not here or guard is None:
        return {"absent": before, "present": ""}
    # Where it was missing before for another reason, no single condition says where it is.
    present = opposite if one.constant is None else known
    return {"absent": before | guard.varies, "present": "" if before else present}


def _size(one: Value, other: Value) -> str | None:
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


#: What is true of a job that is distributed; the other case has no other ranks to disagree with.
_LAUNCHED: Final = frozenset({"is_initialized()", "is_available()", "launched"})


def launched(form: str) -> bool | None:
    """Does a condition ask whether the job is distributed at all (True), or whether it is not (False)?"""
    if form.startswith("not "):
        inner = launched(form[4:])
        return None if inner is None else not inner
    if form in _LAUNCHED:
        return True
    for word, outcome in ((" and ", True), (" or ", False)):
        if form.startswith("(") and form.endswith(")") and word in form:
            parts = [launched(part) for part in form[1:-1].split(word)]
            if all(part is outcome for part in parts):
                return outcome
    return None


def _merge(one: tuple[Cause, ...], other: tuple[Cause, ...]) -> tuple[Cause, ...]:
    return one if not other else tuple(dict.fromkeys((*one, *other)))[:_MOST_CAUSES]
