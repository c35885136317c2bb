"""Facts that depend on each other: the same whichever is asked for first, however deep, widened where they grow."""

from __future__ import annotations

import itertools
import random
import sys
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import pytest

from collectivelint.analysis.summary.fixpoint import Solver

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from collectivelint.analysis.summary.fixpoint import Key


class _Looking:
    """Keeps what is looked at, as a program does."""

    looked = 0

    def shared(self, files: int, /) -> int:
        return files


class _Sets:
    """Sets by inclusion: of finitely many things, so that a union is widening enough. Nothing is the empty set."""

    def same(self, one: frozenset[int] | None, other: frozenset[int] | None) -> bool:
        return (one or frozenset()) == (other or frozenset())

    def widen(self, _: Key, old: frozenset[int] | None, new: frozenset[int] | None) -> frozenset[int]:
        return (old or frozenset()) | (new or frozenset())


class _Reach:
    """The fact of a node: the nodes that can be reached from it. `late` edges are seen only once a condition is known."""

    def __init__(self, edges: Mapping[int, list[int]], late: Mapping[int, tuple[int, int]]) -> None:
        self.edges, self.late = edges, late
        self.looking = _Looking()
        self.solver = Solver(self.looking, _Sets())
        #: By node: its facts in the order in which they were computed.
        self.computed: defaultdict[int, list[frozenset[int]]] = defaultdict(list)

    def of(self, node: int) -> frozenset[int]:
        return self.solver.solve((str(node),), lambda: self._compute(node)) or frozenset()

    def _compute(self, node: int) -> frozenset[int]:
        self.looking.looked |= 1 << node
        found = frozenset({node}).union(*(self.of(other) for other in self.edges.get(node, ())))
        if node in self.late and self.late[node][0] in found:
            # A dependency that shows only once something is known of the others.
            found |= self.of(self.late[node][1])
        self.computed[node].append(found)
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
        assert not reach.solver.unsettled


def test_a_fact_rests_on_all_that_it_reaches() -> None:
    reach = _Reach({0: [1], 1: [2], 2: [1, 3], 3: [], 4: [0]}, {})
    for first in range(5):
        reach = _Reach(reach.edges, {})
        reach.of(first)
        for node in range(5):
            reach.of(node)
            assert reach.solver.looked[(str(node),)] == sum(1 << other for other in reach.expected(node))


@pytest.mark.parametrize("seed", range(60))
def test_the_facts_of_a_circle_only_grow(seed: int) -> None:
    """But for the first one, which was computed on the way in: after it the circle starts from nothing."""
    random_ = random.Random(seed)
    many = random_.choice([2, 5, 9])
    edges = {node: [(node + 1) % many, *random_.sample(range(many), random_.choice([0, 1, 2]))] for node in range(many)}
    reach = _Reach(edges, {})
    reach.of(random_.randrange(many))
    for chain in reach.computed.values():
        assert len(chain) >= 2
        assert all(one <= other for one, other in itertools.pairwise(chain[1:]))


def test_only_those_are_computed_again_whose_facts_have_changed() -> None:
    """A circle with a long tail that leads back into it: what the circle adds does not change the tail."""
    many = 60
    circle = {node: [(node + 1) % many] for node in range(many)}
    reach = _Reach(circle, {})
    reach.of(0)
    # On the way in, from nothing, and once more with what the first round has found for the last one.
    assert sum(map(len, reach.computed.values())) <= 3 * many
    alone = _Reach({0: [0]}, {})
    assert alone.of(0) == {0}
    assert len(alone.computed[0]) == 2
    assert len(_Reach({0: [1], 1: [2], 2: []}, {}).computed) == 0


class _Depths:
    """Numbers up to infinity, which is -1 here."""

    def __init__(self, widen: Callable[[int, int], int]) -> None:
        self._widen = widen

    def same(self, one: int | None, other: int | None) -> bool:
        return one == other

    def widen(self, _: Key, old: int, new: int) -> int:
        return self._widen(old, new)


@pytest.mark.parametrize("many", [1, 2, 7])
def test_a_fact_without_bound_is_widened(many: int) -> None:
    """Each is one more than the next one: no number solves that."""
    times: Counter[int] = Counter()
    solver = Solver(_Looking(), _Depths(lambda old, new: new if old == new else -1))

    def depth(node: int) -> int:
        def compute() -> int:
            times[node] += 1
            below = depth((node + 1) % many)
            return -1 if below == -1 else below + 1

        return solver.solve((str(node),), compute) or 0

    assert depth(0) == -1
    assert not solver.unsettled
    assert max(times.values()) <= 8


def test_a_chain_that_does_not_end_is_given_up_and_counted() -> None:
    times = 0
    solver = Solver(_Looking(), _Depths(lambda _, new: new))

    def depth() -> int:
        def compute() -> int:
            nonlocal times
            times += 1
            return depth() + 1

        return solver.solve(("x",), compute) or 0

    assert depth() > 0
    assert solver.unsettled == {("x",)}
    assert times < 20


def test_a_long_chain_and_a_long_circle() -> None:
    # As the linter does; the chain is deeper than any limit.
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    chain = {node: [node + 1] for node in range(4000)} | {4000: []}
    assert len(_Reach(chain, {}).of(0)) == 4001
    circle = {node: [(node + 1) % 400] for node in range(400)}
    assert len(_Reach(circle, {}).of(7)) == 400
    sys.setrecursionlimit(limit)
