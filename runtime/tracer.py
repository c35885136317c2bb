"""Recording: what the interception layer and the group hooks report goes into this process's trace file."""

from __future__ import annotations

import atexit
import os
import socket
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Final

from .ring import KINDS, Writer
from .sites import Sites

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from torch.distributed import ProcessGroup

    from .record import State

COLLECTIVE, P2P, CREATE, OUTSIDER = range(len(KINDS))
_NOWHERE: Final = {"path": "<no Python frame>", "line": 0, "function": "", "stack": []}
#: Seconds between two looks whether anybody asks.
_PULSE: Final = 0.5
_MAIN: Final = threading.main_thread().ident
_now, _ident, _frame = time.time, threading.get_ident, sys._getframe


def _number_of_thread() -> int:
    """The system's number of a thread that Python has started, 0 for one of C++: that is autograd at work for another."""
    # threading has no public name for the objects that stand for threads of C++.
    is_ours = type(threading.current_thread()).__name__ != "_DummyThread"
    return threading.get_native_id() if is_ours else 0


class _Stream:
    """Calls that are counted together: those of one kind on a group, or those to or from one peer.

    `hash` rolls over what of each call has to be equal on all ranks: two ranks that made as many calls and have different
    hashes disagree about one of them.
    """

    __slots__ = ("count", "hash", "number")

    def __init__(self, number: int) -> None:
        self.number, self.count, self.hash = number, 0, 0


class _Group:
    """A group's id in the trace file, its members as global ranks, and its streams by kind, or by operation and peer."""

    __slots__ = ("id", "ranks", "ref", "streams", "threads")

    def __init__(self, number: int, ranks: tuple[int, ...]) -> None:
        self.id, self.ranks = number, ranks
        self.streams: dict[Any, _Stream] = {}
        #: Threads other than the main one that have called.
        self.threads: set[int] = set()
        self.ref: weakref.ref[Any] | None = None


class Tracer:
    """One process's record of its calls. Methods are called under the interpreter lock from any thread."""

    def __init__(self, folder: Path, torch_folder: str) -> None:
        """Nothing is written before `start`: a process that never joins a job leaves no trace."""
        self._folder = folder
        self._sites = Sites(torch_folder)
        self._find = self._sites.find
        # A signal's handler may call in the middle of a call of the same thread.
        self._lock = threading.RLock()
        self._writer: Writer | None = None
        #: By the id of torch's object.
        self._groups: dict[int, _Group] = {}
        self._made: dict[tuple[int, ...], int] = {}
        self._places: dict[tuple[Any, int], int] = {}
        #: Key of a signature -> its number and its weight in a stream's hash.
        self._signatures: dict[Any, tuple[int, int]] = {}
        self._nowhere = 0

    @property
    def is_started(self) -> bool:
        """Has the process joined a job?"""
        return self._writer is not None

    def start(self, rank: int, world_size: int) -> None:
        """The default group is about to be made: this process is `rank` of `world_size`."""
        if self._writer is not None:
            return
        attempt = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") or 0)
        self._writer = Writer(
            self._folder,
            rank=rank,
            world_size=world_size,
            attempt=attempt,
            started=time.time(),
            host=socket.gethostname(),
        )
        self._nowhere = self._writer.name("place", dict(_NOWHERE))
        self._watch_end()
        threading.Thread(target=self._serve, args=(rank, attempt), name="collectivelint", daemon=True).start()
        # A forked child (a data loader's worker) shares the mapped file, but it is not this rank.
        os.register_at_fork(after_in_child=self._stop)

    def _stop(self) -> None:
        self._writer = None

    def _serve(self, rank: int, attempt: int) -> None:
        """What a thread beside the job does: say where the main thread is when asked, carry the monitor's messages."""
        from .link import Carrier

        answered = 0
        carrier: Carrier | None = Carrier(self._folder, rank, attempt)
        while (writer := self._writer) is not None:
            asked = writer.asked
            try:
                if asked != answered:
                    answered = asked
                    # Another process cannot look.
                    writer.answer(asked, self._sites.stack(sys._current_frames().get(_MAIN or 0)))
                if carrier is not None:
                    carrier.carry()
            except Exception:
                # Most likely the store is gone, and with it the job.
                carrier = None
            time.sleep(_PULSE)

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
        process = sys.modules.get("multiprocessing.process")
        if process is not None and process.parent_process() is not None:
            # Children of multiprocessing run neither: their exceptions are caught, and they leave without atexit.
            from multiprocessing.util import Finalize

            Finalize(None, self._finish_child, exitpriority=0)

    def _finish_child(self) -> None:
        error = sys.exc_info()[1]
        self.finish(f"{type(error).__name__}: {error}" if error is not None else "")

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
        known = self._groups.get(id(group))
        if known is not None:
            return known
        ranks = tuple(c10d.get_process_group_ranks(group))
        ordinal = self._made.get(ranks, 0)
        self._made[ranks] = ordinal + 1
        stored = {"ranks": ranks, "ordinal": ordinal, "description": group.group_desc}
        found = self._groups[id(group)] = _Group(writer.name("group", stored), ranks)
        # The address may come again when the group is gone.
        key = id(group)
        found.ref = weakref.ref(group, lambda _: self._groups.pop(key, None))
        return found

    def forget(self) -> None:
        """All groups were destroyed."""
        self._groups.clear()

    # ------------------------------------------------------------------------------------------------------ events

    def begin(self, kind: int, group: ProcessGroup, key: tuple[Any, ...], peer: int, is_async: bool) -> int:
        """A call is about to be made; the number of its event, 0 if nothing is recorded.

        `key` tells signatures apart (signatures.py); `peer` is a rank of the group. This is the path of every call: what
        is new is looked up once and then known by number.
        """
        writer = self._writer
        if writer is None:
            return 0
        try:
            return self._begun(writer, kind, group, key, peer, is_async)
        except OSError as error:
            self.give_up(error)
            return 0

    def _begun(
        self, writer: Writer, kind: int, group: ProcessGroup, key: tuple[Any, ...], peer: int, is_async: bool
    ) -> int:
        with self._lock:
            known = self._groups.get(id(group)) or self.register(group)
            if peer >= 0:
                peer = known.ranks[peer] if peer < len(known.ranks) else -1
            counter = kind if kind != P2P else (key[0], peer)
            stream = known.streams.get(counter) or self._stream(writer, known, kind, counter)
            signature = self._signatures.get(key) or self._signature(writer, key)
            stream.count = sequence = stream.count + 1
            stream.hash = rolled = (stream.hash * 16777619 + signature[1] + peer) & 0xFFFFFFFF
            # What has called this is ours as well.
            frame = self._find(_frame(3))
            if frame is None:
                place = self._nowhere
            else:
                site = (frame.f_code, frame.f_lineno)
                place = self._places.get(site) or self._place(writer, site, frame)
            thread = 0 if threading.get_ident() == _MAIN else _number_of_thread()
            return writer.add(
                kind,
                known.id,
                sequence,
                signature[0],
                place,
                peer,
                is_async,
                time.time(),
                thread,
                stream.number,
                rolled,
            )

    def _stream(self, writer: Writer, group: _Group, kind: int, counter: Any) -> _Stream:
        op, peer = counter if kind == P2P else ("", -1)
        number = writer.stream({"group": group.id, "kind": KINDS[kind], "op": op, "peer": peer})
        found = group.streams[counter] = _Stream(number)
        return found

    def _signature(self, writer: Writer, key: tuple[Any, ...]) -> tuple[int, int]:
        from .signatures import describe, weight

        stored = {"op": key[0], "ranks": list(key[1])} if len(key) == 3 and key[2] is CREATE else describe(key)
        found = self._signatures[key] = (writer.name("signature", stored), weight(stored))
        return found

    def _place(self, writer: Writer, site: tuple[Any, int], frame: Any) -> int:
        found = self._places[site] = writer.name("place", self._sites.describe(frame))
        return found

    def mark(self, number: int, state: State) -> None:
        """The call has come further, but not to its end."""
        if number and self._writer is not None:
            self._writer.mark(number, state)

    def end(self, number: int, state: State) -> None:
        """The call has ended."""
        if number and self._writer is not None:
            self._writer.end(number, state, _now())
