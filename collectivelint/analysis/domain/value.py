"""The abstract value: its symbol, and one record each for rank variance, reference, length and provenance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...record import Record
from .extent import UNMEASURED, Extent
from .origin import MADE_HERE, Origin
from .records import KEEP, Keep
from .symbol import WORLD, Symbol, constant, name
from .uniformity import UNIFORM, Uniformity

if TYPE_CHECKING:
    from ...program.target import Target
    from .causes import Cause, Length, Sharded
    from .wrapped import Wrapped

#: The axes that a value varies over are the symbols of groups. What varies over the default group, WORLD, varies over every
#: group; these are places instead: ranks that share one differ in nothing else of it.
LOCAL_AXIS: Final = name("local")
PLACES: Final = frozenset({LOCAL_AXIS, name("node")})


class _Unknown:
    """The type of UNKNOWN, the constant of a value that is not a constant."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()


class Reference(Record):
    """What a value refers to, if the program or the catalogue says what it is."""

    __slots__ = (
        "dims",
        "everyone",
        "given",
        "instance",
        "item",
        "kind",
        "manager",
        "meaning",
        "optional",
        "options",
        "partial",
        "parts",
        "receiver",
        "runs",
        "target",
        "wrapped",
    )

    def __init__(
        self,
        target: Target | None = None,
        receiver: Value | None = None,
        instance: Target | None = None,
        kind: str | None = None,
        meaning: str | None = None,
        parts: tuple[Value, ...] = (),
        item: Value | None = None,
        runs: tuple[object, ...] = (),
        manager: tuple[object, ...] = (),
        optional: bool = False,
        given: bool = False,
        partial: bool = False,
        everyone: bool = False,
        dims: tuple[str, ...] | None = None,
        options: tuple[tuple[str, Symbol], ...] = (),
        wrapped: Wrapped | None = None,
    ):
        """Parameters left out are unknown."""
        #: The function, class or module that it is.
        self.target: Final = target
        #: The object whose method it is.
        self.receiver: Final = receiver
        #: The program's class that it is an object of.
        self.instance: Final = instance
        #: The class outside the program that it is an object of, as the catalogue names it.
        self.kind: Final = kind
        #: "group" or "mesh".
        self.meaning: Final = meaning
        #: The elements of a tuple or list display.
        self.parts: Final = parts
        #: What each element of a container is, where that is an object of the program.
        self.item: Final = item
        #: The term of calling it.
        self.runs: Final = runs
        #: The term of the `with` statement that it manages.
        self.manager: Final = manager
        #: It may be None.
        self.optional: Final = optional
        #: An attribute that only holds what was passed in.
        self.given: Final = given
        #: A group made from a list of ranks.
        self.partial: Final = partial
        #: A group of all ranks.
        self.everyone: Final = everyone
        #: The names of a mesh's dimensions.
        self.dims: Final = dims
        #: The attributes of an object made here that are constants, with those.
        self.options: Final = options
        #: The framework that has wrapped the model that it is.
        self.wrapped: Final = wrapped

    def _fields(self) -> tuple[object, ...]:
        of_program = (self.target, self.receiver, self.instance, self.kind, self.meaning, self.parts, self.item)
        of_groups = (self.partial, self.everyone, self.dims)
        return (*of_program, *of_groups, self.runs, self.manager, self.optional, self.given, self.options, self.wrapped)

    __hash__ = None  # type: ignore[assignment]  # it holds values, which have no hash


#: Of a value that refers to nothing the analysis knows.
UNREFERENCED: Final = Reference()


class Value(Record):
    """An immutable abstract value; each method that changes something makes a copy.

    Most values say nothing in most records, and millions are made: they share the empty records.
    """

    __slots__ = ("constant", "extent", "origin", "reference", "symbol", "uniformity", "was")

    def __init__(
        self,
        symbol: Symbol,
        uniformity: Uniformity = UNIFORM,
        constant: object = UNKNOWN,
        was: Symbol | None = None,
        reference: Reference = UNREFERENCED,
        extent: Extent = UNMEASURED,
        origin: Origin = MADE_HERE,
    ):
        """Parameters left out are unknown."""
        #: Identifies it: equal symbols in one function are equal values.
        self.symbol: Final = symbol
        #: How it differs between ranks.
        self.uniformity: Final = uniformity
        #: The constant that it is, or UNKNOWN.
        self.constant: Final = constant
        #: The symbol of the expression it was assigned from.
        self.was: Final = was
        #: What it refers to.
        self.reference: Final = reference
        #: How long it is.
        self.extent: Final = extent
        #: Where its data come from.
        self.origin: Final = origin

    def but(
        self,
        symbol: Symbol | Keep = KEEP,
        constant: object = KEEP,
        was: Symbol | Keep | None = KEEP,
        uniformity: Uniformity | Keep = KEEP,
        reference: Reference | Keep = KEEP,
        extent: Extent | Keep = KEEP,
        origin: Origin | Keep = KEEP,
    ) -> Value:
        """A copy with other values for these fields."""
        return Value(
            self.symbol if isinstance(symbol, Keep) else symbol,
            self.uniformity if isinstance(uniformity, Keep) else uniformity,
            constant=self.constant if isinstance(constant, Keep) else constant,
            was=self.was if isinstance(was, Keep) else was,
            reference=self.reference if isinstance(reference, Keep) else reference,
            extent=self.extent if isinstance(extent, Keep) else extent,
            origin=self.origin if isinstance(origin, Keep) else origin,
        )

    def varying(
        self,
        varies: frozenset[Symbol] | Keep = KEEP,
        causes: tuple[Cause, ...] | Keep = KEEP,
        depends: frozenset[str] | Keep = KEEP,
        one: bool | Keep | None = KEEP,
        maybe: bool | Keep = KEEP,
        absent: frozenset[Symbol] | Keep = KEEP,
        present: Symbol | Keep | None = KEEP,
        equal_where: Symbol | Keep | None = KEEP,
    ) -> Value:
        """A copy with another rank variance."""
        uniformity = self.uniformity.but(varies, causes, depends, one, maybe, absent, present, equal_where)
        return self.but(uniformity=uniformity)

    def referring(
        self,
        target: Target | Keep | None = KEEP,
        receiver: Value | Keep | None = KEEP,
        instance: Target | Keep | None = KEEP,
        kind: str | Keep | None = KEEP,
        meaning: str | Keep | None = KEEP,
        parts: tuple[Value, ...] | Keep = KEEP,
        item: Value | Keep | None = KEEP,
        runs: tuple[object, ...] | Keep = KEEP,
        manager: tuple[object, ...] | Keep = KEEP,
        optional: bool | Keep = KEEP,
        given: bool | Keep = KEEP,
        partial: bool | Keep = KEEP,
        everyone: bool | Keep = KEEP,
        dims: tuple[str, ...] | Keep | None = KEEP,
        options: tuple[tuple[str, Symbol], ...] | Keep = KEEP,
        wrapped: Wrapped | Keep | None = KEEP,
    ) -> Value:
        """A copy that refers to something else."""
        known = self.reference
        new = Reference(
            known.target if isinstance(target, Keep) else target,
            known.receiver if isinstance(receiver, Keep) else receiver,
            known.instance if isinstance(instance, Keep) else instance,
            known.kind if isinstance(kind, Keep) else kind,
            known.meaning if isinstance(meaning, Keep) else meaning,
            known.parts if isinstance(parts, Keep) else parts,
            known.item if isinstance(item, Keep) else item,
            known.runs if isinstance(runs, Keep) else runs,
            known.manager if isinstance(manager, Keep) else manager,
            known.optional if isinstance(optional, Keep) else optional,
            known.given if isinstance(given, Keep) else given,
            known.partial if isinstance(partial, Keep) else partial,
            known.everyone if isinstance(everyone, Keep) else everyone,
            known.dims if isinstance(dims, Keep) else dims,
            known.options if isinstance(options, Keep) else options,
            known.wrapped if isinstance(wrapped, Keep) else wrapped,
        )
        nothing = new.target is None and new.receiver is None and new.instance is None and new.kind is None
        nothing = nothing and new.meaning is None and new.wrapped is None and new.item is None and new.dims is None
        nothing = nothing and not (new.options or new.parts or new.runs or new.manager or new.optional or new.given)
        nothing = nothing and not (new.partial or new.everyone)
        return self.but(reference=UNREFERENCED if nothing else new)

    def sized(
        self,
        uneven: tuple[Cause, ...] | Keep = KEEP,
        unordered: Cause | Keep | None = KEEP,
        size_of: Symbol | Keep | None = KEEP,
        length: Length | Keep | None = KEEP,
        whole: frozenset[Symbol] | Keep = KEEP,
        index_of: Symbol | Keep | None = KEEP,
    ) -> Value:
        """A copy of another length."""
        return self.but(extent=self.extent.but(uneven, unordered, size_of, length, whole, index_of))

    def sourced(
        self,
        origins: tuple[Cause, ...] | Keep = KEEP,
        shared: bool | Keep = KEEP,
        sharded: Sharded | Keep | None = KEEP,
        ranked: bool | Keep = KEEP,
        elements: frozenset[str] | Keep = KEEP,
        own: Cause | Keep | None = KEEP,
        passed: Wrapped | Keep | None = KEEP,
        stamps: tuple[Cause, ...] | Keep = KEEP,
    ) -> Value:
        """A copy with another provenance."""
        return self.but(origin=self.origin.but(origins, shared, sharded, ranked, elements, own, passed, stamps))

    def __eq__(self, other: object) -> bool:
        """Equal in every field; symbols that are equal are one object."""
        return self is other or (
            isinstance(other, Value) and self.symbol is other.symbol and self._fields() == other._fields()
        )

    __hash__ = None  # type: ignore[assignment]  # its reference has none

    def __repr__(self) -> str:
        """Its symbol, and the axes it varies over."""
        return f"Value({self.symbol!r}, varies={set(self.uniformity.varies)!r})"

    def _fields(self) -> tuple[object, ...]:
        return (self.symbol, self.uniformity, self.constant, self.was, self.reference, self.extent, self.origin)

    @property
    def written(self) -> Symbol:
        """The expression it was assigned from, or itself."""
        return self.symbol if self.was is None else self.was

    @property
    def given_as(self) -> str | None:
        """The parameter whose argument the value is, unchanged; None if it is not one."""
        name = self.symbol.parameter
        return name if name in self.uniformity.depends else None

    @property
    def flows_from(self) -> frozenset[str]:
        """The parameters, and the loops over unordered containers, that the value depends on."""
        return self.uniformity.depends | self.written.parameters | self.origin.elements

    @property
    def group_key(self) -> Symbol:
        """The symbol of the group this value is when it is passed as `group`; None means the default group."""
        return WORLD if self.constant is None else self.symbol


NONE: Final = Value(constant(None), constant=None)
