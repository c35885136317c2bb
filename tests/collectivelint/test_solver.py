"""Facts that depend on each other: the same whoever is asked for first, however deep, and with what they rest on."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING

import pytest

from collectivelint.analysis.summary.fixpoint import Solver

if TYPE_CHECKING:
    from collections.abc import Mapping


class _Looking:
    """Keeps what is looked at, as a program does."""

    looked = 0

    def shared(self, files: int, /) -> int:
        return files


class _Reach:
    """The fact of a node: the nodes that can be reached from it. `late` edges are seen only by who knows their condition."""

    def __init__(self, edges: Mapping[int, list[int]], late: Mapping[int, tuple[int, int]]) -> None:
        self.edges, self.late = edges, late
        self.looking = _Looking()
        self.solver = Solver(self.looking, lambda one, other: one == other)

    def of(self, node: int) -> frozenset[int]:
        return self.solver.solve((str(node),), lambda: self._compute(node)) or frozenset()

    def _compute(self, node: int) -> frozenset[int]:
        self.looking.looked |= 1 << node
        found = frozenset({node}).union(*(self.of(other) for other in self.edges.get(node, ())))
        if node in self.late and self.late[node][0] in found:
            # A dependency that shows only once something is known of the others.
            found |= self.of(self.late[node][1])
        return found

    def expected(self, node: int) -> frozenset[int]:
        found = {number: frozenset({number}) for number in range(len(self.edges))}
        while True:
            before = dict(found)
            for number in found:
                found[number] = found[number].union(*(found[other] for other in self.edges[number]))
                if number in self.late and self.late[number][0] in found[number]:
                    found[number] |= found[self.late[number][1]]
            if before == found:
                return found[node]


@pytest.mark.parametrize("seed", range(150))
def test_any_graph_whoever_is_asked_first(seed: int) -> None:
    random_ = random.Random(seed)
    many = random_.choice([3, 6, 12])
    edges = {node: random_.sample(range(many), random_.choice([0, 1, 1, 2])) for node in range(many)}
    late = {node: (random_.randrange(many), random_.randrange(many)) for node in random_.sample(range(many), many // 3)}
    for first in range(many):
        reach = _Reach(edges, late)
        reach.of(first)
        for node in range(many):
            assert reach.of(node) == reach.expected(node), (edges, late, first, node)


def test_a_fact_rests_on_all_that_it_reaches() -> None:
    reach = _Reach({0: [1], 1: [2], 2: [1, 3], 3: [], 4: [0]}, {})
    for first in range(5):
        reach = _Reach(reach.edges, {})
        reach.of(first)
        for node in range(5):
            reach.of(node)
            assert reach.solver.looked[(str(node),)] == sum(1 << other for other in reach.expected(node))


def test_a_long_chain_and_a_long_circle() -> None:
    # As the linter does; the chain is deeper than any limit.
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    chain = {node: [node + 1] for node in range(4000)} | {4000: []}
    assert len(_Reach(chain, {}).of(0)) == 4001
    circle = {node: [(node + 1) % 400] for node in range(400)}
    assert len(_Reach(circle, {}).of(7)) == 400
    sys.setrecursionlimit(limit)
