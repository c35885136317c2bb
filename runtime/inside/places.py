"""The call sites of a trace: each distinct stack is described and stored once, however often it calls."""

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
    """The call sites of one trace, by the key of their stack."""

    def __init__(self, sites: Sites, lock: threading.RLock) -> None:
        """`lock` is held while a new call site is stored."""
        self._sites, self._lock = sites, lock
        #: The number of each, with the stacks of the key, without which it means nothing.
        self.known: dict[StackKey, tuple[int, _Kept]] = {}

    def clear(self) -> None:
        """Forget all: another trace begins."""
        self.known.clear()

    def of(self, writer: Writer, key: StackKey, stack: Stack, started: Stack | None) -> tuple[int, _Kept]:
        """Store a new call site and return its number. `started`: the stack that started the thread."""
        with self._lock:
            if len(self.known) >= _MOST:
                stack, started = self._sites.site(stack), None
                key = stack.key
                if key in self.known:
                    return self.known[key]
            place = self._sites.place(stack, started)
            found = self.known[key] = (writer.name("place", place), (stack, started))
            return found
