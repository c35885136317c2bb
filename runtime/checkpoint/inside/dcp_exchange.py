"""State of a running save or load inside the job, and the data added to DCP's own messages between ranks."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextvars import ContextVar

    from .digests import Key, Save


class Running:
    """A save or a load under way on this rank."""

    def __init__(self, planner: Any, storage: Any, group: Any, site: Mapping[str, Any]) -> None:
        """`storage` is the writer or reader, `group` the process group of the save, `site` the call site."""
        self.planner, self.storage, self.group, self.site = planner, storage, group, site
        self.plan: Any = None
        self.begun = time.time()
        #: Of the coordinator only: what the save does, and by (name, offset) the checksum of what was written.
        self.save: Save | None = None
        self.written: dict[Key, tuple[int, int]] = {}
        self.placements: dict[str, str] = {}

    @property
    def path(self) -> Path | None:
        """Where the checkpoint goes, if that is a local folder."""
        path = getattr(self.storage, "path", None)
        return Path(path) if isinstance(path, (str, os.PathLike)) and "://" not in str(path) else None


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """A tensor of a distributed checkpoint: its global shape (None if only the ranks know it) and its parts' sizes."""

    shape: tuple[int, ...] | None
    parts: frozenset[tuple[int, ...]]

    def is_part(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of this shape is one rank's part."""
        return shape in self.parts and shape != self.shape


def key_of(index: Any) -> Key:
    """Name and offset of a MetadataIndex."""
    return index.fqn, None if index.offset is None else tuple(index.offset)


def talking(
    base: Any,
    current: ContextVar[Running | None],
    plan: Callable[..., Any] | None = None,
    written: Callable[..., Any] | None = None,
) -> Any:
    """A subclass of DCP's `_DistWrapper` that adds data to the plans and results which ranks exchange.

    `plan(running, ranks, local, reduce)` and `written(running, local, reduce)` return the replacements of `local` and
    `reduce`.
    """

    class _DistWrapper(base):  # type: ignore[misc]
        def reduce_scatter(self, step: str, map_fun: Any, reduce_fun: Any) -> Any:
            running = current.get()
            if running is None or step != "plan":
                return super().reduce_scatter(step, map_fun, reduce_fun)
            if plan is not None:
                map_fun, reduce_fun = plan(running, self, map_fun, reduce_fun)
            running.plan = super().reduce_scatter(step, map_fun, reduce_fun)
            return running.plan

        def all_reduce(self, step: str, map_fun: Any, reduce_fun: Any) -> Any:
            running = current.get()
            if running is not None and step == "write" and written is not None:
                map_fun, reduce_fun = written(running, map_fun, reduce_fun)
            return super().all_reduce(step, map_fun, reduce_fun)

    _DistWrapper.__name__ = _DistWrapper.__qualname__ = base.__name__
    return _DistWrapper
