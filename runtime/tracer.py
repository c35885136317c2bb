"""Recording: what the interception layer and the group hooks report goes into this process's trace file."""

from __future__ import annotations

import atexit
import os
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from .record import State
from .ring import KINDS, Writer
from .sites import Sites

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from torch.distributed import ProcessGroup

COLLECTIVE, P2P, CREATE, OUTSIDER = range(len(KINDS))
_NOWHERE: Final = {"path": "<no Python frame>", "line": 0, "function": "", "stack": []}


class Tracer:
    """One process's record of its calls. Methods are called under the interpreter lock from any thread."""

    def __init__(self, folder: Path, torch_folder: str) -> None:
        """Nothing is written before `start`: a process that never joins a job leaves no trace."""
        self._folder = folder
        self._sites = Sites(torch_folder)
        self._lock = threading.Lock()
        self._writer: Writer | None = None
        self._groups: dict[str, tuple[int, tuple[int, ...]]] = {}
        self._made: dict[tuple[int, ...], int] = {}
        self._places: dict[tuple[Any, int], int] = {}
        self._signatures: dict[Any, int] = {}
        self._sequences: dict[Any, int] = {}
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

    def group(self, group: ProcessGroup) -> tuple[int, tuple[int, ...]]:
        """The id of a group in the trace file and its members as global ranks."""
        known = self._groups.get(group.group_name)
        return known if known is not None else self.register(group)

    def register(self, group: ProcessGroup) -> tuple[int, tuple[int, ...]]:
        """Give a new group its identity: its ranks, and how many groups of the same ranks came before."""
        from torch.distributed import distributed_c10d as c10d

        writer = self._writer
        assert writer is not None
        ranks = tuple(c10d.get_process_group_ranks(group))
        ordinal = self._made.get(ranks, 0)
        self._made[ranks] = ordinal + 1
        stored = {"ranks": ranks, "ordinal": ordinal, "description": group.group_desc}
        found = (writer.name("group", stored), ranks)
        self._groups[group.group_name] = found
        return found

    def forget(self) -> None:
        """All groups were destroyed; their names may come again."""
        self._groups.clear()

    # ------------------------------------------------------------------------------------------------------ events

    def begin(
        self,
        kind: int,
        group: ProcessGroup,
        signature: tuple[Any, ...],
        peer: int = -1,
        *,
        is_async: bool = False,
    ) -> int:
        """A call is about to be made; the number of its event. `signature` is a tuple of (key, value) pairs."""
        writer = self._writer
        if writer is None:
            return 0
        with self._lock:
            group_id, ranks = self.group(group)
            # A root or peer is a rank of the group here; people know global ranks.
            peer = ranks[peer] if 0 <= peer < len(ranks) else -1
            op = signature[0][1]
            counter = (group_id, kind, op if kind == P2P else "", peer if kind == P2P else -1)
            sequence = self._sequences[counter] = self._sequences.get(counter, 0) + 1
            return writer.add(
                kind,
                group_id,
                sequence,
                self._signature(writer, signature),
                self._place(writer),
                peer,
                is_async,
                time.time(),
            )

    def _signature(self, writer: Writer, signature: tuple[Any, ...]) -> int:
        known = self._signatures.get(signature)
        if known is None:
            stored = {key: _plain(value) for key, value in signature}
            known = self._signatures[signature] = writer.name("signature", stored)
        return known

    def _place(self, writer: Writer) -> int:
        frame = self._sites.find(sys._getframe(2))
        if frame is None:
            return self._nowhere
        key = (frame.f_code, frame.f_lineno)
        known = self._places.get(key)
        if known is None:
            known = self._places[key] = writer.name("place", self._sites.describe(frame))
        return known

    def mark(self, number: int, state: State) -> None:
        """The call has come further."""
        if number and self._writer is not None:
            self._writer.mark(number, state, time.time() if state in (State.DONE, State.FAILED) else 0.0)


def _plain(value: Any) -> Any:
    """Shapes and dtypes as JSON has them."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (int, str, float, bool, type(None))) else str(value)
