"""Path conditions: the outcomes of the conditions on the way to a place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .implication import implies, literal_of
from .symbol import compare

if TYPE_CHECKING:
    from .symbol import Symbol


class PathCondition:
    """An immutable set of literals that are true; `given` makes a larger one."""

    __slots__ = ("_alternatives", "_holding", "_outcomes")

    def __init__(
        self,
        outcomes: dict[Symbol, bool],
        holding: dict[Symbol, tuple[Symbol, ...]],
        alternatives: tuple[Symbol, ...],
    ) -> None:
        """Use `ANYWHERE.given`.

        `outcomes`: of conditions without a negation; `holding`: literals by what they are about; `alternatives`: disjunctions
        that hold.
        """
        self._outcomes, self._holding, self._alternatives = outcomes, holding, alternatives

    def given(self, condition: Symbol, *, holds: bool) -> PathCondition:
        """The path condition extended by this condition, true or (with `holds` False) false."""
        outcomes, holding, alternatives = dict(self._outcomes), self._holding, self._alternatives
        pending = [condition if holds else condition.negate()]
        while pending:
            literal = pending.pop()
            inner = literal.positive
            is_true = inner is literal
            outcomes[inner] = is_true
            if inner.kind == ("and" if is_true else "or"):
                pending += inner.args if is_true else [operand.negate() for operand in inner.args]
            elif inner.kind in ("and", "or"):
                alternatives = (*alternatives, literal)
            elif is_true or not _is_equality(inner):
                # What is not equal to one literal may still be anything else.
                about = literal_of(inner).subject
                if holding is self._holding:
                    holding = dict(holding)
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
            return self._of_alternatives(condition)
        test = literal_of(condition)
        for literal in self._holding.get(test.subject, ()):
            if implies(literal, condition):
                return True
            if implies(literal, condition.negate()):
                return False
        if test.operator == "in":
            equal = [compare("==", test.subject, item) for item in condition.args[1].args]
            if all(self._outcomes.get(item) is False for item in equal):
                return False
        return self._of_alternatives(condition) if self._alternatives else None

    def _of_alternatives(self, condition: Symbol) -> bool | None:
        """The outcome that follows from every remaining operand of a known disjunction; None if there is none."""
        is_literal = condition.kind not in ("and", "or")
        for alternative in self._alternatives:
            inner = alternative.positive
            holding = inner is alternative
            left: list[Symbol] = []
            for operand in inner.args:
                known = self._outcomes.get(operand.positive)
                if known is None or (known is (operand.kind != "not")) is holding:
                    left.append(operand if holding else operand.negate())
                    if is_literal and not _about(left[-1], condition):
                        break
            else:
                if left and all(implies(operand, condition) for operand in left):
                    return True
                if left and all(implies(operand, condition.negate()) for operand in left):
                    return False
        return None


def _about(operand: Symbol, literal: Symbol) -> bool:
    """Whether an operand may decide a literal: it is compound, or has the same subject."""
    inner = operand.positive
    return inner.kind in ("and", "or") or literal_of(inner).subject is literal_of(literal).subject


ANYWHERE: Final = PathCondition({}, {}, ())


def _is_equality(symbol: Symbol) -> bool:
    return symbol.kind == "compare" and symbol.head[0] in ("==", "is")
