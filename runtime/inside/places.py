"""The places of a trace: a call's stack, as often as it calls, is described and stored once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    import threading

    from ..traces.writer import Writer
    from .sites import Sites, Stack

    _Kept: TypeAlias = tuple[Stack, Stack | None]

#: So many stacks are told apart; where there is no end of them (recursion, generated code), the rest is known by its site.
_MOST: Final = 4096
#: The key of a call's stack; off the main thread with that of the stack which started the thread.
StackKey: TypeAlias = tuple[Any, ...]


class Places:
    """Those of a trace."""

    def __init__(self, sites: Sites, lock: threading.RLock) -> None:
        """`lock`: held while a new one is stored."""
        self._sites, self._lock = sites, lock
        #: The number of each, with the stacks of the key, without which it means nothing.
        self.known: dict[StackKey, tuple[int, _Kept]] = {}

    def clear(self) -> None:
        """Another trace begins."""
        self.known.clear()

    def of(self, writer: Writer, key: StackKey, stack: Stack, started: Stack | None) -> tuple[int, _Kept]:
        """The number of a place that is new, of a stack and what started its thread."""
        with self._lock:
            if len(self.known) >= _MOST:
                stack, started = self._sites.site(stack), None
                key = stack.key
                if key in self.known:
                    return self.known[key]
            place = self._sites.place(stack, started)
            found = self.known[key] = (writer.name("place", place), (stack, started))
            return found
