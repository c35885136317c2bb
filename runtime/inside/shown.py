"""What collectives reveal about tensors: which are one rank's part of a larger one, and which are equal on every rank.

For the audit of checkpoints. Only addresses and shapes are stored: no tensor is kept alive, and no values are read.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .tracer import Tracer

Shape: TypeAlias = "tuple[int, ...]"
Ranks: TypeAlias = "tuple[int, ...]"
#: So many addresses are kept; a job that gathers ever new tensors forgets all of them and begins again.
_MOST: Final = 10_000
#: Operations that leave every rank with the same tensor.
_ALIKE: Final = frozenset({"all_reduce", "all_reduce_coalesced", "broadcast"})


class Shown:
    """The tensors of this process that its collectives have used."""

    def __init__(self, tracer: Tracer) -> None:
        """Nothing has been called yet."""
        # Not at the top: the auditor is imported while torch still is.
        from torch.multiprocessing.reductions import StorageWeakRef

        self._tracer = tracer
        self._storage: Any = StorageWeakRef
        #: Address and shape of what this rank has contributed to an all_gather -> its storage, and the ranks of the group.
        self._gathered: dict[tuple[int, Shape], tuple[Any, Ranks]] = {}

    def gather(self, group: Any, tensors: Iterable[Any]) -> None:
        """Note that this rank contributes the tensors to an all_gather on a group."""
        ranks = self._tracer.ranks_of(group)
        if len(ranks) < 2:
            return
        if len(self._gathered) > _MOST:
            self._gathered.clear()
        # Of tensors without a storage nothing is kept.
        with suppress(RuntimeError, NotImplementedError):
            for tensor in tensors:
                self._gathered[tensor.data_ptr(), tensor.shape] = self._storage(tensor.untyped_storage()), ranks

    def gathered(self) -> dict[tuple[int, Shape], Ranks]:
        """Address and shape of each tensor contributed to an all_gather and still alive -> the ranks of the group."""
        # An address may come again.
        return {key: ranks for key, (storage, ranks) in list(self._gathered.items()) if not storage.expired()}

    def alike(self) -> Iterator[tuple[Ranks, Shape]]:
        """The ranks of each group of several, with the shape of each tensor all-reduced or broadcast on it."""
        for ranks, key in self._tracer.signatures():
            if key[0] in _ALIKE and len(ranks) > 1 and key[1] is not None:
                for shape, _ in key[1]:
                    yield ranks, tuple(shape)


#: The one of this process, if it is traced.
_all: list[Shown] = []


def begin(tracer: Tracer) -> Shown:
    """Create the one of this process; the tracer's hooks fill it from here on."""
    _all[:] = [Shown(tracer)]
    return _all[0]


def current() -> Shown | None:
    """The one of this process; None if it is not traced."""
    return _all[0] if _all else None
