"""Which conditions follow from which: equality, negation, conjunction and disjunction, and what is compared with literals.

What is decided is an order: reflexive and transitive. Conditions are ordered as Whitman's algorithm orders the elements of a free
lattice over an ordered set; that set are the literals, of which one implies another if it is true of fewer values.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Final, TypeAlias

from .symbol import class_of, name

if TYPE_CHECKING:
    from .symbol import Symbol

_ORDER: Final = frozenset({"<", "<=", ">", ">="})
_LEN: Final = name("len")
#: Numbers of ranks, which no fraction lies between.
_INTEGERS: Final = frozenset({"get_rank", "get_node_local_rank", "get_world_size"})


class _Other:
    """A value that no literal of the program is equal to."""

    __slots__ = ("true",)

    def __init__(self, *, true: bool) -> None:
        self.true = true

    def __bool__(self) -> bool:
        return self.true


_OTHERS: Final = (_Other(true=True), _Other(true=False))
#: What is compared, how, and with which constants; `truth` compares with none.
_Test: TypeAlias = "tuple[Symbol, str, tuple[object, ...]]"


def implies(one: Symbol, other: Symbol) -> bool:
    """Whether `other` is true wherever `one` is; False also where that is not known."""
    return _follows(one, True, other, True)  # the conditions as they are


def subject(symbol: Symbol) -> Symbol:
    """What a condition says something about: one implies another only if both are about the same, or are made of such."""
    inner = symbol.positive
    return inner.args[0] if inner.kind == "compare" and _right(inner) is not None else inner


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
    if one.kind in ("and", "or"):
        return False
    return _literal(one, true, other, also)


def _literal(one: Symbol, true: bool, other: Symbol, also: bool) -> bool:  # a condition and its outcome
    if one is other:
        return true == also
    mine, theirs = _members(one), _members(other)
    if mine is not None and theirs is not None:
        return _among_members(mine, true, theirs, also)
    first, second = _test(one), _test(other)
    if first[0] is not second[0]:
        return False
    points = _points(first, second)
    if points is None:
        return False
    return all(_holds(second, point) == also for point in points if _holds(first, point) == true)


def _right(symbol: Symbol) -> tuple[Symbol, ...] | None:
    """What a comparison compares with, where that is one literal or several."""
    operator, right = symbol.head[0], symbol.args[1]
    if operator == "in":
        plain = right.kind == "compound" and right.head[0] in ("Tuple", "List", "Set")
        found = right.args if plain else ()
    else:
        found = (right,)
    constants = all(item.kind == "constant" for item in found)
    return found if found and (constants or all(class_of(item) is not None for item in found)) else None


def _members(symbol: Symbol) -> tuple[Symbol, frozenset[Symbol]] | None:
    """What is compared with members of one class, and with which."""
    if symbol.kind != "compare" or symbol.head[0] not in ("==", "is", "in"):
        return None
    right = _right(symbol)
    classes = {class_of(item) for item in right or ()}
    if right is None or len(classes) != 1 or None in classes:
        return None
    return symbol.args[0], frozenset(right)


def _among_members(
    mine: tuple[Symbol, frozenset[Symbol]],
    true: bool,  # a condition and its outcome
    theirs: tuple[Symbol, frozenset[Symbol]],
    also: bool,
) -> bool:
    owners = {class_of(item) for item in mine[1] | theirs[1]}
    if mine[0] is not theirs[0] or len(owners) != 1:
        return False
    if true:
        return mine[1] <= theirs[1] if also else mine[1].isdisjoint(theirs[1])
    return not also and theirs[1] <= mine[1]


def _test(symbol: Symbol) -> _Test:
    """A condition as a test of a value; one that compares with nothing that is written out tests its own truth."""
    if symbol.kind == "compare":
        right = _right(symbol)
        if right is not None and all(item.kind == "constant" for item in right):
            return symbol.args[0], str(symbol.head[0]), tuple(item.head[1] for item in right)
    return symbol, "truth", ()


def _points(one: _Test, other: _Test) -> list[object] | None:
    """Values of which two tests are true or not as they are of any value; None where no few values stand for all."""
    constants = (*one[2], *other[2])
    numbers = {item for item in constants if isinstance(item, (int, float)) and isfinite(item)}
    ordered = one[1] in _ORDER or other[1] in _ORDER
    if ordered and len(numbers) < len(set(constants)):
        return None
    if _is_integer(one[0]):
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
    if symbol.kind == "operation":
        return symbol.head[0] in _INTEGERS
    return symbol.kind == "call" and symbol.args[0] is _LEN


def _holds(test: _Test, point: object) -> bool:
    _, operator, constants = test
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
