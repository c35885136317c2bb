"""Which conditions follow from which: equality, negation, conjunction and disjunction, and comparisons with literals.

Implication is an order: reflexive and transitive. Conditions are ordered as Whitman's algorithm orders the elements of
a free lattice over an ordered set; that set consists of the literals, one of which implies another if it is true of
fewer values.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Final

from .symbol import class_of, name

if TYPE_CHECKING:
    from .symbol import Symbol

_ORDER: Final = frozenset({"<", "<=", ">", ">="})
_LEN: Final = name("len")


class _Other:
    """A value that no literal of the program is equal to."""

    __slots__ = ("true",)

    def __init__(self, *, true: bool) -> None:
        self.true = true

    def __bool__(self) -> bool:
        return self.true


_OTHERS: Final = (_Other(true=True), _Other(true=False))


class Literal:
    """A condition as a test of a value: its subject, the comparison operator, and the constants compared with.

    `operator` is "truth" for a condition that compares with no constant. `members` are the members of the class `owner`
    that it compares with; otherwise it compares with `constants`.
    """

    __slots__ = ("constants", "members", "operator", "owner", "subject")

    subject: Symbol
    operator: str
    constants: tuple[object, ...]
    members: frozenset[Symbol]
    owner: tuple[object, ...] | None

    def __init__(self, symbol: Symbol) -> None:
        """Use `literal_of`, which makes one for each symbol."""
        self.subject, self.operator, self.constants, self.members, self.owner = symbol, "truth", (), frozenset(), None
        if symbol.kind != "compare":
            return
        operator, right = str(symbol.head[0]), symbol.args[1]
        items: tuple[Symbol, ...] = (right,)
        if operator == "in":
            is_display = right.kind == "compound" and right.head[0] in ("Tuple", "List", "Set")
            items = right.args if is_display else ()
        if not items:
            return
        if all(item.kind == "constant" for item in items):
            self.subject, self.operator = symbol.args[0], operator
            self.constants = tuple(item.head[1] for item in items)
        elif operator in ("==", "is", "in"):
            owners = {class_of(item) for item in items}
            if len(owners) == 1 and None not in owners:
                self.subject, self.operator = symbol.args[0], operator
                self.members, self.owner = frozenset(items), owners.pop()


def literal_of(symbol: Symbol) -> Literal:
    """A condition without negation as a test."""
    known = symbol.literal
    if not isinstance(known, Literal):
        known = symbol.literal = Literal(symbol)
    return known


def implies(one: Symbol, other: Symbol) -> bool:
    """Whether `other` is true wherever `one` is; False also where that is not known."""
    return _follows(one, True, other, True)  # the conditions as they are


def _follows(one: Symbol, true: bool, other: Symbol, also: bool) -> bool:  # a condition and its outcome
    """Whether `other` has the outcome `also` wherever `one` has the outcome `true`."""
    if one.kind == "not":
        return _follows(one.args[0], not true, other, also)
    if other.kind == "not":
        return _follows(one, true, other.args[0], not also)
    if one is other and true == also:
        return True
    # A disjunction that is true, a conjunction that is not: one of several reasons, each of which has to do.
    if one.kind == ("or" if true else "and"):
        return all(_follows(arg, true, other, also) for arg in one.args)
    if other.kind == ("and" if also else "or"):
        return all(_follows(one, true, arg, also) for arg in other.args)
    if one.kind == ("and" if true else "or") and any(_follows(arg, true, other, also) for arg in one.args):
        return True
    if other.kind == ("or" if also else "and"):
        return any(_follows(one, true, arg, also) for arg in other.args)
    if one is other or one.kind in ("and", "or"):
        return False
    return _between(literal_of(one), true, literal_of(other), also)


def _between(one: Literal, true: bool, other: Literal, also: bool) -> bool:  # a literal and its outcome
    if one.subject is not other.subject:
        return False
    if one.members or other.members:
        if one.owner != other.owner:
            return False
        if true:
            return one.members <= other.members if also else one.members.isdisjoint(other.members)
        return not also and other.members <= one.members
    points = _points(one, other)
    if points is None:
        return False
    return all(_holds(other, point) == also for point in points if _holds(one, point) == true)


def _points(one: Literal, other: Literal) -> list[object] | None:
    """Sample values on which two tests have all the outcomes that they have on any value; None if no few suffice."""
    constants = (*one.constants, *other.constants)
    numbers = {item for item in constants if isinstance(item, (int, float)) and isfinite(item)}
    ordered = one.operator in _ORDER or other.operator in _ORDER
    if ordered and len(numbers) < len(set(constants)):
        return None
    if _is_integer(one.subject):
        if any(number != int(number) for number in numbers):
            return None
        return [*sorted({int(number) + step for number in (*numbers, 0) for step in (-1, 0, 1)})]
    found: list[object] = [*constants, *_OTHERS, True, False, 0]
    if ordered:
        steps = sorted({Fraction(number) for number in numbers})
        found += [steps[0] - 1, steps[-1] + 1]
        found += [(low + high) / 2 for low, high in pairwise(steps)]
    return found


def _is_integer(symbol: Symbol) -> bool:
    """Whether it is a number of ranks or elements, which no fraction is equal to."""
    return symbol.kind in ("rank", "world_size") or (symbol.kind == "call" and symbol.args[0] is _LEN)


def _holds(test: Literal, point: object) -> bool:
    operator, constants = test.operator, test.constants
    if operator == "truth":
        return bool(point)
    if operator == "is":
        return type(point) is type(constants[0]) and point == constants[0]
    if operator in ("==", "in"):
        return point in constants
    constant = constants[0]
    if not isinstance(point, (int, float, Fraction)) or not isinstance(constant, (int, float)):
        return False
    if operator in ("<", "<="):
        return point < constant or (operator == "<=" and point == constant)
    return point > constant or (operator == ">=" and point == constant)
