"""Expressions: their abstract value, and the collectives that computing them runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.names import plain
from ...ir.nodes import (
    Attribute,
    Bind,
    Call,
    Compare,
    Compound,
    Comprehension,
    Conditional,
    Constant,
    Declared,
    Expr,
    Lambda,
    Logical,
    Name,
    Not,
    Subscript,
)
from ..calls.annotations import declared
from ..calls.catalog_calls import iterated
from ..calls.dispatch import apply
from ..calls.meshes import part_of
from ..calls.own_failures import note_element, note_never_none
from ..calls.sharding_tests import class_asked_of
from ..domain import symbol as symbols
from ..domain.alternatives import is_known
from ..domain.ends import combined, has_others
from ..domain.flowing import each, flow
from ..domain.joining import join
from ..domain.multiples import cut, dealt_evenly, shared_evenly
from ..domain.recognise import is_open_group, is_remainder
from ..domain.shares import is_uneven_share
from ..domain.symbol import both, make, operation, subscript
from ..domain.value import NONE, UNKNOWN, Value
from ..effects import Choice, Guard, Repeat
from .attributes import attribute_of
from .binding import bind, environment
from .changes import entry
from .comparisons import compared
from .compounds import computed_from
from .guards import choose, guard_of, perhaps, truth
from .names import look_up
from .own_data import asking, is_held, shared
from .scopes import Arm, Asked, Under

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...ir.nodes import Span
    from ..effects import Term
    from .state import Frame

_ZERO: Final = symbols.constant(0)
_EQUALITIES: Final = frozenset({"==", "!=", "is", "is not"})


def evaluate(frame: Frame, expr: Expr) -> Value:
    """The value of `expr`; its collectives are appended to the frame's term in evaluation order."""
    # For every expression there is, so by `isinstance`: see `ir.traversal`.
    if isinstance(expr, Name):
        return look_up(frame, expr.id)
    if isinstance(expr, Attribute):
        path = plain(expr)
        variable = frame.variables.get(path) if path is not None else None
        return attribute_of(frame, expr, path, evaluate(frame, expr.value)) if variable is None else variable
    if isinstance(expr, Constant):
        return NONE if expr.value is None else Value(symbols.constant(expr.value), constant=expr.value)
    if isinstance(expr, Call):
        callee = evaluate(frame, expr.function)
        args = [evaluate(frame, arg) for arg in expr.args]
        return apply(frame, expr, callee, args, {name: evaluate(frame, value) for name, value in expr.keywords})
    if isinstance(expr, Compound):
        return computed_from(frame, expr, [evaluate(frame, part) for part in expr.parts])
    if isinstance(expr, Subscript):
        known_entry = entry_of(frame, expr)
        return _subscript(frame, expr.value, expr.index) if known_entry is None else known_entry
    match expr:
        case Not(value=inner):
            value = evaluate(frame, inner)
            known = UNKNOWN if value.constant is UNKNOWN else not value.constant
            if _is_function(inner, value):
                # `not evaluate`, with the function of that name instead of a flag.
                return Value(symbols.constant(False), constant=False)
            return truth(value, negate=True).but(constant=known)
        case Compare():
            left = evaluate(frame, expr.left)
            right = evaluate(frame, expr.right)
            note_never_none(frame, expr, left, right)
            if right.constant is not UNKNOWN and expr.op in _EQUALITIES and _is_function(expr.left, left):
                # `evaluate == "train"`, where `evaluate` is a function.
                differs = expr.op in ("!=", "is not")
                return Value(symbols.constant(differs), constant=differs)
            sharded = class_asked_of(frame, left, right) if expr.op in ("is", "is not", "==", "!=") else None
            if sharded is not None:
                return Value(sharded if expr.op in ("is", "==") else sharded.negate())
            if right.constant == 1 and is_open_group(left.extent.size_of) and not left.uniformity.varies:
                name = (plain(expr.left) or "").rpartition(".")[2]
                if frame.context.catalog.convention(name, "size") is not None:
                    # `world_size > 1`, wherever it comes from.
                    left = left.sized(size_of=symbols.WORLD)
            return asking(frame, expr, left, right, compared(expr.op, left, right))
        case Logical():
            return _logical(frame, expr)
        case Conditional(test=test, then=then, orelse=orelse, span=span, test_span=test_span):
            guard_value, guard = condition(frame, test, test_span)
            values, arms = [], []
            for part in (then, orelse):
                with Arm(frame) as arm, Under(frame, guard, guard_value), Asked(frame, guard_value.symbol):
                    value = evaluate(frame, part)
                # `default if given is None else given` is never None.
                asked = isinstance(test, Compare) and test.right == Constant(None) and test.left == part
                if asked and value.reference.optional:
                    value = value.referring(optional=False).varying(absent=frozenset())
                values.append(value)
                arms.append(tuple(arm.items))
            choose(frame, guard, arms[0], arms[1], positive=guard.positive)
            if (others := has_others(guard_value.symbol)) is not None:
                return values[not others]  # What a job of one process has says nothing about a job of many.
            fresh = make("conditional", (), (guard_value.symbol, values[0].symbol, values[1].symbol))
            return join(values[0], values[1], fresh, guard_value, frame.cause("branch", span))
        case Comprehension():
            return _comprehension(frame, expr)
        case Bind(name=name, value=inner):
            frame.variables[name] = evaluate(frame, inner)
            return frame.variables[name]
        case Lambda(params=params, body=body):
            return Value(frame.fresh("lambda", frame.statement)).referring(runs=_later(frame, params, body))
        case Declared(value=inner, annotation=annotation, span=span):
            return declared(frame, evaluate(frame, inner), annotation, span)


def _is_function(expr: Expr, value: Value) -> bool:
    """Whether a name is that of a function or class of the program, and so neither a flag nor equal to a literal."""
    target = value.reference.target
    return isinstance(expr, Name) and target is not None and target.kind in ("function", "class")


def _later(frame: Frame, params: Sequence[str], body: Expr) -> Term:
    """The term of code that runs later, such as a lambda's body; it has no effect here."""
    with Arm(frame) as arm:
        frame.variables = {**frame.variables} | {name: Value(frame.fresh(name, frame.statement)) for name in params}
        evaluate(frame, body)
    return tuple(arm.items)


def condition(frame: Frame, test: Expr, span: Span) -> tuple[Value, Guard]:
    """Evaluate a condition; the guard is what branches on it carry. Its symbol may be negated: see `choose`."""
    value = evaluate(frame, test)
    if is_remainder(value.symbol) or (value.extent.uneven and not value.uniformity.varies):
        value = truth(value, negate=False)
    return value, guard_of(frame, value, span)


def _logical(frame: Frame, expr: Logical) -> Value:
    """`and` / `or`: later operands, and their collectives, are reached only where the earlier ones allow."""
    values = [first := evaluate(frame, expr.values[0])]
    if len(expr.values) > 1:
        asked = first if first.uniformity.one is not None else truth(first, negate=False)
        symbol, positive = asked.symbol.positive, not asked.symbol.is_negation
        where = expr.spans[0] if expr.spans else frame.statement
        guard = Guard(
            symbol,
            asked.uniformity.varies,
            asked.uniformity.causes,
            asked.uniformity.depends,
            asked.uniformity.one,
            frame.path,
            where,
            frame.statement,
            positive != expr.negated,
        )
        rest = expr.values[1:]
        with frame.collecting() as items, Under(frame, guard, asked), Asked(frame, asked.symbol):
            values.append(evaluate(frame, rest[0] if len(rest) == 1 else Logical(expr.op, rest, expr.spans[1:])))
        choose(frame, guard, tuple(items), (), positive=positive == (expr.op == "and"))
    value = combined(expr.op, values)
    value = perhaps(expr.op, values, value)
    if expr.op == "or" and values[-1].reference.meaning:
        value = value.referring(meaning=values[-1].reference.meaning, kind=values[-1].reference.kind)
    return value


def entry_of(frame: Frame, expr: Subscript) -> Value | None:
    """The value of an entry with a constant key that is tracked separately; None if it is not."""
    path = entry(expr)
    if path is None:
        return None
    if path in frame.variables:
        return frame.variables[path]
    owner, _, name = path.partition(".")
    base = frame.variables.get(owner) if name else None
    if base is None or base.reference.instance is None:
        return None
    set_in = frame.context.entries(base.reference.instance)
    return frame.context.attribute(base.reference.instance, name) if name in set_in else None


def _subscript(frame: Frame, container: Expr, index: Expr) -> Value:
    base, key = evaluate(frame, container), evaluate(frame, index)
    if base.reference.target is not None and base.reference.target.name in frame.context.catalog.readers:
        return environment(frame, key, subscript(base.symbol, key.symbol), frame.function.span)
    found = flow(subscript(base.symbol, key.symbol), (base, key))
    note_element(frame, base, key)
    if found.origin.stamps and isinstance(key.constant, str):
        # One entry of a dictionary, which may have a time in another one.
        found = found.sourced(stamps=())
    if any(cause.kind == "received" for cause in key.origin.origins) and _is_difference(key):
        frame.note("index", frame.statement, key.origin.origins, index)
    if base.reference.meaning == "mesh":
        return found.referring(meaning="mesh", kind=base.reference.kind, dims=part_of(key))
    if base.reference.item is not None:
        whole = isinstance(index, Compound) and index.kind == "Slice"
        found = found.referring(item=base.reference.item) if whole else each(base, found.symbol)
    if multiples := cut(base, key, frame.variables):
        return found.sized(whole=multiples)
    if key.extent.uneven and not shared_evenly(base, key, frame.variables):
        return found.sized(uneven=key.extent.uneven)
    if is_uneven_share(base, key, frame.variables):
        return found.sized(uneven=shared(frame, frame.statement, key.uniformity.causes))
    own = base.origin.own or key.origin.own
    is_mask = isinstance(index, (Compare, Not, Logical)) or (isinstance(index, Call) and _is_mask(index))
    if (is_mask or (own is not None and key.written.positive.kind == "compare")) and not base.origin.shared:
        # How many elements a mask selects is a matter of this rank's data.
        return found.sized(uneven=(frame.cause("data" if own is None else "own data", frame.statement),))
    position = key.constant
    if isinstance(position, int) and -len(base.reference.parts) <= position < len(base.reference.parts):
        return base.reference.parts[position]
    return found


def _is_difference(value: Value) -> bool:
    """Whether it is a plain difference of two values, not the result of a function on them.

    A function's findings about received data, such as a position in them, are its own.
    """
    symbol = value.written
    if symbol.kind != "compound" or symbol.head != ("Sub",):
        return False
    return all(part.kind != "call" or part.args[0].kind == "attribute" for part in symbol.args)


def _is_mask(call: Call) -> bool:
    return isinstance(call.function, Attribute) and call.function.name == "bool"


def _comprehension(frame: Frame, expr: Comprehension) -> Value:
    sources: list[Value] = []
    tests: list[Value] = []
    filters: list[Guard] = []
    with Arm(frame) as arm:
        for target, iterable in zip(expr.targets, expr.iterables, strict=True):
            source = evaluate(frame, iterable)
            iterated(frame, iterable, source, expr.span)
            sources.append(source)
            bind(frame, target, each(source, operation("each", (source.symbol,))))
        with frame.collecting() as tested:
            for test, span in zip(expr.filters, expr.filter_spans, strict=True):
                value, guard = condition(frame, test, span)
                tests.append(value)
                filters.append(guard)
        with frame.collecting() as items, Asked(frame, both("and", [test.symbol for test in tests])):
            element = evaluate(frame, expr.element)
    body: Term = tuple(items)
    for guard, value in zip(reversed(filters), reversed(tests), strict=True):
        if body:
            body = (Choice(guard, (), body) if value.symbol.is_negation else Choice(guard, body, ()),)
    body = (*tested, *body)
    frame.extend(arm.items)
    # As many as there are elsewhere, whatever is made of each.
    is_even = not any(value.uniformity.varies or value.extent.uneven for value in (*sources, *tests))
    symbol = make(
        "comprehension",
        (is_even, bool(tests) or len(sources) > 1),
        (element.symbol, *(source.symbol for source in sources)),
    )
    if body:
        frame.emit(Repeat(symbol, body))
    found = flow(symbol, (*sources, *tests, element))
    uneven = next((value.extent.uneven for value in sources if value.extent.uneven), ())
    if not uneven and not (len(tests) == 1 and dealt_evenly(sources[0], tests[0], frame.variables)):
        uneven = next((shared(frame, expr.span, it.uniformity.causes) for it in tests if it.uniformity.varies), ())
    if not uneven and any(is_held(test, value) for test, value in zip(expr.filters, tests, strict=True)):
        uneven = (frame.cause("own data", expr.span),)
    unordered = next((value.extent.unordered for value in sources if value.extent.unordered), None)
    size_of = sources[0].extent.size_of if len(sources) == 1 and not tests else None
    if isinstance(expr.element, Compound) and expr.element.kind == "item":
        # `{key: value for ...}`
        element = element.reference.parts[-1]
    item, sharded = (element if is_known(element) else None), element.origin.sharded
    whole = sources[0].extent.whole if len(sources) == 1 and not tests else frozenset()
    found = found.sized(uneven=uneven, unordered=unordered, size_of=size_of, whole=whole)
    return found.referring(item=item).sourced(sharded=sharded)
