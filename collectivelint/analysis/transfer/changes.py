"""State that changes on some ranks only: attributes, entries and elements, set under a condition or after others have left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.names import plain
from ...ir.nodes import Attribute, Constant, Name, Subscript
from ...program.target import Target
from ..domain.causes import merged
from ..domain.joining import join
from ..domain.symbol import attribute, operation, parameter
from ..domain.uniformity import Uniformity
from ..domain.value import UNKNOWN, Value
from .containers import comes_across
from .last_writes import alike_in_both_arms, key_of, outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...ir.nodes import Call, Expr, Span
    from ..domain.causes import Cause
    from ..effects import Guard
    from ..summary.facts import FunctionFacts
    from .state import Frame

#: What forms of attributes call the object they belong to, however a method names its first parameter.
SELF: Final = "self"


def deciding(frame: Frame, *, certain: bool = False) -> tuple[Guard, Value] | None:
    """The condition that lets only some ranks get here: the innermost one around, or that of an earlier exit.

    `certain`: skip conditions that differ only under some configurations, except those on own data.
    """
    for some in (*reversed(frame.guards), *reversed(frame.left)):
        uniformity = some[1].uniformity
        if uniformity.causes and all(cause.kind == "any exception" for cause in uniformity.causes):
            continue
        if not certain or not uniformity.maybe or all(cause.kind == "own data" for cause in uniformity.causes):
            return some
    return None


#: Causes of what happens once, mostly at start.
_PASSING: Final = frozenset({"file system", "exception", "any exception", "branch"})


def lasts(condition: Value) -> bool:
    """Whether a rank difference persists: not if its only cause is the disk or a failure, settled at the start."""
    return any(cause.kind not in _PASSING for cause in condition.uniformity.causes)


def set_attribute(frame: Frame, name: str, value: Value) -> None:
    """`self.name = value`."""
    known = frame.facts.attributes.get(name)
    symbol = attribute(parameter(SELF), name)
    some = deciding(frame)
    left = _left_by_all(frame, name) if some is not None or value.uniformity.varies else None
    if left is not None:
        # In the end it is the same on all ranks, whichever way each of them has taken.
        base, more = left
        if isinstance(base, Constant) and (more or base.value != value.constant):
            return
        some = None
    if some is not None and (known is not None or _is_number(value, lasting=lasts(some[1]))):
        # Set on some ranks only, or differently there.
        guard, condition = some
        before = known if known is not None else Value(operation("before", (symbol,)))
        merged_ = join(before, value, symbol, condition, frame.cause("branch", guard.span))
    elif known is None or (some is None and _is_shared(value)):
        # Once the ranks have shared it, it no longer matters how it differed before.
        merged_ = value
    else:
        merged_ = join(known, value, symbol)
    frame.facts.attributes[name] = merged_


def _left_by_all(frame: Frame, name: str) -> tuple[Expr | None, int] | None:
    """The constant that all paths through the current method leave in an attribute of `self`: see `outcome`."""
    function, own = frame.function, self_name(frame)
    return None if own is None else outcome(function.body, f"{own}.{name}", _before(frame, name))


def _before(frame: Frame, name: str) -> Constant | None:
    """The constant that all other methods of a class leave in an attribute of its object, if it is one and the same."""
    function = frame.function
    if function.owner is None:
        return None
    found: list[Expr] = []
    for qualname in frame.context.setters(Target("class", frame.path, function.owner), name):
        other = frame.context.program.functions(frame.path).get(qualname)
        if other is None or other is function or not other.params:
            continue
        left = outcome(other.body, f"{other.params[0].name}.{name}")
        if left is None or not isinstance(left[0], Constant) or left[1]:
            return None
        found.append(left[0])
    first = found[0] if found and all(one == found[0] for one in found) else None
    return first if isinstance(first, Constant) else None


def set_on(frame: Frame, owner: str, name: str) -> None:
    """`owner.name = ...`: if `owner` is a parameter, record the change for the caller."""
    known = frame.variables.get(owner)
    given = known.given_as if known is not None else None
    if given is None:
        return
    some = deciding(frame)
    if some is None:
        frame.facts.sets.pop((given, name), None)
        return
    guard, condition = some
    if not lasts(condition) or outcome(frame.function.body, f"{owner}.{name}") is not None:
        return
    frame.facts.sets[given, name] = Uniformity(condition.uniformity.varies, _causes(frame, guard, condition))


def changed_by_call(frame: Frame, expr: Call, facts: FunctionFacts, arguments: Mapping[str, Value]) -> None:
    """Apply the attribute changes on some ranks that a called function makes to its object and its arguments."""
    for (parameter_name, name), found in facts.sets.items():
        value = arguments.get(parameter_name)
        for arg in () if value is None else (*expr.args, *(word for _, word in expr.keywords)):
            path = plain(arg) if isinstance(arg, (Name, Attribute)) else None
            if path is not None and frame.variables.get(path) is value:
                _differs(frame, f"{path}.{name}", found)
                if value is not None and value.given_as is not None:
                    frame.facts.sets[value.given_as, name] = found
    owner = plain(expr.function.value) if isinstance(expr.function, Attribute) else None
    for name, changed in facts.attributes.items() if owner is not None else ():
        path = f"{owner}.{name}"
        if path in frame.variables and any(cause.kind == "branch" for cause in changed.uniformity.causes):
            _differs(frame, path, changed.uniformity)


def _differs(frame: Frame, path: str, found: Uniformity) -> None:
    """Mark an attribute as different between ranks from now on."""
    symbol = frame.fresh(path, frame.statement)
    known = frame.variables.get(path, Value(symbol))
    frame.variables[path] = known.but(symbol=symbol, constant=UNKNOWN, was=None).varying(
        varies=known.uniformity.varies | found.varies, causes=merged(found.causes, known.uniformity.causes)
    )


def counted_on(frame: Frame, value: Value) -> Value:
    """The new value of a variable; a count that goes on after an exit of some ranks is lower on these."""
    if not frame.left or value.uniformity.varies or not _counts_on(value) or not lasts(frame.left[-1][1]):
        return value
    guard, condition = frame.left[-1]
    return value.varying(varies=condition.uniformity.varies, causes=_causes(frame, guard, condition))


def _is_shared(value: Value) -> bool:
    """Whether it comes from other ranks, and is the same on all."""
    return not value.uniformity.varies and any(cause.kind == "received" for cause in value.origin.origins)


def _is_number(value: Value, *, lasting: bool) -> bool:
    """Whether it is a constant that may be kept as state, or a count that starts from one."""
    if value.constant is not UNKNOWN:
        return isinstance(value.constant, bool) or (lasting and isinstance(value.constant, (int, float)))
    return lasting and _counts_on(value)


def _counts_on(value: Value) -> bool:
    """Whether it is an augmented assignment with a constant, such as `n += 1`."""
    symbol = value.written
    return symbol.kind == "compound" and symbol.head == ("augmented",) and symbol.args[-1].kind == "constant"


def filled(frame: Frame, container: Expr, value: Value) -> None:
    """Record that an element is added to a container: if on some ranks only, it is longer there."""
    some = deciding(frame, certain=True)
    if some is None:
        return
    guard, condition = some
    if alike_in_both_arms(frame.function.body, guard.span, key_of(container) or ""):
        return
    match container:
        case Name(id=name):
            if name in frame.variables and value.symbol.root is None:
                frame.variables[name] = value.sized(uneven=condition.uniformity.causes)
        case Attribute(value=Name(id=owner), name=name) if owner == self_name(frame) and lasts(condition):
            longer = value.sized(uneven=_causes(frame, guard, condition))
            frame.variables[f"{owner}.{name}"] = longer
            symbol = attribute(parameter(SELF), name)
            known = frame.facts.attributes.get(name) or Value(symbol)
            frame.facts.attributes[name] = known.sized(uneven=longer.extent.uneven)
        case _:
            pass


def set_entry(frame: Frame, target: Subscript, value: Value) -> None:
    """`container[index] = value`: the entry differs between ranks, or exists on some ranks only."""
    some = deciding(frame)
    path = entry(target)
    if some is not None and path is not None and alike_in_both_arms(frame.function.body, some[0].span, path):
        some = None
    if some is None:
        if path is not None and path in frame.variables:
            frame.variables[path] = value
        elif path is None:
            comes_across(frame, target.value, target.index, self_name(frame) or "")
        return
    guard, condition = some
    if not lasts(condition):
        return
    if path is None:
        name = plain(target.value)
        known = frame.variables.get(name or "")
        filled(frame, target.value, Value(frame.fresh("filled", frame.statement)) if known is None else known)
        return
    found = frame.fresh("entry", frame.statement)
    before = frame.variables.get(path, Value(operation("before", (found,))))
    frame.variables[path] = changed = join(before, value, found, condition, frame.cause("branch", guard.span))
    owner, _, name = path.partition(".")
    if owner == self_name(frame) and name:
        frame.facts.attributes[name] = changed.but(symbol=attribute(parameter(SELF), name))


def entry(target: Expr) -> str | None:
    """The name of an entry with a constant key in the frame's variables: `state["stop"]`."""
    return key_of(target) if isinstance(target, Subscript) else None


def _causes(frame: Frame, guard: Guard, condition: Value) -> tuple[Cause, ...]:
    return merged(condition.uniformity.causes, (frame.cause("branch", guard.span),))


def self_name(frame: Frame) -> str | None:
    """The name of the first parameter of a method, normally `self`."""
    function = frame.function
    return function.params[0].name if function.owner is not None and function.params else None


def missing_before(name: str, frame: Frame, span: Span) -> Value | None:
    """The unknown value of an attribute before one arm of a branch set it; None for a variable, always set before."""
    return Value(frame.fresh(f"before {name}", span)) if "." in name else None
