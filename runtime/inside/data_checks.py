"""`--check-data`: which parameter each call was passed, and a checksum of what it has left there.

Both are compared between ranks where that says something (verdict/data.py). No tensor is changed, kept alive or waited for;
nothing of this is seen by autograd, torch.compile or the program's own modes, since memory is read and no operator called.
"""

from __future__ import annotations

import ctypes
import zlib
from typing import TYPE_CHECKING, Any, Final

from torch.utils.weak import TensorWeakRef

from ..say import say
from ..traces.model import State
from . import torch_api
from .parameters import Parameters
from .tracer import Tracer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import torch

    from ..environment import OnDivergence
    from ..operations import Operation
    from ..traces.model import Argument
    from .source import Source
    from .tracer import Told

#: So many results are remembered of calls that have not ended, the last ones: handles may be dropped without a wait.
_MOST: Final = 1024


class CheckingTracer(Tracer):
    """A tracer that records which data calls are made with, as well."""

    def __init__(self, folder: Path, source: Source, watch: OnDivergence | None = None) -> None:
        """As a tracer."""
        super().__init__(folder, source, watch)
        self.completed = self._complete
        self._is_broken = False
        #: From the first group on.
        self._parameters: Parameters | None = None
        #: By the number of a call: the tensors that its result will be in, and where their memory begins and ends.
        self._pending: dict[int, tuple[list[TensorWeakRef], list[tuple[int, int]]]] = {}
        self._ids: dict[Argument, int] = {}

    def start(self, rank: int, world_size: int, store: str) -> None:
        """As a tracer; modules are looked for from here on."""
        before = self._writer
        super().start(rank, world_size, store)
        if self._writer is not before:
            self._ids.clear()
            self._pending.clear()
        try:
            self._parameters = self._parameters or Parameters()
        except Exception as error:
            self._break(error)

    def watch(self, operation: Operation) -> Told | None:
        """What is to be called before each call of an operation is made; None if nothing of it can be compared."""
        if not operation.same_argument and not operation.same_result:
            return None

        def called(number: int, given: Any, result: Any = None) -> None:
            """`given` are one or more tensors, of a functional collective those that it returns are in `result`."""
            if not number or self._is_broken:
                return
            try:
                with torch_api.unobserved():
                    if operation.same_argument and result is None:
                        self._identify(number, list(_flat(given)))
                    if operation.same_result:
                        self._expect(number, list(_flat(given if result is None else result)))
            except Exception as error:
                self._break(error)

        return called

    def end(self, number: int, state: State) -> None:
        """The call has ended: what it leaves is there now."""
        super().end(number, state)
        if number:
            self._complete(number, is_there=state is State.DONE)

    def _complete(self, number: int, *, is_there: bool = True) -> None:
        """The program may use the result of a call from here on, or there is none."""
        expected = self._pending.pop(number, None)
        if expected is None or not is_there or self._is_broken:
            return
        try:
            tensors = [ref() for ref in expected[0]]
            with torch_api.unobserved():
                if self._writer is not None and all(tensor is not None and _is_readable(tensor) for tensor in tensors):
                    self._writer.checksum(number, _checksum(tensors))
        except Exception as error:
            self._break(error)

    def _identify(self, number: int, tensors: list[Any]) -> None:
        writer, parameters = self._writer, self._parameters
        if len(tensors) != 1 or not torch_api.is_plain(tensors[0]) or writer is None or parameters is None:
            return
        argument = parameters.of(tensors[0])
        if argument is None:
            return
        known = self._ids.get(argument)
        if known is None:
            stored = {"part": argument.part, "names": argument.names}
            known = self._ids[argument] = writer.name("argument", stored)
        writer.argument(number, known)

    def _expect(self, number: int, tensors: list[Any]) -> None:
        if not all(map(_is_readable, tensors)):
            return
        spans = [(tensor.data_ptr(), tensor.data_ptr() + _size(tensor)) for tensor in tensors]
        # Of two calls at once on the same memory neither result is what the other ranks have to have.
        is_shared = False
        for other, (refs, taken) in list(self._pending.items()):
            if any(begin < there and here < end for begin, end in spans for here, there in taken):
                self._pending.pop(other, None)
                is_shared = is_shared or any(ref() is not None for ref in refs)
        if not is_shared:
            self._pending[number] = ([TensorWeakRef(tensor) for tensor in tensors], spans)
            if len(self._pending) > _MOST:
                self._pending.pop(next(iter(self._pending)), None)

    def _break(self, error: Exception) -> None:
        """The job, and the record of its calls, go on without."""
        self._is_broken = True
        say(f"collectivelint: data is not checked from here on: {type(error).__name__}: {error}\n")


def _flat(given: Any) -> Iterator[Any]:
    """A tensor, or those of a list or of lists."""
    if isinstance(given, (list, tuple)):
        for item in given:
            yield from _flat(item)
    else:
        yield given


def _is_readable(tensor: Any) -> bool:
    """Whether a tensor is an ordinary one in this process's own memory, in one piece.

    Memory that several ranks share may be written to by another one meanwhile.
    """
    return bool(
        torch_api.is_plain(tensor)
        and tensor.is_cpu
        and tensor.is_contiguous()
        and not _storage(tensor).is_shared()
        and _storage(tensor).nbytes() >= tensor.storage_offset() * tensor.element_size() + _size(tensor)
    )


def _storage(tensor: torch.Tensor) -> Any:
    return tensor.untyped_storage()


def _size(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _checksum(tensors: list[Any]) -> int:
    """CRC-32 over the bytes of the tensors, never 0."""
    found = 0
    for tensor in tensors:
        size = _size(tensor)
        if size:
            found = zlib.crc32((ctypes.c_char * size).from_address(tensor.data_ptr()), found)
    return found or 1
