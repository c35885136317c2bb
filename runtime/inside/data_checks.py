"""`--check-data`: records which parameter each call is passed, and a checksum of the result it leaves.

Both are compared between ranks where they should be equal (verdict/data.py). No tensor is changed, kept alive or waited
for. Autograd, torch.compile and the program's own modes see none of this, since memory is read directly and no operator
is called.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from torch.utils.weak import TensorWeakRef

from ..checkpoint.formats.crc import crc32
from ..say import say
from ..traces.model import Argument, State
from . import torch_api, torch_regions
from .parameters import Parameters
from .tracer import Tracer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import torch

    from ..environment import OnDivergence
    from ..operations import Operation
    from ..traces.writer import Writer
    from .source import Source
    from .tracer import Told

#: So many results are remembered of calls that have not ended, the last ones: handles may be dropped without a wait.
_MOST: Final = 128
#: Addresses where the memory of a tensor begins and ends.
_Span: TypeAlias = "tuple[int, int]"


class CheckingTracer(Tracer):
    """A tracer that also records the tensors of each call."""

    def __init__(self, folder: Path, source: Source, watch: OnDivergence | None = None) -> None:
        """See Tracer."""
        super().__init__(folder, source, watch)
        self.completed = self._complete
        self._is_broken = False
        #: From the first group on.
        self._parameters: Parameters | None = None
        #: By the number of a call: the tensors that its result will be in, and their memory.
        self._pending: dict[int, tuple[list[TensorWeakRef], list[_Span]]] = {}
        self._ids: dict[Argument, int] = {}

    def start(self, rank: int, world_size: int, store: str) -> None:
        """See Tracer. Modules are searched for from here on."""
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
        """A callback to run before each call of an operation; None if neither argument nor result is comparable."""
        if not operation.same_argument and not operation.same_result:
            return None

        identifies, expects = operation.same_argument, operation.same_result

        def called(
            number: int, given: Any, result: Any = None, *, whole: Sequence[Any] | None = None, waits: bool = True
        ) -> None:
            """Record the tensors of call `number`. `given` is a tensor or nested lists of them.

            `whole` are the tensors that C++ was passed and may have packed into `given`. `result` is the return value
            of a functional collective. `waits` is False if C++ itself waits for the result, unseen, during the
            backward pass: the call then counts as complete after that.
            """
            if not number or self._is_broken:
                return
            try:
                with torch_api.unobserved():
                    tensors = list(_flat(given))
                    if identifies and whole is not None:
                        self._identify_all(number, whole)
                    elif identifies and len(tensors) == 1:
                        self._identify(number, tensors[0])
                    if expects:
                        self._expect(number, tensors if result is None else list(_flat(result)))
                        if not waits and number in self._pending:
                            torch_regions.behind_backward(lambda: self._complete(number))
            except Exception as error:
                self._break(error)

        return torch_api.uncompiled(called)

    def end(self, number: int, state: State) -> None:
        """Record that the call has ended, and the checksum of its result if it succeeded."""
        super().end(number, state)
        if number:
            self._complete(number, is_there=state is State.DONE)

    def _complete(self, number: int, *, is_there: bool = True) -> None:
        """Store the checksum of a call whose result the program may use now, or drop it if there is no result."""
        expected = self._pending.pop(number, None)
        if expected is None or not is_there or self._is_broken:
            return
        refs, spans = expected
        try:
            with torch_api.unobserved():
                # Held while their memory is read.
                tensors = [ref() for ref in refs]
                if self._writer is not None and all(map(_is_there, tensors, spans)):
                    self._writer.checksum(number, _checksum(spans))
        except Exception as error:
            self._break(error)

    def _identify(self, number: int, tensor: Any) -> None:
        writer, parameters = self._writer, self._parameters
        if writer is None or parameters is None or not torch_api.is_plain(tensor):
            return
        argument = parameters.of(tensor)
        if argument is not None:
            self._note(writer, number, argument)

    def _identify_all(self, number: int, tensors: Sequence[Any]) -> None:
        writer, parameters = self._writer, self._parameters
        if writer is None or parameters is None:
            return
        found = [parameters.of(tensor) if torch_api.is_plain(tensor) else None for tensor in tensors]
        if any(found):
            names = tuple(argument.names[0] if argument is not None else "" for argument in found)
            self._note(writer, number, Argument("tensors", names))

    def _note(self, writer: Writer, number: int, argument: Argument) -> None:
        known = self._ids.get(argument)
        if known is None:
            stored = {"part": argument.part, "names": argument.names}
            known = self._ids[argument] = writer.name("argument", stored)
        writer.argument(number, known)

    def _expect(self, number: int, tensors: list[Any]) -> None:
        if not all(map(_is_readable, tensors)):
            return
        spans = [(begin := tensor.data_ptr(), begin + _size(tensor)) for tensor in tensors]
        # Of two calls at once on the same memory neither result is what the other ranks have to have.
        is_shared = False
        for other, (refs, taken) in list(self._pending.items()):
            if all(ref() is None for ref in refs):
                # Its result is not used, or only by C++.
                self._pending.pop(other, None)
            elif any(begin < there and here < end for begin, end in spans for here, there in taken):
                self._pending.pop(other, None)
                is_shared = True
        if not is_shared:
            self._pending[number] = ([TensorWeakRef(tensor) for tensor in tensors], spans)
            if len(self._pending) > _MOST:
                self._pending.pop(next(iter(self._pending)), None)

    def _break(self, error: Exception) -> None:
        """Report the error and stop checking data. The job and the record of its calls go on."""
        self._is_broken = True
        say(f"collectivelint: data is not checked from here on: {type(error).__name__}: {error}\n")


def _flat(given: Any) -> Iterator[Any]:
    """Yield a tensor, or each tensor in nested lists."""
    if isinstance(given, (list, tuple)):
        for item in given:
            yield from _flat(item)
    else:
        yield given


def _is_readable(tensor: Any) -> bool:
    """Whether a tensor is a plain, contiguous CPU tensor in memory that is not shared.

    Another process may write to shared memory at any time.
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


def _is_there(tensor: Any, span: _Span) -> bool:
    """Whether a tensor is still alive and still uses the same memory."""
    if tensor is None or tensor.data_ptr() != span[0]:
        return False
    storage = _storage(tensor)
    return bool(span[1] <= storage.data_ptr() + storage.nbytes())


def _checksum(spans: list[_Span]) -> int:
    """CRC-32 of the bytes in memory, never 0."""
    found = 0
    for begin, end in spans:
        if begin < end:
            found = crc32(memoryview((ctypes.c_char * (end - begin)).from_address(begin)), found)
    return found or 1
