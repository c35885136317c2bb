"""Positions in spans: the start is inside, the end is behind the last character."""

from __future__ import annotations

import pytest

from collectivelint.ir.nodes import Span

_OUTER = Span(2, 4, 5, 3)


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        (_OUTER, True),
        (Span(3, 0, 4, 99), True),
        (Span(2, 4, 2, 4), True),
        (Span(2, 3, 3, 0), False),
        (Span(4, 0, 5, 4), False),
        (Span(1, 0, 6, 0), False),
        (Span(6, 0, 6, 1), False),
    ],
)
def test_contains(inner: Span, expected: bool) -> None:
    assert _OUTER.contains(inner) is expected


@pytest.mark.parametrize(
    ("place", "expected"), [((2, 4), True), ((3, 0), True), ((5, 3), True), ((2, 3), False), ((5, 4), False)]
)
def test_contains_position(place: tuple[int, int], expected: bool) -> None:
    assert _OUTER.contains_position(*place) is expected


def test_contains_line() -> None:
    assert [line for line in range(1, 8) if _OUTER.contains_line(line)] == [2, 3, 4, 5]
