"""All that it takes to trace another library: who its groups are, and its calls as they are made."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

from collectivelint.runtime.inside.tracer import COLLECTIVE, CREATE, Tracer
from collectivelint.runtime.traces.model import State

from . import communicator
from .communicator import Communicator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class ToySource:
    """See collectivelint.runtime.inside.source.Source."""

    folder = os.path.dirname(os.path.abspath(__file__))

    def ranks(self, group: Communicator) -> tuple[int, ...]:
        return group.members

    def description(self, group: Communicator) -> str:
        return "default_pg" if group.name == "world" else group.name

    def timeout(self, group: Communicator) -> float:
        return 0.0

    def has_accelerator(self) -> bool:
        return False

    def connect(self, prefix: str) -> None:
        return None


def _tensors(values: list[float] | None) -> tuple[Any, ...] | None:
    return None if values is None else (((len(values),), "torch.float64"),)


def trace(folder: Path) -> None:
    """Trace this process from its world on."""
    tracer = Tracer(folder, ToySource())

    def hook(name: str, begin: Callable[..., int]) -> None:
        original = getattr(Communicator, name)

        @functools.wraps(original)
        def call(group: Communicator, *args: Any, **kwargs: Any) -> Any:
            number = begin(group, *args, **kwargs)
            result = original(group, *args, **kwargs)
            tracer.end(number, State.DONE)
            return result

        setattr(Communicator, name, call)

    def all_reduce(group: Communicator, values: list[float], op: str = "sum") -> int:
        return tracer.begin(COLLECTIVE, group, ("all_reduce", _tensors(values), op), -1, False)

    def broadcast(group: Communicator, values: list[float] | None, root: int = 0) -> int:
        return tracer.begin(COLLECTIVE, group, ("broadcast", None), root, False)

    def barrier(group: Communicator) -> int:
        return tracer.begin(COLLECTIVE, group, ("barrier", None), -1, False)

    def create(group: Communicator, members: tuple[int, ...], name: str) -> int:
        return tracer.begin(CREATE, group, ("create", "creates", members), -1, False)

    for name, begin in (("allreduce", all_reduce), ("bcast", broadcast), ("barrier", barrier), ("create", create)):
        hook(name, begin)
    world = communicator.world

    def joined(rank: int, size: int, address: str) -> Communicator:
        group = world(rank, size, address)
        tracer.start(rank, size, address)
        tracer.register(group)
        return group

    communicator.world = joined
