"""Recording: what the interception layer and the group hooks report goes into this process's trace file."""

from __future__ import annotations

import atexit
import os
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .record import State
from .ring import KINDS, Writer
from .sites import Sites

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from torch.distributed import ProcessGroup

COLLECTIVE, P2P, CREATE, OUTSIDER = range(len(KINDS))
_NOWHERE: Final = {"path": "<no Python frame>", "line": 0, "function": "", "stack": []}


_MAIN: Final = threading.main_thread().ident


def _number_of_thread() -> int:
    """The system's number of a thread that Python has started, 0 for one of C++: that is autograd at work for another."""
    # threading has no public name for the objects that stand for threads of C++.
    is_ours = type(threading.current_thread()).__name__ != "_DummyThread"
    return threading.get_native_id() if is_ours else 0


@dataclass(slots=True)
class _Group:
    """A group's id in the trace file, its members as global ranks, and how many calls of each kind it has seen."""

    id: int
    ranks: tuple[int, ...]
    counts: dict[Any, int] = field(default_factory=dict)


class Tracer:
    """One process's record of its calls. Methods are called under the interpreter lock from any thread."""

    def __init__(self, folder: Path, torch_folder: str) -> None:
        """Nothing is written before `start`: a process that never joins a job leaves no trace."""
        self._folder = folder
        self._sites = Sites(torch_folder)
        self._lock = threading.Lock()
        self._writer: Writer | None = None
        self._groups: dict[str, _Group] = {}
        self._made: dict[tuple[int, ...], int] = {}
        self._places: dict[tuple[Any, int], int] = {}
        self._signatures: dict[Any, int] = {}
        self._nowhere = 0

    @property
    def is_started(self) -> bool:
        """Has the process joined a job?"""
        return self._writer is not None

    def start(self, rank: int, world_size: int) -> None:
        """The default group is about to be made: this process is `rank` of `world_size`."""
        if self._writer is not None:
            return
        self._writer = Writer(
            self._folder,
            rank=rank,
            world_size=world_size,
            attempt=int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") or 0),
            started=time.time(),
            host=socket.gethostname(),
        )
        self._nowhere = self._writer.name("place", dict(_NOWHERE))
        self._watch_end()
        # A forked child (a data loader's worker) shares the mapped file, but it is not this rank.
        os.register_at_fork(after_in_child=self._stop)

    def _stop(self) -> None:
        self._writer = None

    def give_up(self, error: BaseException) -> None:
        """The trace cannot be written: the job goes on without us."""
        self._writer = None
        sys.stderr.write(f"collectivelint: this process runs untraced: {type(error).__name__}: {error}\n")

    def _watch_end(self) -> None:
        """Leave a word about how the process ends; killed processes leave none."""
        previous = sys.excepthook
        raised: list[str] = []

        def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
            raised.append(f"{kind.__name__}: {error}")
            self.finish(raised[0])
            previous(kind, error, trace)

        sys.excepthook = hook
        atexit.register(lambda: self.finish(raised[0] if raised else ""))

    def finish(self, error: str = "") -> None:
        """The process ends, by itself or with an exception."""
        if self._writer is not None:
            self._writer.finish("raised" if error else "finished", error)

    # ------------------------------------------------------------------------------------------------------ groups

    def register(self, group: ProcessGroup) -> _Group:
        """Give a new group its identity: its ranks, and how many groups of the same ranks came before."""
        from torch.distributed import distributed_c10d as c10d

        writer = self._writer
        assert writer is not None
        ranks = tuple(c10d.get_process_group_ranks(group))
        ordinal = self._made.get(ranks, 0)
        self._made[ranks] = ordinal + 1
        stored = {"ranks": ranks, "ordinal": ordinal, "description": group.group_desc}
        found = self._groups[group.group_name] = _Group(writer.name("group", stored), ranks)
        return found

    def forget(self) -> None:
        """All groups were destroyed; their names may come again."""
        self._groups.clear()

    # ------------------------------------------------------------------------------------------------------ events

    def begin(
        self,
        kind: int,
        group: ProcessGroup,
        key: tuple[Any, ...],
        describe: Callable[[tuple[Any, ...]], dict[str, Any]],
        peer: int = -1,
        is_async: bool = False,
    ) -> int:
        """A call is about to be made; the number of its event.

        `key` tells signatures apart, the operation first; `describe` makes of a new one what is stored. `peer` is a
        rank of the group. This is the path of every call: what is new is looked up once and then known by number.
        """
        writer = self._writer
        if writer is None:
            return 0
        with self._lock:
            known = self._groups.get(group.group_name) or self.register(group)
            peer = known.ranks[peer] if 0 <= peer < len(known.ranks) else -1
            counter = kind if kind != P2P else (key[0], peer)
            sequence = known.counts[counter] = known.counts.get(counter, 0) + 1
            signature = self._signatures.get(key)
            if signature is None:
                signature = self._signatures[key] = writer.name("signature", describe(key))
            frame = self._sites.find(sys._getframe(1))
            place = self._places.get((frame.f_code, frame.f_lineno)) if frame is not None else self._nowhere
            if place is None and frame is not None:
                place = writer.name("place", self._sites.describe(frame))
                self._places[(frame.f_code, frame.f_lineno)] = place
            thread = 0 if threading.get_ident() == _MAIN else _number_of_thread()
            site = place or self._nowhere
            return writer.add(kind, known.id, sequence, signature, site, peer, is_async, time.time(), thread)

    def mark(self, number: int, state: State) -> None:
        """The call has come further."""
        if number and self._writer is not None:
            self._writer.mark(number, state, time.time() if state >= State.DONE else 0.0)
