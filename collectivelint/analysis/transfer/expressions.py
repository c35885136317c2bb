"""Expressions: their abstract value, and the collectives that computing them runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

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
from ...program.target import Target
from ..calls.annotations import declared
from ..calls.catalog_calls import iterated
from ..calls.dispatch import SUPER, apply
from ..calls.library_calls import share_of
from ..calls.meshes import part_of
from ..calls.program_calls import invoke
from ..domain import symbol as symbols
from ..domain.recognise import is_list, launched
from ..domain.symbol import (
    LAUNCHED,
    WORLD,
    Symbol,
    attribute,
    both,
    call,
    compare,
    compound,
    conditional,
    make,
    operation,
    subscript,
)
from ..domain.value import NONE, PLACES, UNKNOWN, Length, Value, each, flow, holding, join, of_shape
from ..effects import Choice, Guard, Repeat, Yielded
from .binding import GUARD, SELF, bind, conventional, environment, guarding, plain
from .group_names import is_otherwise
from .scopes import Arm, Under

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...catalog.model import Api
    from ...ir.nodes import Span
    from ..effects import Term
    from .state import Frame

#: Operators whose condition is the opposite of another one's, so that both share one form.
_OPPOSITE: Final = {"!=": "==", "is not": "is", "not in": "in"}
#: What says the same with the sides exchanged.
_MIRRORED: Final = {
    **{op: op for op in ("==", "!=", "is", "is not")},
    "<": ">",
    ">": "<",
    "<=": ">=",
    ">=": "<=",
}
#: What says the same of an integer and the next one.
_NEXT: Final = {"<=": "<", ">": ">="}
#: For ranks, which are integers, these are opposites too.
_OPPOSITE_OF_INTEGERS: Final = {">=": "<", ">": "<="}
_ZERO: Final = symbols.constant(0)
_LEN: Final = symbols.name("len")
_TABLES: Final = frozenset({"Dict", "JoinedStr", "FormattedValue"})
#: `get_rank(group)` is -1 outside the group: these comparisons ask about nothing else.
_MEMBERSHIP: Final = {(">=", 0), ("!=", -1), ("==", -1)}


def evaluate(frame: Frame, expr: Expr) -> Value:
    """The value of `expr`; its collectives are appended to the frame's term in evaluation order."""
    match expr:
        case Name(id=name):
            return frame.look_up(name)
        case Constant(value=None):
            return NONE
        case Constant(value=value):
            return Value(symbols.constant(value), constant=value)
        case Attribute():
            return _attribute(frame, expr)
        case Call():
            callee = evaluate(frame, expr.function)
            args = [evaluate(frame, arg) for arg in expr.args]
            return apply(frame, expr, callee, args, {name: evaluate(frame, value) for name, value in expr.keywords})
        case Not(value=inner):
            value = evaluate(frame, inner)
            known = UNKNOWN if value.constant is UNKNOWN else not value.constant
            return _truth(value, negate=True).but(constant=known)
        case Compare():
            return _compare(frame, expr)
        case Logical():
            return _logical(frame, expr)
        case Conditional(test=test, then=then, orelse=orelse, span=span, test_span=test_span):
            guard_value, guard = condition(frame, test, test_span)
            values, arms = [], []
            for part in (then, orelse):
                with Arm(frame) as arm, Under(frame, guard, guard_value):
                    value = evaluate(frame, part)
                # `default if given is None else given` is never None.
                asked = isinstance(test, Compare) and test.right == Constant(None) and test.left == part
                values.append(value.but(optional=False, absent=frozenset()) if asked and value.optional else value)
                arms.append(tuple(arm.items))
            choose(frame, guard, arms[0], arms[1], positive=guard.positive)
            fresh = conditional(guard_value.symbol, values[0].symbol, values[1].symbol)
            return join(values[0], values[1], fresh, guard_value, frame.cause("branch", span))
        case Subscript(value=container, index=index):
            return _subscript(frame, container, index)
        case Comprehension():
            return _comprehension(frame, expr)
        case Bind(name=name, value=inner):
            frame.variables[name] = evaluate(frame, inner)
            return frame.variables[name]
        case Lambda(params=params, body=body):
            return Value(frame.fresh("lambda", frame.statement), runs=_later(frame, params, body))
        case Declared(value=inner, annotation=annotation, span=span):
            return declared(frame, evaluate(frame, inner), annotation, span)
        case Compound(parts=parts):
            return _compound(frame, expr, [evaluate(frame, part) for part in parts])


def _compound(frame: Frame, expr: Compound, values: list[Value]) -> Value:
    """What is computed from parts."""
    kind = expr.kind
    # Whether a text or a table is empty does not depend on the rank written into it.
    computed = flow(compound(kind, [value.symbol for value in values]), values, ranks=kind not in _TABLES)
    match kind:
        case "Tuple":
            # A result in several parts: each of them says where it comes from.
            return computed.but(parts=tuple(values), item=holding(values), origins=())
        case "List" | "item":
            return computed.but(parts=tuple(values), item=holding(values))
        case "Set" if not all(isinstance(value.constant, int) for value in values):
            return computed.but(unordered=frame.cause("data", frame.statement))
        case "Sub" | "BitAnd" | "BitOr" | "BitXor" if any(value.unordered for value in values):
            return computed.but(unordered=next(value.unordered for value in values if value.unordered))
        case "augmented" if is_list(values[0].was) or (
            values[0].length is not None and values[0].length.kind != "made"
        ):
            # `batch += [-1] * (size - len(batch))` makes it as long as everybody knows.
            padded = values[1].symbol.contains(call(_LEN, (values[0].symbol,)))
            return computed.but(length=None if padded else Length("grown", frame.cause("data", frame.statement)))
        case "Mult" if len(values) == 2:
            # `[None] * world_size`
            size_of = next((value.size_of for value in values if value.size_of), None)
            return computed.but(size_of=size_of, length=None if size_of else share_of(values))
        case "FloorDiv" | "Div" if values[1].size_of is not None and values[0].size_of is None:
            # `hidden_size // world_size`
            return computed.but(length=Length("share", frame.cause("data", frame.statement)))
        case "Add" if values[1].constant == 1 and values[0].length is not None and values[0].length.kind == "highest":
            frame.note("guess", frame.statement, (values[0].length.cause,), *expr.parts[:1])
            return computed
        case "Add" | "Sub" | "FloorDiv" if share_of(values) is not None:
            return computed.but(length=share_of(values))
        case "Slice" if len(values) == 3 and values[2].varies:
            # `items[rank::world_size]`: the shards of an odd number of items are not equally long.
            return computed.but(uneven=values[2].causes)
        case "Slice" if len(values) == 3 and values[0].varies and not values[1].varies:
            return computed.but(uneven=values[0].causes)
        case "yield":
            frame.emit(Yielded())
            return Value(frame.fresh("sent", frame.statement))
        case _:
            return computed


def _later(frame: Frame, params: Sequence[str], body: Expr) -> Term:
    """What code does that runs some other time: it has no effect here."""
    with Arm(frame) as arm:
        frame.variables = {**frame.variables} | {name: Value(frame.fresh(name, frame.statement)) for name in params}
        evaluate(frame, body)
    return tuple(arm.items)


def condition(frame: Frame, test: Expr, span: Span) -> tuple[Value, Guard]:
    """Evaluate a condition; the guard is what branches on it carry. Its symbol may be negated: see `choose`."""
    value = evaluate(frame, test)
    if value.uneven and not value.varies:
        value = _truth(value, negate=False)
    return value, guard_of(frame, value, span)


def guard_of(frame: Frame, value: Value, span: Span) -> Guard:
    """The guard of choices on a condition that has been evaluated to `value` and stands at `span`."""
    symbol, positive = value.symbol.positive, not value.symbol.is_negation
    return Guard(
        symbol=symbol,
        varies=value.varies,
        causes=value.causes,
        depends=value.depends,
        one=value.one if positive or value.one is None else not value.one,
        path=frame.path,
        span=span,
        statement=frame.statement,
        positive=positive,
        maybe=value.maybe,
        chosen=_chosen(symbol, value),
    )


def choose(frame: Frame, guard: Guard, then: Term, orelse: Term, *, positive: bool = True) -> None:
    """Append the choice between two terms, unless both are empty."""
    if then or orelse:
        frame.emit(Choice(guard, then, orelse) if positive else Choice(guard, orelse, then))


def _chosen(symbol: Symbol, value: Value) -> tuple[str, object] | None:
    """The parameter that alone decides the condition, and the value for which it holds."""
    if len(value.depends) != 1:
        return None
    (name,) = value.depends
    if symbol.parameter == name:
        return (name, UNKNOWN)
    if symbol is compare("is", symbols.parameter(name), NONE.symbol):
        return (name, None)
    return None


def _truth(value: Value, *, negate: bool) -> Value:
    """`bool(value)` or its opposite, in canonical symbol."""
    symbol, one = value.symbol, value.one
    if value.uneven and not value.varies:
        # A container is true unless it is empty.
        value = value.but(varies=frozenset({WORLD}), causes=value.uneven)
    if value.varies and value.one is None and value.type == "rank":
        # A rank is true unless it is 0.
        symbol, one = compare("==", symbol, _ZERO).negate(), False
    if negate:
        symbol = symbol.negate()
        one = None if one is None else not one
    return flow(symbol, (value,)).but(one=one, constant=UNKNOWN)


def _number(value: int) -> Value:
    return Value(symbols.constant(value), constant=value)


def _compare(frame: Frame, expr: Compare) -> Value:
    left, right = evaluate(frame, expr.left), evaluate(frame, expr.right)
    op = expr.op
    if left.constant is not UNKNOWN and right.constant is UNKNOWN and op in _MIRRORED:
        left, right, op = right, left, _MIRRORED[op]
    # The number that a constant rank has in a group is one as well, the same on every rank of it.
    ranked = left.type == "rank" and bool(left.varies)
    if ranked and op in _NEXT and isinstance(right.constant, int):
        # Between one rank and the next there is none: `rank <= 1` is `rank < 2`.
        op, right = _NEXT[op], _number(right.constant + 1)
    if ranked and right.constant == 1 and op == ">=":
        op, right = "!=", _number(0)
    if left.size_of == WORLD and right.constant == 1 and op in (">", "!=", "==", "<="):
        return Value(LAUNCHED if op in (">", "!=") else LAUNCHED.negate(), depends=left.depends)
    if ranked and right.constant == 1 and op == "<":
        op, right = "==", _number(0)
    if ranked and op in ("in", "not in") and right.parts:
        # In older launchers -1 stands for "not distributed": `local_rank in [-1, 0]` asks for rank 0.
        ranks = {part.constant for part in right.parts} - {-1}
        if ranks <= {0}:
            op, right = ("==" if op == "in" else "!="), _number(0 if ranks else -1)
    if ranked and (op, right.constant) in _MEMBERSHIP:
        inside = (op, right.constant) != ("==", -1)
        if left.varies <= {WORLD, *PLACES}:
            # No rank of the default group is -1: the job is distributed or it is not.
            return Value(LAUNCHED if inside else LAUNCHED.negate())
        # Every rank of the group answers the same, the ranks outside it the opposite: membership, not a rank.
        member = make("member", (), (left.symbol,))
        symbol = member if inside else member.negate()
        return left.but(type=None, one=None, varies=frozenset({WORLD}), symbol=symbol)
    if ranked and op in _OPPOSITE_OF_INTEGERS:
        op = _OPPOSITE_OF_INTEGERS[op]
        return flow(compare(op, left.symbol, right.symbol).negate(), (left, right))
    negated = op in _OPPOSITE
    op = _OPPOSITE.get(op, op)
    symbol = compare(op, left.symbol, right.symbol)
    parts: tuple[Value, ...] = (left, right)
    if op == "in" and not ranked:
        # Whether a table has an entry says little about who asks; which ranks a list holds is what a rank asks.
        parts = (right,)
    value = flow(symbol.negate() if negated else symbol, parts)
    if right.constant is None or (op == "is" and right.constant is not UNKNOWN):
        # Whether something was given at all is a matter of configuration, even where the thing itself varies.
        value = value.but(varies=left.absent, causes=left.causes if left.absent else (), origins=())
    constant: object = UNKNOWN
    if left.constant is not UNKNOWN and right.constant is not UNKNOWN and op in ("==", "is"):
        constant = (left.constant == right.constant) != negated
    one = None
    if op == "==" and ranked and not right.varies:
        one = not negated
    return value.but(one=one, constant=constant)


def _logical(frame: Frame, expr: Logical) -> Value:
    """`and` / `or`: later operands, and their collectives, are reached only where the earlier ones allow."""
    first = evaluate(frame, expr.values[0])
    values = [first]
    if len(expr.values) > 1:
        truth = first if first.one is not None else _truth(first, negate=False)
        symbol, positive = truth.symbol.positive, not truth.symbol.is_negation
        where = expr.spans[0] if expr.spans else frame.statement
        guard = Guard(
            symbol,
            truth.varies,
            truth.causes,
            truth.depends,
            truth.one,
            frame.path,
            where,
            frame.statement,
            positive != expr.negated,
        )
        rest = expr.values[1:]
        with frame.collecting() as items, Under(frame, guard, truth):
            values.append(evaluate(frame, rest[0] if len(rest) == 1 else Logical(expr.op, rest, expr.spans[1:])))
        choose(frame, guard, tuple(items), (), positive=positive == (expr.op == "and"))
    value = flow(both(expr.op, [part.symbol for part in values]), values)
    value = perhaps(expr.op, values, value)
    if expr.op == "or" and values[-1].meaning:
        value = value.but(meaning=values[-1].meaning, type=values[-1].type)
    return value


def perhaps(op: str, parts: Sequence[Value], value: Value) -> Value:
    """`elastic or rank == 0`: all ranks, or one, as the configuration says."""
    if op == "or" and value.varies and any(not part.varies and launched(part.symbol) is None for part in parts):
        return value.but(maybe=True)
    return value


def _attribute(frame: Frame, expr: Attribute) -> Value:
    path = plain(expr)
    if path is not None and path in frame.variables:
        return frame.variables[path]
    base = evaluate(frame, expr.value)
    context = frame.context
    symbol = attribute(base.symbol, expr.name)
    if base.target is not None and base.target.kind in ("module", "class", "external"):
        target = context.program.member(base.target, expr.name)
        if target is None:
            return Value(symbol)
        api = context.catalog.apis.get(target.name) if target.kind == "external" else None
        return frame.refer(target) if api is None or api.kind != "property" else property_of(frame, api, target, base)
    if base.instance is not None:
        method = context.program.method(base.instance, expr.name)
        if method is not None:
            bound = Value(symbol, target=method, receiver=base)
            function = context.signature(method)
            if function is not None and any(_is_property(item) for item in function.decorators):
                return invoke(frame, [method], bound, Call(expr, (), (), False, function.span), [], {})
            return bound
        known = context.attribute(base.instance, expr.name)
        if known is not None:
            # Another object's attribute keeps its own name: `self.manager.group`, `manager.group`.
            params = frame.function.params[:1] if frame.function.owner is not None else ()
            own = any(base.symbol.parameter == parameter.name for parameter in params)
            if known.symbol.root == SELF and known.symbol.parameter is None:
                known = known if own else known.but(symbol=known.symbol.substitute({SELF: base.symbol}))
            elif known.constant is UNKNOWN:
                known = known.but(symbol=known.symbol if known.varies or known.symbol is WORLD else symbol)
            return known.but(depends=frozenset())
        library = context.program.outside(base.instance)
        inherited = next((kind for name in library if (kind := context.catalog.class_of(name)) is not None), None)
        if inherited is not None and f"{inherited}.{expr.name}" in context.catalog.apis:
            return _of_type(frame, expr, base.but(type=inherited), symbol)
    if base.type is not None and base.type not in ("rank", GUARD, SUPER):
        return _of_type(frame, expr, base, symbol)
    for meaning in ("rank", "group", "guard", "object"):
        convention = context.catalog.convention(expr.name, meaning)
        if convention is not None and base.target is None:
            if meaning == "group" and path is not None and is_otherwise(frame, path):
                continue
            if meaning == "object":
                return Value(symbol, type=convention.type, receiver=base)
            return conventional(frame, convention.meaning, convention.axis, symbol, expr)
    if expr.name in context.catalog.metadata:
        base = of_shape(base)
    found = flow(symbol, (base,), ranks=expr.name not in context.catalog.kinds)
    if expr.name == "shape" and base.uneven:
        found = found.but(varies=found.varies | {WORLD}, causes=(*base.uneven, *found.causes)[:3])
    return found.but(receiver=base)


def _of_type(frame: Frame, expr: Attribute, base: Value, symbol: Symbol) -> Value:
    """An attribute of an object whose class the catalogue knows."""
    target = Target("external", "", f"{base.type}.{expr.name}")
    api = frame.context.catalog.apis.get(target.name)
    if api is None or api.params != ("self",):
        return Value(symbol, target=target, receiver=base)
    if api.kind != "property" and (
        api.category not in ("guard", "rank_source") or (api.category == "rank_source" and api.axis is None)
    ):
        return Value(symbol, target=target, receiver=base)
    return property_of(frame, api, target, base)


def property_of(frame: Frame, api: Api, target: Target, base: Value) -> Value:
    """What a property is; a rank or a guard may also be a method that will be called: the same either way."""
    span = frame.statement
    own = base.group_key if api.roles.get("group") == "self" else None
    axis = symbols.name(api.axis) if api.axis else own or WORLD
    match api.category:
        case "guard":
            return guarding(frame, axis, span, one=api.one, other=None if api.kind == "property" else api.kind)
        case "uniform_source":
            return Value(operation(api.op, (axis,)), size_of=axis)
        case "group_accessor":
            return base.but(type=api.returns, meaning=frame.context.catalog.classes.get(api.returns or ""))
    symbol = operation("get_rank" if axis is WORLD else api.op, (axis,))
    return Value(symbol, frozenset({axis}), (frame.cause("rank", span),), type="rank", target=target, receiver=base)


def _is_property(decorator: Expr) -> bool:
    match decorator:
        case Name(id="property"):
            return True
        case Attribute(name="cached_property") | Name(id="cached_property"):
            return True
        case _:
            return False


def _subscript(frame: Frame, container: Expr, index: Expr) -> Value:
    base, key = evaluate(frame, container), evaluate(frame, index)
    if base.target is not None and base.target.name in frame.context.catalog.readers:
        return environment(frame, key, subscript(base.symbol, key.symbol), frame.function.span)
    found = flow(subscript(base.symbol, key.symbol), (base, key))
    if any(cause.kind == "received" for cause in key.origins) and _is_difference(key):
        frame.note("index", frame.statement, key.origins, index)
    if base.meaning == "mesh":
        return found.but(meaning="mesh", type=base.type, dims=part_of(key))
    if base.item is not None:
        whole = isinstance(index, Compound) and index.kind == "Slice"
        found = found.but(item=base.item) if whole else each(base, found.symbol)
    if key.uneven:
        return found.but(uneven=key.uneven)
    is_mask = isinstance(index, (Compare, Not, Logical)) or (isinstance(index, Call) and _is_mask(index))
    if is_mask and not base.shared:
        # How many elements a mask selects is a matter of this rank's data.
        return found.but(uneven=(frame.cause("data", frame.statement),))
    position = key.constant
    if isinstance(position, int) and -len(base.parts) <= position < len(base.parts):
        return base.parts[position]
    return found


def _is_difference(value: Value) -> bool:
    """Is it one thing less another, and nothing computed from that?"""
    symbol = value.written
    return symbol.kind == "compound" and symbol.head == ("Sub",)


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
        with frame.collecting() as items:
            element = evaluate(frame, expr.element)
    body: Term = tuple(items)
    for guard, value in zip(reversed(filters), reversed(tests), strict=True):
        if body:
            body = (Choice(guard, (), body) if value.symbol.is_negation else Choice(guard, body, ()),)
    body = (*tested, *body)
    frame.extend(arm.items)
    # As many as there are elsewhere, whatever is made of each.
    is_even = not any(value.varies or value.uneven for value in (*sources, *tests))
    symbol = make("comprehension", (is_even,), (element.symbol, *(source.symbol for source in sources)))
    if body:
        frame.emit(Repeat(symbol, body))
    found = flow(symbol, (*sources, *tests, element))
    uneven = next((value.uneven for value in sources if value.uneven), ())
    if not uneven:
        uneven = next((value.causes for value in tests if value.varies), ())
    unordered = next((value.unordered for value in sources if value.unordered), None)
    size_of = sources[0].size_of if len(sources) == 1 and not tests else None
    item, sharded = (element if element.instance is not None else None), element.sharded
    if isinstance(expr.element, Compound) and expr.element.kind == "item":
        # `{key: value for ...}`
        value = element.parts[-1]
        item, sharded = (value if value.instance is not None else None), value.sharded
    return found.but(uneven=uneven, unordered=unordered, size_of=size_of, item=item, sharded=sharded)
