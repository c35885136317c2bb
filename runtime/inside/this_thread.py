"""Per-thread state of the layers: whether the thread is inside a recorded call, and which handles are outstanding."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_HANDLE: Final = (None, 0)


class Thread:
    """The state of one thread. It is one object, since a thread-local look-up costs more than an attribute."""

    __slots__ = ("given", "inside", "latest", "parts", "together")

    def __init__(self) -> None:
        """It is in no call."""
        #: Is it in a call that has been recorded already?
        self.inside = False
        #: The events of the composite that it is in.
        self.parts: list[int] | None = None
        #: What C++ is about to broadcast, as it was given it; () in another function that calls from C++, None outside of those.
        self.given: Sequence[Any] | None = None
        #: The last handle with its event, 0 if the caller has the handle. Both are stored at once: a signal's handler may call.
        self.latest: tuple[Any, int] = NO_HANDLE
        #: Events whose handle, which they share, is still to come.
        self.together: list[int] | None = None


class Local(threading.local):
    """Thread-local storage; `mine` is the current thread's state."""

    def __init__(self) -> None:
        """For each thread once."""
        self.mine = Thread()
