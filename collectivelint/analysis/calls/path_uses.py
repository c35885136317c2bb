"""What calls do to paths, in order with the collectives: the function's own calls and those of its callees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..domain.paths import parts
from ..domain.value import UNKNOWN
from ..effects import Deferred, Event, deferred, walk
from ..summary.file_use import is_own
from ..summary.observed import PathUse, Stamped, first_uses
from .meetings import doubts, meet_in_call

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ...ir.nodes import Call
    from ..domain.symbol import Symbol
    from ..domain.value import Value
    from ..summary.facts import FunctionFacts
    from ..transfer.state import Frame

#: What asks for the state of a path.
LOOKS: Final = frozenset({"look", "list"})
#: So many branches may have chosen a path.
_MOST_WAYS: Final = 8
#: A function keeps so many uses of paths at most, and so many that create or remove something.
_MOST: Final = 70
_MOST_CHANGES: Final = 100
_SEEN: Final = LOOKS | {"read", "given"}


def note_path(frame: Frame, expr: Call, use: str, path: Value) -> None:
    """Record a call that uses a path, by the path's symbol and by the expression it was assigned from."""
    _stamp(frame, expr, use, path, alone=frame.alone_here)
    for symbol in dict.fromkeys((path.symbol, path.written, *ways(frame.either, path.symbol))):
        _keep(frame, expr, use, symbol, own=is_own(path))
        root = _root(symbol) if use in LOOKS else None
        if root is not None and root.kind != "constant":
            frame.looked[symbol] = root


def ways(either: Mapping[Symbol, tuple[Symbol, Symbol]], path: Symbol) -> Iterable[Symbol]:
    """The paths that a path may be, where branches chose between them."""
    first = parts(path, {})
    found: dict[Symbol, None] = {}
    pending = [*first] if len(first) == 1 else []
    while pending and len(found) <= _MOST_WAYS:
        # In a loop a path may be chosen between what it was and another one.
        new = [way for way in either.get(pending.pop(), ()) if way not in found]
        found |= dict.fromkeys(new)
        pending += new
    return found


def note_given(frame: Frame, expr: Call, name: str, values: Iterable[Value]) -> None:
    """Record an unmodelled call that is passed a path which this function looks up, or its folder."""
    catalog = frame.context.catalog
    # The loggers of other libraries are called as any other.
    names = (name, f"methods.{name.rpartition('.')[2]}")
    if not frame.looked or name.startswith(tuple(catalog.path_readers)) or not catalog.reporting.isdisjoint(names):
        return
    given = {inner for value in values for inner in value.symbol.walk()}
    for path, root in frame.looked.items():
        if root in given:
            _keep(frame, expr, "given", path)


def _root(path: Symbol) -> Symbol:
    """The folder that a path begins with; `folder + "_processed"` is its own root, since it is not inside `folder`."""
    found = parts(path, {})
    beside = path.kind == "compound" and path.head[0] == "Add" and len(found) > 1 and found[1].kind == "constant"
    return path if beside and not str(found[1].head[1]).startswith("/") else found[0]


def note_paths(
    frame: Frame, expr: Call, callee: FunctionFacts, arguments: Mapping[str, Symbol], values: Mapping[str, Value]
) -> None:
    """Record what a callee does to paths; after a look-up, also what functions passed to it do."""
    counts = [len(frame.facts.meetings)]
    for parameter, value in values.items() if frame.looked else ():
        passed = _passed(frame, value)
        if _is_unknown(value, called=parameter in deferred(callee.term)):
            note_given(frame, expr, "", (other for other in values.values() if other is not value))
        if passed is not None and passed.paths:
            known = _arguments(value, values, passed)
            before = slice(len(counts) - 1, max(len(counts) - 1, _met_before(callee, parameter)))
            counts += meet_in_call(frame, callee, arguments, values, before)[1:]
            _inherit(frame, expr, passed, known, meet_in_call(frame, passed, known, {}), {})
    counts += meet_in_call(frame, callee, arguments, values, slice(len(counts) - 1, None))[1:]
    if callee.paths:
        _inherit(frame, expr, callee, arguments, counts, values)


def _is_unknown(value: Value, *, called: bool) -> bool:
    """Whether an argument is a function outside the program; `called`: it is known to be called."""
    if value.reference.target is not None:
        name = value.reference.target.name
        return (
            value.reference.target.kind == "external"
            and name.rpartition(".")[2][:1].islower()
            and not name.startswith(_DATA)
        )
    return called and value.constant is UNKNOWN and not value.reference.runs


#: Modules whose names are passed as dtypes and devices.
_DATA: Final = ("torch.", "numpy.", "builtins.")


def _passed(frame: Frame, value: Value) -> FunctionFacts | None:
    """The facts of a function of the program that is passed as an argument."""
    if value.reference.target is None or value.reference.target.kind != "function":
        return None
    return frame.context.facts(value.reference.target)


def _arguments(function: Value, values: Mapping[str, Value], passed: FunctionFacts) -> dict[str, Symbol]:
    """The arguments of a function that is itself an argument: `run(f, kwargs={"path": p})`, `run(f, args=(p,))`."""
    names = [parameter.name for parameter in passed.function.params]
    found: dict[str, Symbol] = {}
    if function.reference.receiver is not None and names:
        found[names.pop(0)] = function.reference.receiver.symbol
    for value in values.values():
        symbol = value.written
        if symbol.kind != "compound":
            continue
        if symbol.head[0] == "Dict" and len(symbol.args) % 2 == 0:
            half = len(symbol.args) // 2
            for key, item in zip(symbol.args[:half], symbol.args[half:], strict=True):
                if key.kind == "constant":
                    found.setdefault(str(key.head[1]), item)
        elif symbol.head[0] in ("Tuple", "List"):
            for name, item in zip(names, symbol.args, strict=False):
                found.setdefault(name, item)
    return found


def _met_before(callee: FunctionFacts, parameter: str) -> int:
    """The number of collectives that a function runs before it calls its function argument `parameter`."""
    count = 0
    for item in walk(callee.summary):
        if isinstance(item, Deferred) and item.parameter == parameter and not item.method:
            return count
        count += isinstance(item, Event)
    return 0


def _inherit(
    frame: Frame,
    expr: Call,
    callee: FunctionFacts,
    arguments: Mapping[str, Symbol],
    counts: Sequence[int],
    values: Mapping[str, Value],
) -> None:
    """Record the callee's uses of paths; `counts[i]` is the number of meetings here after i of the callee's."""
    memo: dict[Symbol, Symbol] = {}
    own = {name for name, value in values.items() if is_own(value)}
    stamped = {name for name, value in values.items() if value.origin.stamps}
    chosen = {
        name: found for name, symbol in arguments.items() if frame.either and (found := ways(frame.either, symbol))
    }
    for use in first_uses(callee.paths):
        path = use.path.substitute(arguments, memo)
        when = doubts(frame, (*frame.conditions, *(condition.substitute(arguments, memo) for condition in use.when)))
        met = counts[min(use.met, len(counts) - 1)]
        for name in use.path.parameters if stamped else ():
            if name in stamped:
                _stamp(frame, expr, use.use, values[name], alone=use.alone or frame.alone_here)
        is_ranked = use.own or (bool(own) and not own.isdisjoint(use.path.parameters))
        alone = use.alone or frame.alone_here
        # What one of several branches has chosen may be any of that.
        other = [
            use.path.substitute({**arguments, name: way})
            for name, found in chosen.items()
            if name in use.path.parameters
            for way in found
        ]
        for symbol in (path, *other):
            _add(frame, expr, PathUse(use.use, symbol, use.cause, alone, met, when, is_ranked))


def _stamp(frame: Frame, expr: Call, use: str, path: Value, *, alone: bool) -> None:
    """Record a use of a path that has this rank's clock reading or random number in its name."""
    for cause in path.origin.stamps:
        frame.facts.stamped.setdefault(Stamped(use, cause, expr.span, alone))


def _keep(frame: Frame, expr: Call, use: str, path: Symbol, *, own: bool = False) -> None:
    frame.last_use = len(frame.facts.meetings)
    cause = frame.cause("file system", expr.span)
    when = doubts(frame, frame.conditions)
    _add(frame, expr, PathUse(use, path, cause, frame.alone_here, frame.last_use, when, own))


def _add(frame: Frame, expr: Call, use: PathUse) -> None:
    """Record a use of a path once (loop bodies are interpreted twice), unless this is code for a single rank."""
    if len(frame.facts.paths) < (_MOST if use.use in _SEEN else _MOST_CHANGES) and not frame.single_rank:
        frame.facts.paths.setdefault(use.key, (expr.span, use))
        if frame.alone_here:
            guards = [guard for guard, _ in frame.guards if any(cause.kind == "rank" for cause in guard.causes)]
            frame.facts.turns.setdefault(expr.span, tuple(guards))
            frame.facts.arms.setdefault(expr.span, tuple(frame.conditions))
