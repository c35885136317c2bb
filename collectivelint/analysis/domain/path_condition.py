"""What is known to hold at a place: the outcomes of the conditions on the way to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .implication import implies, subject
from .symbol import compare

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .symbol import Symbol


class PathCondition:
    """A set of literals that hold; never changed, `given` makes a larger one."""

    __slots__ = ("_alternatives", "_holding", "_outcomes")

    def __init__(
        self,
        outcomes: Mapping[Symbol, bool],
        holding: Mapping[Symbol, tuple[Symbol, ...]],
        alternatives: tuple[Symbol, ...],
    ) -> None:
        """Use `ANYWHERE.given`.

        `outcomes`: of conditions without a negation; `holding`: literals by what they are about; `alternatives`: disjunctions
        that hold.
        """
        self._outcomes, self._holding, self._alternatives = outcomes, holding, alternatives

    def given(self, condition: Symbol, *, holds: bool) -> PathCondition:
        """What is known where this condition holds besides, or does not."""
        outcomes, holding, alternatives = dict(self._outcomes), dict(self._holding), self._alternatives
        for literal in _literals(condition, holds=holds):
            inner = literal.positive
            outcomes[inner] = inner is literal
            if inner.kind in ("and", "or"):
                alternatives = (*alternatives, literal)
            elif inner is literal or not _is_equality(inner):
                # What is not equal to one literal may still be anything else.
                about = subject(inner)
                holding[about] = (*holding.get(about, ()), literal)
        return PathCondition(outcomes, holding, alternatives)

    def outcome(self, condition: Symbol) -> bool | None:
        """Whether the condition holds here or does not; None where neither is known."""
        inner = condition.positive
        known = self._outcomes.get(inner)
        if known is None and self._outcomes:
            known = self._deduced(inner)
        return known if known is None or inner is condition else not known

    def _deduced(self, condition: Symbol) -> bool | None:
        if condition.kind in ("and", "or"):
            decisive = condition.kind == "or"
            outcomes = [self.outcome(operand) for operand in condition.args]
            if decisive in outcomes:
                return decisive
            if None not in outcomes:
                return not decisive
        for literal in self._holding.get(subject(condition), ()):
            if implies(literal, condition):
                return True
            if implies(literal, condition.negate()):
                return False
        if condition.kind == "compare" and condition.head[0] == "in" and condition.args[1].kind == "compound":
            equal = [compare("==", condition.args[0], item) for item in condition.args[1].args]
            if equal and all(self._outcomes.get(item) is False for item in equal):
                return False
        return self._of_alternatives(condition)

    def _of_alternatives(self, condition: Symbol) -> bool | None:
        """The outcome that follows from each of several literals, one of which holds, without those that do not."""
        for alternative in self._alternatives:
            inner = alternative.positive
            operands = inner.args if inner is alternative else [operand.negate() for operand in inner.args]
            left = [
                operand for operand in operands if self._outcomes.get(operand.positive) is not (operand.kind == "not")
            ]
            if left and all(implies(operand, condition) for operand in left):
                return True
            if left and all(implies(operand, condition.negate()) for operand in left):
                return False
        return None


ANYWHERE: Final = PathCondition({}, {}, ())


def _literals(condition: Symbol, *, holds: bool) -> Iterable[Symbol]:
    """The condition, or its negation, and all that it is a conjunction of."""
    pending = [condition if holds else condition.negate()]
    while pending:
        literal = pending.pop()
        inner = literal.positive
        yield literal
        if inner.kind == ("and" if inner is literal else "or"):
            pending += inner.args if inner is literal else [operand.negate() for operand in inner.args]


def _is_equality(symbol: Symbol) -> bool:
    return symbol.kind == "compare" and symbol.head[0] in ("==", "is")
