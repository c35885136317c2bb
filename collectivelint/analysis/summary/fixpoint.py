"""Facts that depend on each other in circles, computed so that it does not matter which is asked for first.

Each fact is computed once all it asks for are known (Tarjan's strongly connected components). Those of a circle are
computed from nothing, in a fixed order, until they do not change any more; what has been seen of them on the way in is
forgotten.
"""

from __future__ import annotations

import sys
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
Key: TypeAlias = tuple[str, ...]

#: How often the facts of a circle are computed at most; mostly nothing changes after the second time.
_MOST_ROUNDS: Final = 10
#: Computing is a recursion of Python functions. Below this depth it starts again with the fact at hand, which is then
#: known when the first one is computed anew; but not endlessly, since a large circle has no bottom.
_DEEPEST: Final = 250
_MOST_RESTARTS: Final = 64
_NONE: Final = sys.maxsize


class Postponed(Exception):  # noqa: N818  # nothing has gone wrong
    """Raised through computations that are too deep: `key` is to be computed first."""

    def __init__(self, key: Key, compute: Callable[[], Any]) -> None:
        """Remember what to start with."""
        super().__init__(key)
        self.key, self.compute = key, compute


class Looking(Protocol):
    """Who notes what is looked at."""

    looked: int

    def shared(self, files: int, /) -> int:
        """The same set, as one object for all who keep it."""


class Solver:
    """Computes facts by key, and remembers them, and what had to be looked at for each."""

    def __init__(self, looking: Looking, same: Callable[[Any, Any], bool]) -> None:
        """Nothing is known yet. `same` says whether a fact has not changed as far as others can see."""
        self._same = same
        self._looking = looking
        #: By key: the files that the fact rests on, directly or through others.
        self.looked: dict[Key, int] = {}
        self._known: dict[Key, Any] = {}
        #: Facts on the way: provisional until the circle they belong to is complete.
        self._provisional: dict[Key, Any] = {}
        self._compute: dict[Key, Callable[[], Any]] = {}
        self._numbers = count()
        self._number: dict[Key, int] = {}
        self._lowest: dict[Key, int] = {}
        self._open: list[Key] = []
        self._asking: list[Key] = []
        self._restarts = 0
        #: How many circles are being completed: there is no way back out of that.
        self._closing = 0
        self._passing: list[Key] = []
        #: The lowest number of the open facts that have been asked for while a circle was completed.
        self._touched = _NONE

    def solve(self, key: Key, compute: Callable[[], T | None]) -> T | None:
        """The fact of this key; None while nothing is known of it because it depends on itself."""
        if key in self._known or self._asking:
            return self._solve(key, compute)
        first: list[tuple[Key, Callable[[], Any]]] = [(key, compute)]
        self._restarts = 0
        while True:
            try:
                found: T | None = self._solve(*first[-1])
            except Postponed as deeper:
                first.append((deeper.key, deeper.compute))
                self._restarts += 1
                continue
            first.pop()
            if not first:
                return found

    def _solve(self, key: Key, compute: Callable[[], T | None]) -> T | None:
        if key in self._known:
            self._looking.looked |= self.looked[key]
            found: T | None = self._known[key]
            return found
        asking = self._asking[-1] if self._asking else None
        if key in self._provisional:
            self._touched = min(self._touched, self._number[key])
            if asking is not None:
                self._lowest[asking] = min(self._lowest[asking], self._number[key])
            provisional: T | None = self._provisional[key]
            return provisional
        if len(self._asking) >= _DEEPEST and self._restarts < _MOST_RESTARTS and not self._closing:
            raise Postponed(key, compute)
        number = self._number[key] = self._lowest[key] = next(self._numbers)
        self._provisional[key] = None
        self._compute[key] = compute
        self._open.append(key)
        self._asking.append(key)
        before, self._looking.looked = self._looking.looked, 0
        try:
            self._provisional[key] = compute()
        except Postponed:
            self._forget(key)
            raise
        finally:
            self._asking.pop()
            self.looked[key] = self._looking.shared(self._looking.looked)
            self._looking.looked = before
        if self._lowest[key] == number:
            self._close(key)
        if key in self._known:
            result: T | None = self._known[key]
        else:
            result = self._provisional[key]
        if asking is not None:
            self._lowest[asking] = min(self._lowest[asking], self._lowest[key])
        self._looking.looked |= self.looked[key]
        return result

    def _forget(self, root: Key) -> None:
        """Take back that `root` is on the way, with all that is open since."""
        while True:
            key = self._open.pop()
            del self._provisional[key], self._compute[key]
            if key == root:
                return

    def _forget_passing(self, start: int) -> None:
        for key in self._passing[start:]:
            self._known.pop(key, None)
        del self._passing[start:]

    def _close(self, root: Key) -> None:
        """All that `root` depends on is known but for the circle it is in, which is complete now."""
        start = len(self._open) - 1
        while self._open[start] != root:
            start -= 1
        circle = self._open[start:]
        del self._open[start:]
        computations = [(key, self._compute.pop(key)) for key in sorted(circle)]
        if self._closing:
            self._passing += circle
        if len(circle) == 1:
            self._known[root] = self._provisional.pop(root)
            return
        for key in circle:
            del self._provisional[key]
            self._known[key] = None
            self.looked.setdefault(key, 0)
        before, self._looking.looked = self._looking.looked, 0
        # What is asked for the first time now rests on facts that are not complete; it is not kept from turn to turn.
        kept = len(self._passing)
        self._closing += 1
        touched, self._touched = self._touched, _NONE
        for _ in range(_MOST_ROUNDS):
            changed = False
            self._forget_passing(kept)
            for key, compute in computations:
                before_it, self._known[key] = self._known[key], compute()
                changed |= not self._same(before_it, self._known[key])
            if not changed:
                break
            # What travels against the order takes one turn the other way around.
            computations.reverse()
        self._closing -= 1
        self._forget_passing(kept)
        every = self._looking.looked
        for key in circle:
            every |= self.looked[key]
        self.looked.update(dict.fromkeys(circle, self._looking.shared(every)))
        if self._touched < self._number[root]:
            # Now that more is known of them, they turn out to belong to a circle that is still open.
            for key, compute in computations:
                self._provisional[key], self._compute[key] = self._known.pop(key), compute
                self._lowest[key] = min(self._lowest[key], self._touched)
                self._open.append(key)
        self._touched = min(touched, self._touched)
        self._looking.looked = before
