"""Facts that depend on each other, solved on demand: strongly connected components, iterated with widening.

A fact is computed once all facts that it reads are known (Tarjan's algorithm). The facts of a strongly connected
component (a circle) are iterated from bottom with a worklist: a member is computed again only when a fact that it has
read has changed. A member that still changes after `_PLAIN` computations is widened, so that its chain is finite. The
order of the iteration depends on the circle alone, not on the fact that was asked for first.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")
Key: TypeAlias = tuple[str, ...]

#: Computations of a member of a circle whose results are taken as they are; from then on they are widened.
_PLAIN: Final = 4
#: Computations of a member at most. Widening stops a chain well before; a fact that gets here is counted as unsettled.
_MOST_COMPUTATIONS: Final = 12
#: How often a circle starts again from nothing because it turned out to be larger.
_MOST_FRESH_STARTS: Final = 3
#: Computing is a recursion of Python functions. Below this depth it starts again with the fact at hand, which is then
#: known when the first one is computed anew; but not endlessly, since a large circle has no bottom.
_DEEPEST: Final = 250
_MOST_RESTARTS: Final = 64


class Postponed(Exception):  # noqa: N818  # nothing has gone wrong
    """Raised to unwind computations that are nested too deeply: `key` is to be computed first."""

    def __init__(self, key: Key, compute: Callable[[], Any]) -> None:
        """`compute` computes the fact of `key`."""
        super().__init__(key)
        self.key, self.compute = key, compute


class Looking(Protocol):
    """The program as facts read it: it records the files that were read, as bits in `looked`."""

    looked: int

    def shared(self, files: int, /) -> int:
        """The same set of files as one shared object."""


class Lattice(Protocol):
    """The order of facts. None is the least one."""

    def same(self, one: Any, other: Any, /) -> bool:
        """Whether two facts say the same to the facts that read them."""

    def widen(self, key: Key, old: Any, new: Any, /) -> Any:
        """An upper bound of both such that every chain of widened facts is finite."""


class Solver:
    """Computes facts by key and caches them, with the files that each depends on."""

    def __init__(self, looking: Looking, lattice: Lattice, compared: frozenset[str] = frozenset()) -> None:
        """Facts of `compared` kinds have digests: their readers depend on the fact, not on its files."""
        self._lattice = lattice
        self._looking = looking
        self._compared = compared
        #: By key: the files that the fact rests on, directly or through facts that are not compared.
        self.looked: dict[Key, int] = {}
        #: By key of a fact in a circle: all facts of that circle.
        self.circles: dict[Key, tuple[Key, ...]] = {}
        #: By key: the facts that it has read itself.
        self.reads: dict[Key, set[Key]] = {}
        #: Facts of circles whose last computation still changed them.
        self.unsettled: set[Key] = set()
        self._known: dict[Key, Any] = {}
        #: Facts on the way: provisional until the circle they belong to is complete.
        self._provisional: dict[Key, Any] = {}
        self._compute: dict[Key, Callable[[], Any]] = {}
        self._numbers = count()
        self._number: dict[Key, int] = {}
        self._lowest: dict[Key, int] = {}
        #: Provisional facts in order of their numbers, without those of a circle that is being iterated.
        self._open: list[Key] = []
        self._asking: list[Key] = []
        self._restarts = 0
        #: The facts above one that was postponed.
        self._above: set[Key] = set()
        #: How many circles are being iterated: a computation inside one of them is not postponed.
        self._iterating = 0

    def solve(self, key: Key, compute: Callable[[], T | None]) -> T | None:
        """The fact of this key; None while its own computation is in progress and nothing is known of it."""
        if key in self._known or self._asking:
            return self._solve(key, compute)
        first: list[tuple[Key, Callable[[], Any]]] = [(key, compute)]
        self._restarts = 0
        self._above.clear()
        while True:
            try:
                found: T | None = self._solve(*first[-1])
            except Postponed as deeper:
                first.append((deeper.key, deeper.compute))
                self._restarts += 1
                continue
            first.pop()
            self._above.clear()
            if not first:
                return found

    def is_provisional(self, key: Key) -> bool:
        """Whether the computation of the fact is still in progress."""
        return key in self._provisional

    def note_read(self, key: Key) -> None:
        """Record that the fact being computed depends on this one, whether or not it exists."""
        if self._asking:
            self.reads[self._asking[-1]].add(key)

    def fact(self, key: Key) -> Any:
        """A fact that has been computed; None for others."""
        return self._known.get(key)

    def forget(self, keys: set[Key]) -> None:
        """Forget these facts. No computation may be in progress."""
        self.unsettled -= keys
        for key in keys:
            for table in (self.looked, self.circles, self.reads, self._known, self._number, self._lowest):
                table.pop(key, None)

    def _solve(self, key: Key, compute: Callable[[], T | None]) -> T | None:
        asking = self._asking[-1] if self._asking else None
        if asking is not None:
            self.reads[asking].add(key)
        if key not in self._known and key not in self._provisional:
            if len(self._asking) >= _DEEPEST and self._may_postpone():
                self._above.update(self._asking)
                raise Postponed(key, compute)
            self._enter(key, compute)
        if key in self._known:
            if key[0] not in self._compared:
                self._looking.looked |= self.looked[key]
            found: T | None = self._known[key]
            return found
        if asking is not None:
            self._lowest[asking] = min(self._lowest[asking], self._lowest[key])
        if key[0] not in self._compared:
            self._looking.looked |= self.looked.get(key, 0)
        provisional: T | None = self._provisional[key]
        return provisional

    def _may_postpone(self) -> bool:
        """Whether restarting from a deeper fact helps: not in a circle, which has no deepest one."""
        if self._iterating or self._restarts >= _MOST_RESTARTS:
            return False
        return self._above.isdisjoint(self._asking)

    def _enter(self, key: Key, compute: Callable[[], Any]) -> None:
        """Compute a fact for the first time; afterwards it is known or waits for the rest of its circle."""
        number = self._number[key] = self._lowest[key] = next(self._numbers)
        self._provisional[key] = None
        self._compute[key] = compute
        self._open.append(key)
        try:
            self._provisional[key] = self._computed(key)
        except Postponed:
            self._forget(key)
            raise
        if self._lowest[key] == number:
            self._close(key)

    def _computed(self, key: Key) -> Any:
        """Compute the fact with what is known so far, recording the facts and files that it reads."""
        self.reads[key] = set()
        self._asking.append(key)
        before, self._looking.looked = self._looking.looked, 0
        try:
            return self._compute[key]()
        finally:
            self._asking.pop()
            self.looked[key] = self._looking.looked | self.looked.get(key, 0)
            self._looking.looked = before

    def _forget(self, root: Key) -> None:
        """Abandon the computation of `root` and of all facts opened since."""
        while True:
            key = self._open.pop()
            del self._provisional[key], self._compute[key]
            if key == root:
                return

    def _close(self, root: Key) -> None:
        """Finish the circle of `root`, now that every fact outside the circle that it depends on is known."""
        start = len(self._open) - 1
        while self._open[start] != root:
            start -= 1
        circle = self._taken(start)
        if len(circle) > 1 or root in self.reads[root]:
            self._iterating += 1
            circle = self._iterate(root, circle)
            self._iterating -= 1
            self.circles.update(dict.fromkeys(circle, tuple(circle)))
        every = 0
        for key in circle:
            every |= self.looked[key]
        shared = self._looking.shared(every)
        for key in circle:
            self._known[key] = self._provisional.pop(key)
            self.looked[key] = shared
            del self._compute[key]

    def _taken(self, start: int) -> list[Key]:
        """Remove and return the open facts from this position on."""
        taken = self._open[start:]
        del self._open[start:]
        return taken

    def _iterate(self, root: Key, circle: list[Key]) -> list[Key]:
        """Iterate a circle until no fact changes; returns its members, or none if it is part of a larger circle."""
        alone = len(circle) == 1
        for start in range(_MOST_FRESH_STARTS + 1):
            if not alone or start:
                # What was computed on the way in depends on the fact that was asked for first.
                self._provisional.update(dict.fromkeys(circle))
            size = len(circle)
            self._settle(root, circle, computed=alone and not start)
            if self._lowest[root] < self._number[root]:
                # Now that more is known of its members, they turn out to belong to a circle that is still open.
                self._open += sorted(circle, key=self._number.__getitem__)
                return []
            if len(circle) == size:
                break
        return circle

    def _settle(self, root: Key, circle: list[Key], *, computed: bool) -> None:
        """Compute the members of a circle until none changes; newly read facts that depend on it are added.

        `computed`: the circle's only member has been computed once already, from bottom.
        """
        times = dict.fromkeys(circle, int(computed))
        order = _callees_first(circle, self.reads)
        dirty = set() if computed and self._lattice.same(None, self._provisional[root]) else set(circle)
        here = len(self._open)
        while dirty:
            for key in order:
                if key not in dirty:
                    continue
                dirty.remove(key)
                if times[key] >= _MOST_COMPUTATIONS:
                    self.unsettled.add(key)
                    continue
                old = self._provisional[key]
                new = self._computed(key)
                times[key] += 1
                if self._lowest[key] < self._number[root]:
                    self._lowest[root] = min(self._lowest[root], self._lowest[key])
                    circle += self._taken(here)
                    return
                for member in self._taken(here):
                    circle.append(member)
                    times[member] = 1
                    dirty.add(member)
                if times[key] > _PLAIN:
                    new = self._lattice.widen(key, old, new)
                self._provisional[key] = new
                if not self._lattice.same(old, new):
                    dirty.update(reader for reader in circle if key in self.reads[reader])
            if len(order) < len(circle):
                order = _callees_first(circle, self.reads)


def _callees_first(circle: Iterable[Key], reads: dict[Key, set[Key]]) -> list[Key]:
    """The members of a circle in approximate topological order: each after those that it reads, where possible."""
    members = set(circle)
    found: dict[Key, None] = {}
    entered: set[Key] = set()
    for first in sorted(members):
        pending = [(first, False)]
        while pending:
            key, is_done = pending.pop()
            if is_done:
                found[key] = None
            elif key not in entered:
                entered.add(key)
                pending.append((key, True))
                pending += [(read, False) for read in sorted(reads[key] & members, reverse=True) if read not in entered]
    return list(found)
