"""`try`: failures of a single rank, and the effects of handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ...catalog.model import BACKWARD
from ...ir.names import plain
from ...ir.nodes import (
    Attribute,
    Block,
    Call,
    Compare,
    Compound,
    Constant,
    Evaluate,
    Exit,
    Expr,
    Loop,
    Name,
    Span,
    Try,
    blocks,
    expressions,
)
from ..domain.symbol import WORLD, make
from ..domain.value import Value
from ..effects import FORWARD, Choice, Event, Fails, Leave, Term, events, fold, walk, with_parts
from .broad_handlers import goes_on_alone
from .conditions import joined
from .expressions import evaluate
from .guards import guard_of
from .own_data import exhausted, restarts
from .raised import caught_by, handled
from .scopes import Arm, Catching, Under

if TYPE_CHECKING:
    from ..domain.causes import Cause
    from ..effects import Guard, Item
    from .raised import Handler
    from .state import Frame, Run


def attempt(frame: Frame, statement: Try, run: Run, word: str = "try") -> None:
    """Interpret a `try` that begins with `word`: a handler runs where the body fails, possibly on a single rank."""
    entering = dict(frame.variables)
    names = [_failures(frame, kind, block) for kind, _, block in statement.handlers]
    swallows = any(
        name != "ours" and not (always_leaves(block) and not _returns(block))
        for name, (_, _, block) in zip(names, statement.handlers, strict=True)
    )
    with frame.collecting() as items, Catching(frame, swallows=swallows):
        run(frame, statement.body)
    body, after = tuple(items), frame.variables
    with frame.collecting() as behind:
        run(frame, statement.orelse)
    otherwise = tuple(behind)
    arms: list[tuple[dict[str, Value], Term]] = [(frame.variables, (*body, *otherwise))]
    failing = _first_failure(body)
    before = fold(body, _before_failure, _until_failure)[0] if failing is not None else ()
    guard_value: Value | None = None
    #: Of each handler: what decides about it, what runs before it where the body fails by itself, and what it does.
    taken: list[tuple[Guard, Term, Term]] = []
    catching: list[Handler] = []
    for number, (kind, name, block) in enumerate(statement.handlers):
        cause = failing if names[number] == "any" else None
        if names[number] == "local" and (failing is not None or not _is_for_imports(frame, kind)):
            cause = frame.cause("exception", statement.span)
        begun = before
        if names[number] == "ours" and not always_leaves(block) and _is_of_program(frame, kind):
            # What a model of the program raises about its batch, it raises on the ranks that have such a batch.
            passed = _up_to_pass(body)
            if passed is not None:
                cause, begun = frame.cause("exception", statement.span), passed
        plain_value = value = Value(make("caught", (number, names[number] != "ours", *frame.position(statement.span))))
        is_open = cause is None and names[number] == "any" and goes_on_alone(frame, statement, number, body)
        if is_open:
            cause, begun = frame.cause("any exception", block[0].span if block else statement.span), ()
        if (
            names[number] == "ours"
            and kind is not None
            and block
            and isinstance(block[-1], Exit)
            and not restarts(block)
        ):
            value = exhausted(frame, kind, statement.body, value)
        if cause is not None:
            value = value.varying(
                varies=frozenset({WORLD}), causes=(cause.of("any exception" if is_open else "exception"),)
            )
        guard = guard_of(frame, value, head(statement.span, word))
        if not guard.varies:
            guard = guard.but(own=False)
        with Arm(frame, entering) as arm, Under(frame, guard, value):
            if name is not None:
                frame.variables[name] = Value(frame.fresh(name, statement.span))
            run(frame, block)
            if not (arm.items and isinstance(arm.items[-1], Leave)) and _is_final(frame, block):
                frame.emit(Leave("raise"))
        if is_open and next(events(tuple(arm.items)), None) is not None:
            # It makes up for what the body has not done.
            value, begun = plain_value, before
            guard = guard_of(frame, value, head(statement.span, word)).but(own=False)
        guard_value = value if value.uniformity.varies and cause is not None else guard_value
        catching.append((caught_by(frame, kind), tuple(arm.items)))
        arms.append((arm.variables, (*begun, *arm.items)))
        taken.append((guard, begun, tuple(arm.items)))
    whole = handled(body, catching, after=otherwise)
    nothing: list[Handler] = [(classes, ()) for classes, _ in catching]
    for guard, begun, done in taken:
        if done or guard.varies:
            whole = (Choice(guard, (*handled(begun, nothing), *done), whole),)
    frame.extend(whole)
    frame.variables = joined(frame, after, arms, guard_value, statement.span)
    run(frame, statement.final)


def _is_of_program(frame: Frame, kind: Expr | None) -> bool:
    """Whether a handler catches an exception that the program defines."""
    parts = kind.parts if isinstance(kind, Compound) else () if kind is None else (kind,)
    targets = [evaluate(frame, part).reference.target for part in parts]
    return any(target is not None and target.kind == "class" for target in targets)


def _up_to_pass(term: Term) -> Term | None:
    """The term up to the first forward pass of a wrapped model, included; None if it has no pass.

    If a backward pass comes first, the term ends before it: the loss fails before the backward pass.
    """
    for index, item in enumerate(term):
        if isinstance(item, Event) and item.kind == "implicit" and item.op in (FORWARD, BACKWARD):
            return term[: index + 1] if item.op == FORWARD else term[:index]
    return None


def head(span: Span, word: str) -> Span:
    """The keyword that a statement begins with."""
    return Span(span.line, span.column, span.line, span.column + len(word))


def _failures(frame: Frame, kind: Expr | None, block: Block) -> Literal["local", "any", "ours"]:
    """The kind of failures that a handler catches: those local to a rank, any exception, or those all ranks share."""
    if any(_names_failure(expr) for expr in expressions(block)):
        return "local"
    if kind is None:
        return "any"
    parts = kind.parts if isinstance(kind, Compound) else (kind,)
    values = [evaluate(frame, part) for part in parts]
    names = [value.reference.target.name for value in values if value.reference.target is not None]
    if any(name in frame.context.catalog.failures for name in names):
        return "local"
    return "any" if any(name.rpartition(".")[2] in _BROAD for name in names) else "ours"


def _is_for_imports(frame: Frame, kind: Expr | None) -> bool:
    """`except (ImportError, OSError)`: a failed import, which fails on all ranks alike."""
    parts = kind.parts if isinstance(kind, Compound) else (kind,)
    found = (evaluate(frame, part).reference.target for part in parts if part is not None)
    return any(target is not None and target.name in _OF_IMPORTS for target in found)


def _names_failure(expr: Expr) -> bool:
    """`"out of memory" in str(error)`: the failure has no exception class of its own."""
    match expr:
        case Compare(op=("in" | "not in"), left=Constant(value=str(text))):
            return _OUT_OF_MEMORY in text.lower()
        case _:
            return False


_OF_IMPORTS: Final = ("builtins.ImportError", "builtins.ModuleNotFoundError")
_OUT_OF_MEMORY: Final = "out of memory"
_BROAD: Final = ("Exception", "BaseException", "RuntimeError")


def always_leaves(block: Block) -> bool:
    """Whether a handler passes the exception on, or ends the process."""
    match block[-1] if block else None:
        case Exit(kind="raise"):
            return True
        case Evaluate(value=Call(function=function)):
            return (plain(function) or "") in ("sys.exit", "os._exit", "exit", "quit", "os.abort")
        case _:
            return False


def _is_final(frame: Frame, block: Block) -> bool:
    """Whether a handler passes the exception on, ends the process, or calls a function that always raises one."""
    if always_leaves(block):
        return True
    match block[-1] if block else None:
        case Evaluate(value=Call(function=Name() | Attribute() as function)):
            target = evaluate(frame, function).reference.target
            if target is None or target.kind != "function":
                return False
            called = frame.context.program.functions(target.path).get(target.name)
            return called is not None and always_leaves(called.body) and not _returns(called.body)
        case _:
            return False


def _returns(block: Block) -> bool:
    """Whether a `return`, or an exit of the current loop iteration, may end the block early without an exception."""
    pending = [(statement, False) for statement in block]
    while pending:
        statement, in_loop = pending.pop()
        if isinstance(statement, Exit) and (statement.kind == "return" or (statement.kind != "raise" and not in_loop)):
            return True
        inner = in_loop or isinstance(statement, Loop)
        pending += [(one, inner) for part in blocks(statement) for one in part]
    return False


def _first_failure(term: Term) -> Cause | None:
    """The cause of the first possible failure in a term."""
    return next((item.cause for item in walk(term) if isinstance(item, Fails)), None)


#: A term up to where it may fail on one rank, and whether it does.
_Failing: TypeAlias = "tuple[Term, bool]"


def _before_failure(item: Item, inner: tuple[_Failing, ...]) -> _Failing:
    fails = any(failed for _, failed in inner)
    match item:
        case Fails():
            return (), True
        case Choice() if fails:
            return (with_parts(item, [term for term, _ in inner]),), True
        case _:
            # In which turn of a loop it fails is not known.
            return (() if fails else (item,)), fails


def _until_failure(results: list[_Failing]) -> _Failing:
    found: list[Item] = []
    for term, fails in results:
        found += term
        if fails:
            return tuple(found), True
    return tuple(found), False
