"""Random numbers that the callers of a function have seeded: they are the same on all ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..effects import Guard
    from ..summary.facts import FunctionFacts

#: Callers in a row that are looked at.
_MOST_STEPS: Final = 4


def seeded_before(
    facts: FunctionFacts, guard: Guard, callers: Callable[[FunctionFacts], Iterator[FunctionFacts]]
) -> bool:
    """Whether a condition on random numbers is reached only from functions that seed them alike on all ranks."""
    kinds = {cause.kind for cause in guard.causes}
    return "random" in kinds and kinds <= {"random", "branch"} and _seeded(facts, callers, _MOST_STEPS)


def _seeded(facts: FunctionFacts, callers: Callable[[FunctionFacts], Iterator[FunctionFacts]], steps: int) -> bool:
    if facts.seed is not None:
        # What it has seeded itself says what each condition is; what its callers did before no longer counts.
        return False
    found = list(callers(facts)) if steps else []
    return bool(found) and all(
        not caller.seed.uniformity.varies if caller.seed is not None else _seeded(caller, callers, steps - 1)
        for caller in found
    )
