"""All that it takes to trace MPI through mpi4py: who its communicators are, and their calls as they are made.

Communicators of MPI cannot be patched, so that of all ranks is replaced by one of a class of ours, which hands on the same.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

from collectivelint.runtime.inside.tracer import COLLECTIVE, CREATE, P2P, Tracer
from collectivelint.runtime.traces.model import State
from mpi4py import MPI

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_WORLD = MPI.COMM_WORLD.Get_group()
_OPS = {"SUM": MPI.SUM, "MAX": MPI.MAX, "MIN": MPI.MIN, "PRODUCT": MPI.PROD}
_tracers: list[Tracer] = []


class MpiSource:
    """See collectivelint.runtime.inside.source.Source."""

    # mpi4py is compiled, and has no frames of its own.
    folder = os.path.dirname(os.path.abspath(__file__))

    def ranks(self, group: MPI.Comm) -> tuple[int, ...]:
        return tuple(MPI.Group.Translate_ranks(group.Get_group(), None, _WORLD))

    def description(self, group: MPI.Comm) -> str:
        name = group.Get_name()
        return "default_pg" if name == "MPI_COMM_WORLD" else name

    def timeout(self, group: MPI.Comm) -> float:
        return 0.0

    def has_accelerator(self) -> bool:
        return False

    def connect(self, prefix: str) -> None:
        return None


def _tensors(values: Any) -> tuple[Any, ...]:
    return ((values.shape, f"torch.{values.dtype}"),)


def _traced(begin: Callable[..., int]) -> Callable[..., Any]:
    """A method that is recorded by `begin`, whose name it has, and hands on to that of MPI."""

    @functools.wraps(begin)
    def call(comm: MPI.Intracomm, *args: Any, **kwargs: Any) -> Any:
        number = begin(comm, *args, **kwargs)
        result = getattr(MPI.Intracomm, begin.__name__)(comm, *args, **kwargs)
        _tracers[0].end(number, State.DONE)
        return result

    return call


class Communicator(MPI.Intracomm):
    """A communicator whose calls are recorded."""

    @_traced
    def Allreduce(self, sent: Any, received: Any, op: MPI.Op = MPI.SUM) -> int:
        name = next((name for name, known in _OPS.items() if op == known), "?")
        return _tracers[0].begin(COLLECTIVE, self, ("all_reduce", _tensors(received), name), -1, False)

    @_traced
    def Bcast(self, values: Any, root: int = 0) -> int:
        return _tracers[0].begin(COLLECTIVE, self, ("broadcast", _tensors(values)), root, False)

    @_traced
    def Barrier(self) -> int:
        return _tracers[0].begin(COLLECTIVE, self, ("barrier", None), -1, False)

    @_traced
    def Send(self, values: Any, dest: int, tag: int = 0) -> int:
        return _tracers[0].begin(P2P, self, ("send", _tensors(values), tag), dest, False)

    @_traced
    def Recv(self, values: Any, source: int, tag: int = 0) -> int:
        return _tracers[0].begin(P2P, self, ("recv", _tensors(values), tag), source, False)

    def Split(self, color: int = 0, key: int = 0) -> Communicator:
        tracer = _tracers[0]
        number = tracer.begin(CREATE, self, ("split", "creates", ()), -1, False)
        made = Communicator(super().Split(color, key))
        tracer.end(number, State.DONE)
        made.Set_name(f"part {color}")
        tracer.register(made)
        return made


def trace(folder: Path) -> None:
    """Trace this process: from here on `MPI.COMM_WORLD` is recorded."""
    job = MPI.COMM_WORLD.bcast(f"{MPI.Get_processor_name()}:{os.getpid()}")
    world = Communicator(MPI.COMM_WORLD)
    world.Set_name("MPI_COMM_WORLD")
    _tracers.append(Tracer(folder, MpiSource()))
    _tracers[0].start(world.rank, world.size, job)
    _tracers[0].register(world)
    MPI.COMM_WORLD = world
