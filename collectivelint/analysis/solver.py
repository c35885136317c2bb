"""Facts that depend on each other in circles, computed so that it does not matter which is asked for first.

Each fact is computed once all it asks for are known (Tarjan's strongly connected components). Those of a circle are
computed from nothing, in a fixed order, a few times over; what has been seen of them on the way in is forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
Key: TypeAlias = tuple[str, ...]

#: How often the facts of a circle are computed: what one says of itself has then gone around once.
_ROUNDS: Final = 2


class Solver:
    """Computes facts by key, and remembers them."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._known: dict[Key, Any] = {}
        #: Facts on the way: provisional until the circle they belong to is complete.
        self._provisional: dict[Key, Any] = {}
        self._compute: dict[Key, Callable[[], Any]] = {}
        self._number: dict[Key, int] = {}
        self._lowest: dict[Key, int] = {}
        self._open: list[Key] = []
        self._asking: list[Key] = []

    def solve(self, key: Key, compute: Callable[[], T | None]) -> T | None:
        """The fact of this key; None while nothing is known of it because it depends on itself."""
        if key in self._known:
            found: T | None = self._known[key]
            return found
        asking = self._asking[-1] if self._asking else None
        if key in self._provisional:
            if asking is not None:
                self._lowest[asking] = min(self._lowest[asking], self._number[key])
            provisional: T | None = self._provisional[key]
            return provisional
        number = self._number[key] = self._lowest[key] = len(self._number)
        self._provisional[key] = None
        self._compute[key] = compute
        self._open.append(key)
        self._asking.append(key)
        self._provisional[key] = compute()
        self._asking.pop()
        if self._lowest[key] == number:
            self._close(key)
            result: T | None = self._known[key]
        else:
            result = self._provisional[key]
        if asking is not None:
            self._lowest[asking] = min(self._lowest[asking], self._lowest[key])
        return result

    def _close(self, root: Key) -> None:
        """All that `root` depends on is known but for the circle it is in, which is complete now."""
        start = len(self._open) - 1
        while self._open[start] != root:
            start -= 1
        circle = self._open[start:]
        del self._open[start:]
        if len(circle) == 1:
            self._known[root] = self._provisional.pop(root)
            return
        for key in circle:
            del self._provisional[key]
            self._known[key] = None
        for _ in range(_ROUNDS):
            for key in sorted(circle):
                self._known[key] = self._compute[key]()
