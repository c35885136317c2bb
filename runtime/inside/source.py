"""The interface between the tracer and the collective library whose calls it records; torch is one such library."""

from __future__ import annotations

from typing import Any, Protocol


class Source(Protocol):
    """A library of collectives, which the tracer queries about its groups: any objects that allow weak references.

    The library's hooks report to the tracer: `start` when the process has joined a job, `register` for each group that
    is created, `begin` before and `end` after each call, `mark` when the call returns before it is complete, and
    `destroy`. The operations and the fields of their signatures are those of `operations`; dtypes are "torch.float32"
    and the like.
    """

    @property
    def folder(self) -> str:
        """Where the library's own code lies; call sites are outside of it."""

    def ranks(self, group: Any) -> tuple[int, ...]:
        """The members of the group as global ranks, by their rank in the group."""

    def description(self, group: Any) -> str:
        """The user's name for the group; "default_pg" for all ranks of the job, "" if it has no name."""

    def timeout(self, group: Any) -> float:
        """How long (in seconds) a call on the group may take, 0.0 if that is not known."""

    def has_accelerator(self) -> bool:
        """Whether the process computes on a device that Python has to wait for."""

    def connect(self, prefix: str) -> Any | None:
        """A separate connection to the job's torch.distributed.Store or an equivalent; None if there is none.

        Without one, ranks on different hosts are not compared. `prefix` keeps its keys apart from the job's.
        """
