"""The recorder: writes what the layers and the group hooks report into this process's trace file."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, TypeAlias

from ..say import say
from ..traces.folders import join_run
from ..traces.model import State
from ..traces.ring import KINDS
from ..traces.writer import Writer
from . import presence, thread_starts
from .failures import Failures
from .groups import Group, Stream
from .places import Places
from .process_end import when_process_ends
from .side_thread import MAIN, SideThread
from .signatures import Signatures
from .sites import Sites, Stack, key_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType

    from ..environment import OnDivergence
    from ..operations import Operation
    from .groups import Call
    from .places import StackKey
    from .source import Source

COLLECTIVE, P2P, CREATE, OUTSIDER = range(len(KINDS))
#: Is told a call's number and first argument before it is made.
Told: TypeAlias = "Callable[..., None]"
_now, _ident, _frame = time.time, threading.get_ident, sys._getframe


class Tracer:
    """One process's record of its calls. Methods are called under the interpreter lock from any thread."""

    #: Is told the number of a call whose result the program may use without a wait; see data_checks.py.
    completed: Told | None = None

    def __init__(self, folder: Path, source: Source, watch: OnDivergence | None = None) -> None:
        """Write nothing before `start`: a process that never joins a job leaves no trace.

        `folder` is that of one run, or the parent of several (folders.py). `source` is the traced library. `watch`:
        have a process beside the job compare the ranks, see activate.py.
        """
        self._folder = folder
        self._source = source
        self._sites = Sites(source.folder)
        # For what is new. A signal's handler may call in the middle of a call of the same thread.
        self._lock = threading.RLock()
        self._writer: Writer | None = None
        self._abandoned: Writer | None = None
        #: By the id of the library's object.
        self._groups: dict[int, Group] = {}
        self._made: dict[tuple[int, ...], int] = {}
        self._places = Places(self._sites, self._lock)
        self._signatures = Signatures(self._lock)
        #: The last event: its number, its stream, and the stream's hash before it.
        self._latest: tuple[int, Stream | None, int] = (0, None, 0)
        self._joined: tuple[int, int, str] | None = None
        #: The exception that ends the process.
        self._error = ""
        self._failures = Failures(self._sites, source.folder)
        self._side = SideThread(self._sites, lambda: self._writer, watch, source)

    @property
    def is_started(self) -> bool:
        """Whether the process has joined a job."""
        return self._writer is not None

    def start(self, rank: int, world_size: int, store: str) -> None:
        """Begin the trace of `rank` once the default group exists; `store` is the address where the job's ranks meet.

        A process that creates its default group again as another rank, or in another job, begins a new trace.
        """
        joined = (rank, world_size, store)
        if self._writer is not None and self._joined in (None, joined):
            return
        first = self._joined is None
        if self._writer is not None:
            self.finish()
        attempt = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") or 0)
        folder = join_run(self._folder)
        self._writer = Writer(
            folder,
            rank=rank,
            world_size=world_size,
            attempt=attempt,
            started=time.time(),
            host=socket.gethostname(),
            local=int(os.environ.get("LOCAL_WORLD_SIZE", "0") or 0),
            job=store,
        )
        self._joined = joined
        for known in (self._groups, self._made, self._places, self._signatures):
            known.clear()
        if first:
            when_process_ends(self.fail, self.finish)
            # A forked child (a data loader's worker) shares the mapped file, but it is not this rank.
            os.register_at_fork(after_in_child=self._stop)
            thread_starts.install()
        self._side.start(folder, rank, attempt)

    def _stop(self) -> None:
        self._writer = None

    def give_up(self, error: BaseException) -> None:
        """Stop tracing after an error in writing the trace; the job goes on."""
        if self._writer is not None:
            # Its memory stays mapped: who ends the job knows the process by that.
            self._abandoned = self._writer
            self._writer.finish("untraced", f"{type(error).__name__}: {error}")
        self._writer = None
        presence.untraced(error)
        say(f"collectivelint: this process runs untraced: {type(error).__name__}: {error}\n")

    def fail(self, error: BaseException) -> None:
        """Record the uncaught exception that is about to end the process."""
        if self._writer is not None:
            try:
                self._error = self._failures.ended(self._writer, error)
            except Exception as trouble:
                self.give_up(trouble)

    def finish(self) -> None:
        """End the trace: the process exits, or goes on as a rank of another job."""
        if self._writer is not None:
            self._writer.finish("raised" if self._error else "finished", self._error)
            self._side.stop()

    # ------------------------------------------------------------------------------------------------------ groups

    def register(self, group: Any) -> Group:
        """Give a new group its identity: its ranks, and how many groups with the same ranks were created before it."""
        writer = self._writer
        assert writer is not None
        with self._lock:
            known = self._groups.get(id(group))
            if known is not None:
                return known
            ranks = self._source.ranks(group)
            ordinal = self._made.get(ranks, 0)
            self._made[ranks] = ordinal + 1
            stored = {
                "ranks": ranks,
                "ordinal": ordinal,
                "description": self._source.description(group),
                "timeout": self._source.timeout(group),
            }
            found = self._groups[id(group)] = Group(writer.name("group", stored), ranks)
            # The address may come again when the group is gone.
            key = id(group)
            found.ref = weakref.ref(group, lambda _: self._groups.pop(key, None))
            return found

    def destroy(self, group: Any) -> None:
        """The group is about to be destroyed."""
        known = self._groups.get(id(group))
        if self._writer is not None and known is not None:
            self._writer.name("destroyed", known.id)

    def ranks_of(self, group: Any) -> tuple[int, ...]:
        """The members of a group as global ranks; () if nothing has been recorded of it."""
        known = self._groups.get(id(group))
        return known.ranks if known is not None else ()

    def signatures(self) -> list[tuple[tuple[int, ...], tuple[Any, ...]]]:
        """The members of each group, with the key of each signature that was called on it; see signatures.py."""
        with self._lock:
            return [(group.ranks, key) for group in self._groups.values() for key in group.signatures]

    # ------------------------------------------------------------------------------------------------------ events

    def begin(self, kind: int, group: Any, key: tuple[Any, ...], peer: int, is_async: bool) -> int:
        """Record that a call is about to be made; return the number of its event, 0 if nothing is recorded.

        `key` identifies the signature (signatures.py); `peer` is a rank of the group. Every call takes this path, so
        anything new is looked up once and then cached.
        """
        writer = self._writer
        if writer is None:
            return 0
        try:
            known = self._groups.get(id(group)) or self.register(group)
            call = known.calls.get((kind, peer, key)) or self._call(writer, known, kind, key, peer)
            stream, signature, weight, peer = call
            try:
                # What has called this is ours as well.
                frame: FrameType | None = _frame(2)
            except ValueError:
                # Nothing but C++ has called that.
                frame = None
            if _ident() == MAIN:
                thread, started, stack = 0, None, key_of(frame)
            else:
                thread, started, stack = self._off_main(writer, known, frame)
            found = self._places.known.get(stack) or self._places.of(writer, stack, Stack.of(frame), started)
            now = _now()
            while True:
                calls, before = stream.count, stream.hash
                # To multiply runs the handlers of signals, which may call.
                rolled = (before * 16777619 + weight) & 0xFFFFFFFF
                if stream.count == calls:
                    break
            # From there on no call: neither another thread nor a handler counts in between.
            stream.count = sequence = calls + 1
            stream.hash = rolled
            number = writer.add(
                kind, known.id, sequence, signature, found[0], peer, is_async, now, thread, stream.number, rolled
            )
            if stream.count == sequence:
                self._latest = (number, stream, before)
            else:
                # Another call has counted further, and has been written before this one.
                writer.recount(stream.number, stream.count, stream.hash)
            return number
        except OSError as error:
            self.give_up(error)
            return 0

    def _off_main(self, writer: Writer, group: Group, frame: FrameType | None) -> tuple[int, Stack | None, StackKey]:
        """For a call off the main thread: the thread's number, the stack that started it, the key of both stacks."""
        thread, started = thread_starts.number(), thread_starts.starter()
        if thread and thread not in group.threads:
            group.threads.add(thread)
            writer.name("caller", {"group": group.id, "thread": thread})
        return thread, started, (key_of(frame), started and started.key)

    def _call(self, writer: Writer, group: Group, kind: int, key: tuple[Any, ...], peer: int) -> Call:
        """Stream, signature, weight and global peer of a call that is new on the group; cached if its signature is."""
        there = peer if peer < 0 else group.ranks[peer] if peer < len(group.ranks) else -1
        counter = kind if kind != P2P else (key[0], there, key[2])
        stream = group.streams.get(counter) or self._stream(writer, group, kind, counter)
        signature, weight = group.signatures.get(key) or self._signatures.of(writer, group, key)
        found = (stream, signature, weight + there, there)
        if key in group.signatures:
            group.calls[kind, peer, key] = found
        return found

    def _stream(self, writer: Writer, group: Group, kind: int, counter: Any) -> Stream:
        op, peer, tag = counter if kind == P2P else ("", -1, 0)
        with self._lock:
            if counter in group.streams:
                return group.streams[counter]
            number = writer.stream({"group": group.id, "kind": KINDS[kind], "op": op, "peer": peer, "tag": tag})
            # A signal's handler may have been before us.
            return group.streams.setdefault(counter, Stream(number))

    def watch(self, _: Operation) -> Told | None:
        """A callback for each call of an operation, see data_checks.py; None here."""
        return None

    def mark(self, number: int, state: State) -> None:
        """Record that the call has reached another state, but not its end."""
        if number and self._writer is not None:
            thread = 0 if _ident() == MAIN else thread_starts.number()
            self._writer.mark(number, state, thread)

    def end(self, number: int, state: State) -> None:
        """The call has ended."""
        if number and self._writer is not None:
            self._writer.end(number, state, _now())

    def reject(self, number: int, op: str, group: Any) -> None:
        """Undo the count of a call that raised because of its arguments: the other ranks have not seen it."""
        with self._lock:
            latest, stream, before = self._latest
            if number and latest == number and stream is not None and self._writer is not None:
                stream.count -= 1
                stream.hash = before
                self._latest = (0, None, 0)
                self._writer.recount(stream.number, stream.count, before)
                self._writer.end(number, State.REJECTED, _now())
                self.raised(op, group, sys.exc_info()[1])
            else:
                self.end(number, State.FAILED)

    def calls(self, group: Any) -> int:
        """How many calls of this rank a group has had."""
        known = self._groups.get(id(group))
        return sum(stream.count for stream in known.streams.values()) if known is not None else 0

    def raised(self, op: str, group: Any, error: BaseException | None) -> None:
        """Record an exception of a torch.distributed function that raised before making its call on the group."""
        if self._writer is not None and error is not None:
            known = self._groups.get(id(group)) or self.register(group)
            stream = known.streams.get(COLLECTIVE)
            self._failures.raised(self._writer, op, known.id, stream.count if stream is not None else 0, error)
