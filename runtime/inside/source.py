"""What stands between "a call was made on a group" and the library whose call it was: torch is one such library."""

from __future__ import annotations

from typing import Any, Protocol


class Source(Protocol):
    """A library of collectives, asked by the tracer about its groups, which may be objects of any kind that can be referred to weakly.

    Its calls are reported to the tracer: `start` when the process has joined a job, `register` for each group that is made, then
    `begin` before and `end` behind each call, `mark` where it comes back before it has ended, and `destroy`.
    The operations and the fields of their signatures are those of `operations`; dtypes are "torch.float32" and the like.
    """

    @property
    def folder(self) -> str:
        """Where the library's own code lies; call sites are outside of it."""

    def ranks(self, group: Any) -> tuple[int, ...]:
        """The members as ranks in the whole job, by their rank in the group."""

    def description(self, group: Any) -> str:
        """What the user calls the group; "default_pg" for all ranks of the job, "" for no name."""

    def timeout(self, group: Any) -> float:
        """How long (in seconds) a call on the group may take, 0.0 if that is not known."""

    def has_accelerator(self) -> bool:
        """Whether the process computes on a device that Python has to wait for."""

    def connect(self, prefix: str) -> Any | None:
        """A connection of the tracer's own to the job's torch.distributed.Store or its like; None if there is none.

        Without, what several hosts have seen is not compared. `prefix` keeps its keys from those of the job.
        """
