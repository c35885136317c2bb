"""Iterables with equal numbers of elements, judged by their expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .symbol import Symbol, attribute, call, name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .value import Value

#: Functions that give as many elements as their first argument has.
_ALL: Final = frozenset(name(text) for text in ("list", "sorted", "tuple", "reversed", "enumerate", "iter"))
_RANGE, _LEN = name("range"), name("len")
#: Methods that give as many elements as the object has.
_VIEWS: Final = frozenset({"items", "keys", "values"})
#: Methods with an element for each of the same things.
_SAME: Final = {"named_parameters": "parameters", "named_buffers": "buffers", "named_modules": "modules"}
_DEEPEST: Final = 16


def counted(symbol: Symbol, variables: Mapping[str, Value]) -> Symbol:
    """The container with as many elements as an iterable: `d` for `d.items()`, `sorted(d)` and `[k for k in d]`."""
    for _ in range(_DEEPEST):
        inner = _inside(symbol, variables)
        if inner is None:
            break
        symbol = inner
    return symbol


def _inside(symbol: Symbol, variables: Mapping[str, Value]) -> Symbol | None:
    if symbol.kind == "place":
        # A variable, and what it was assigned from: that may have other elements by now if it can be changed.
        value = next((value for value in variables.values() if value.symbol is symbol), None)
        written = None if value is None else value.was
        return written if written is not None and _inside(written, {}) is not None else None
    if symbol.kind == "comprehension" and symbol.head == (True, False):
        return symbol.args[1]
    if symbol.kind != "call":
        return None
    callee, *args = symbol.args
    if callee in _ALL and args:
        return args[0]
    if callee is _RANGE and len(args) == 1 and args[0].kind == "call" and args[0].args[0] is _LEN:
        return args[0].args[1]
    if callee.kind != "attribute":
        return None
    if callee.head[0] in _VIEWS and not args:
        return callee.args[0]
    same = _SAME.get(str(callee.head[0]))
    return None if same is None else call(attribute(callee.args[0], same), args)
