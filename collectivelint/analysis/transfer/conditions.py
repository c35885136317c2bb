"""Branching: conditions split into atoms, and variables joined after the arms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from ...ir.nodes import Attribute, Expr, Logical, Name, Not, Span
from ...record import Record
from ..domain.ends import combined, has_others, of_both_ends
from ..domain.joining import join
from ..domain.paths import is_joined
from ..domain.recognise import is_path
from ..domain.symbol import both, constant
from ..domain.value import UNKNOWN, Value
from ..effects import Choice, Guard, Leave, Term, size
from .agreements import agreed_in
from .changes import lasts, missing_before
from .expressions import condition
from .guards import guard_of, perhaps
from .scopes import Asked, Assuming

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...ir.nodes import Branch
    from ..domain.symbol import Symbol
    from .state import Frame


class Written(Record):
    """The source of a condition: its span, the subject of a `match`, and whether the text is the negation."""

    __slots__ = ("negated", "span", "subject")

    def __init__(self, span: Span, subject: Span | None = None, negated: bool = False) -> None:
        self.span: Final = span
        self.subject: Final = subject
        self.negated: Final = negated

    def _fields(self) -> tuple[object, ...]:
        return (self.span, self.subject, self.negated)


def atoms(test: Expr) -> Expr:
    """`not (a and b)` as `not a or not b`, so that every condition is judged on its own."""
    match test:
        case Not(value=Logical(op=op, values=values, spans=spans, negated=negated)):
            opposites = tuple(atoms(Not(value)) for value in values)
            return Logical("or" if op == "and" else "and", opposites, spans, negated=not negated)
        case Not(value=Not(value=inner)):
            return atoms(inner)
        case _:
            return test


#: Taking a condition apart repeats one of the arms for each operand; with a longer one it is taken as a whole.
_MOST_REPEATED: Final = 40
#: So is a condition of more operands: each of them is compared with what all others lead to.
_MOST_OPERANDS: Final = 40


class Decision:
    """A condition taken apart into atoms; `term` builds the nested choices over them."""

    def __init__(self, value: Value, build: Callable[[Term, Term, Written], Term], effects: Term = ()) -> None:
        """`value` is the whole condition, `effects` the term of its later operands, each under the ones before it.

        `build` makes the choice from the terms of both arms.
        """
        self.value, self._build, self.effects = value, build, effects

    def term(self, then: Term, orelse: Term, written: Written) -> Term:
        """The choice between two arms; reports show the condition as it is `written`."""
        return self._build(then, orelse, written)


def decide(frame: Frame, test: Expr, statement: Branch) -> Decision:
    """Evaluate the condition of a branch, atom by atom."""
    match test:
        case Logical(op=op, values=values, spans=spans, negated=negated) if _operands(test) <= _MOST_OPERANDS:
            first = decide(frame, atoms(values[0]), statement)
            remaining = values[1] if len(values) == 2 else Logical(op, values[1:], spans[1:], negated)
            operand = _operand(statement, spans, negated=negated)
            reached = first.value.symbol if op == "and" else first.value.symbol.negate()
            with frame.collecting() as items, Assuming(frame, reached), Asked(frame, reached):
                rest = decide(frame, atoms(remaining), statement)
            inner = (*items, *rest.effects)
            parts = (first.value, rest.value)
            value = perhaps(op, parts, combined(op, parts))
            # None of both ends says anything alone: `rank == 0 and rank == size - 1` asks for a group of one.
            is_one = bool(of_both_ends(op, [part.symbol for part in parts]))

            def build(then: Term, orelse: Term, written: Written) -> Term:
                if is_one or size(orelse if op == "and" else then) > _MOST_REPEATED:
                    return (Choice(_written(guard_of(frame, value, written.span), written), then, orelse),)
                later = rest.term(then, orelse, written)
                return first.term(later, orelse, written) if op == "and" else first.term(then, later, written)

            evaluated = first.term(inner, (), operand) if op == "and" else first.term((), inner, operand)
            return Decision(value, build, (*first.effects, *evaluated))
        case _:
            value, guard = condition(frame, _truthful(test), statement.test_span)
            positive = not value.symbol.is_negation

            def leaf(then: Term, orelse: Term, written: Written) -> Term:
                if not then and not orelse:
                    return ()
                if value.constant is not UNKNOWN:
                    return then if value.constant else orelse
                shown = _written(guard, written)
                return (Choice(shown, then, orelse) if positive else Choice(shown, orelse, then),)

            return Decision(value, leaf)


def _operands(test: Expr) -> int:
    """The number of conditions joined in a test."""
    match test:
        case Logical(values=values):
            return sum([_operands(value) for value in values])
        case Not(value=value):
            return _operands(value)
        case _:
            return 1


def _operand(statement: Branch, spans: tuple[Span, ...], *, negated: bool) -> Written:
    """The source of the first operand, or of the whole condition if operands have no spans."""
    if not spans:
        return Written(statement.test_span, statement.subject)
    whole, span = statement.test_span, spans[0]
    is_pattern = span.start == whole.start
    return Written(span, statement.subject if is_pattern else None, negated)


def _written(guard: Guard, written: Written) -> Guard:
    positive = guard.positive != written.negated
    return guard.but(span=written.span, positive=positive, subject=written.subject)


def _truthful(test: Expr) -> Expr:
    """A rank used as a condition by itself, as the comparison of it with 0."""
    return Not(Not(test)) if isinstance(test, (Name, Attribute)) else test


#: A flag that rests on deeper conditions is a value of its own.
_DEEPEST_FLAG: Final = 8


def _decided(guard: Value, then: Value, orelse: Value) -> Symbol | None:
    """The flag's condition after a branch that sets it: `if failed: ready = False` leaves `not failed and ready`."""
    if then.symbol.depth + orelse.symbol.depth + guard.symbol.depth > _DEEPEST_FLAG:
        return None
    condition = guard.symbol
    for arm, other, holds in ((then, orelse, condition), (orelse, then, condition.negate())):
        if arm.constant is True:
            return holds if other.constant is False else _flag("or", holds, other)
        if arm.constant is False:
            return holds.negate() if other.constant is True else _flag("and", holds.negate(), other)
    return None


def _flag(op: Literal["and", "or"], condition: Symbol, other: Value) -> Symbol | None:
    return both(op, (condition, other.symbol)) if other.constant is UNKNOWN else None


def joined(
    frame: Frame,
    before: dict[str, Value],
    arms: list[tuple[dict[str, Value], Term]],
    guard: Value | None,
    span: Span,
) -> dict[str, Value]:
    """The variables after a branch: the join over the arms that do not leave the block."""
    reaching = [variables for variables, term in arms if not (term and isinstance(term[-1], Leave))]
    distributed = _has_others(frame, guard.symbol) if guard is not None else None
    if distributed is not None and len(reaching) == len(arms) == 2:
        # What a job of one process does instead says nothing about a job of many; but it may be all there is.
        main, alone = reaching if distributed else reaching[::-1]
        return {**{name: value for name, value in alone.items() if name not in main}, **main}
    if not reaching:
        return before
    result = reaching[0]
    for other in reaching[1:]:
        names = dict.fromkeys((*result, *other))
        merged: dict[str, Value] = {}
        for name in names:
            one, two = result.get(name), other.get(name)
            if one is None or two is None:
                known = one or two
                unset = missing_before(name, frame, span) if guard is not None and lasts(guard) else None
                if known is not None:
                    merged[name] = (
                        known
                        if unset is None
                        else join(known, unset, frame.fresh(name, span), guard, frame.cause("branch", span))
                    )
            elif one is two:
                merged[name] = one
            elif (
                one.was is not None
                and one.was is two.was
                and before.get(name) is not one
                and before.get(name) is not two
            ):
                # Both arms assign the same expression.
                merged[name] = one.but(symbol=frame.fresh(name, span))
            else:
                decided = _decided(guard, one, two) if guard is not None and len(arms) == 2 else None
                known = join(one, two, decided or frame.fresh(name, span), guard, frame.cause("branch", span))
                merged[name] = known if guard is None else agreed_in(frame, guard, one, two, known)
                if guard is not None and any(_may_be_path(frame, way) for way in (one, two)):
                    ways = [way.written if is_joined(way.written) else way.symbol for way in (one, two)]
                    frame.either[known.symbol] = (ways[0], ways[1])
        result = merged
    return result


def _may_be_path(frame: Frame, value: Value) -> bool:
    """Whether it may be a path: a pathlib object, joined names, or one of several such."""
    return is_path(value) or is_joined(value.written) or value.symbol in frame.either


def _has_others(frame: Frame, condition: Symbol) -> bool | None:
    """Like `has_others`, also for variables named as a world size: `self.world_size > 1`, `num_processes == 1`."""
    found = has_others(condition)
    asked = condition.positive
    if found is not None or asked.kind != "compare" or len(asked.args) != 2 or asked.args[1] is not _ONE:
        return found
    number = asked.args[0]
    name = number.parameter or (str(number.head[0]) if number.kind in ("attribute", "name") else "")
    if name not in frame.context.catalog.world_names and name not in _NUMBERS:
        return None
    return {"==": condition.is_negation, ">": not condition.is_negation}.get(str(asked.head[0]))


_ONE: Final = constant(1)
#: Numbers of processes that are all of the job where they are compared with one.
_NUMBERS: Final = frozenset({"num_processes", "num_ranks", "nprocs"})
