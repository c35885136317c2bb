"""What a path may be that branches have chosen."""

from __future__ import annotations

from collectivelint.analysis.calls.path_uses import ways
from collectivelint.analysis.domain.symbol import Symbol, name

_FRESH, _OLD, _NEW = name("fresh"), name("old"), name("new")


def _found(either: dict[Symbol, tuple[Symbol, Symbol]]) -> set[Symbol]:
    return set(ways(either, _FRESH))


def test_a_branch_chooses_between_two() -> None:
    assert _found({_FRESH: (_OLD, _NEW)}) == {_OLD, _NEW}


def test_a_loop_chooses_between_what_it_was_and_another() -> None:
    assert _found({_FRESH: (_FRESH, _FRESH)}) == {_FRESH}
    assert _found({_FRESH: (_OLD, _NEW), _NEW: (_FRESH, _OLD)}) == {_FRESH, _OLD, _NEW}
