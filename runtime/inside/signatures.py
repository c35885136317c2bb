"""The recorded signature of a call: operation, tensors, reduce operation, splits; and the part equal on all ranks.

A call is identified by a key that is cheap to build and to compare. Each new key is described once.
"""

from __future__ import annotations

import json
import math
import zlib
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from ..operations import LOOSE, P2P, SHAPED, dtypes

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    import torch

    from ..traces.writer import Writer
    from .groups import Group

#: So many signatures are told apart; where every call has another one (splits of a mixture of experts), the rest goes without.
_MOST: Final = 8192

#: Position of what follows operation and tensors in a key.
_REST: Final = ("reduce_op", "output_split_sizes", "input_split_sizes")


def shapes(tensors: Sequence[torch.Tensor]) -> tuple[Any, ...]:
    """Shape and dtype of each tensor."""
    if len(tensors) == 1:
        tensor = tensors[0]
        return ((tensor.shape, tensor.dtype),)
    return tuple([(tensor.shape, tensor.dtype) for tensor in tensors])


def nested(lists: Sequence[Sequence[torch.Tensor]]) -> tuple[Any, ...]:
    """Shape and dtype of each tensor in lists of tensors, flattened."""
    return tuple([(tensor.shape, tensor.dtype) for tensors in lists for tensor in tensors])


#: What stands in the place of the tensors where a group is made: the rest of the key are its ranks.
CREATES: Final = "creates"


def describe(key: tuple[Any, ...]) -> dict[str, Any]:
    """The signature of a key, as it is stored.

    A key is (operation, tensors, reduce operation, output splits, input splits), (send or recv, tensors, tag), or
    (function, CREATES, ranks of the new groups).
    """
    op, tensors, *rest = key
    found: dict[str, Any] = {"op": op}
    if tensors == CREATES:
        return {**found, "ranks": rest[0]}
    if tensors is not None:
        what = "tensors" if op in SHAPED or op in LOOSE else "sent"
        found[what] = [[list(map(int, shape)), str(dtype)] for shape, dtype in tensors]
    if op in P2P:
        return {**found, "tag": rest[0]} if rest[0] else found
    for name, value in zip(_REST, rest, strict=False):
        if value is not None and value != ():
            found[name] = reduce_name(value) if name == "reduce_op" else list(map(int, value))
    return found


def plain(key: tuple[Any, ...]) -> tuple[Any, ...]:
    """The key without shapes and splits, which may be too varied to store."""
    op, tensors, *rest = key
    return (op, tensors, *rest) if tensors == CREATES else (op, None, *rest[:1])


def compared(signature: dict[str, Any]) -> dict[str, Any]:
    """The part of a stored signature that has to be equal on all ranks of a group."""
    kept: dict[str, Any] = {name: signature[name] for name in ("op", "reduce_op", "ranks") if name in signature}
    if signature["op"] in SHAPED and "tensors" in signature:
        # As many numbers of the same kind are enough: a rank without data may hand in `zeros(1)` where others have `loss`.
        kept["tensors"] = [[math.prod(shape), dtype] for shape, dtype in signature["tensors"]]
    elif (found := dtypes(signature)) is not None:
        kept["dtypes"] = found
    return kept


def weight(signature: dict[str, Any]) -> int:
    """A CRC-32 of the compared part, the same in every process; a stream's hash is built from it."""
    return zlib.crc32(json.dumps(compared(signature), sort_keys=True).encode())


def reduce_name(op: Any) -> str:
    """The name of a reduce operation, given as torch's object, as its number (from the dispatcher), or as a string."""
    if isinstance(op, str):
        return {"avg": "AVG", "product": "PRODUCT"}.get(op, op.upper())
    number = op if isinstance(op, int) else int(getattr(op, "op", op))
    return _reduce_names().get(number, "?")


@cache
def _reduce_names() -> dict[int, str]:
    # Not at the top: this is imported while torch still is.
    import torch

    kinds: Any = torch.distributed.ReduceOp.RedOpType
    return {int(value): name for name, value in kinds.__members__.items()}


class Signatures:
    """The signatures of a trace by key: the number of each, and its weight in the hash of a stream."""

    def __init__(self, lock: threading.RLock) -> None:
        """`lock` is held while a new signature is stored."""
        self._lock = lock
        self._known: dict[Any, tuple[int, int]] = {}

    def clear(self) -> None:
        """Forget all: another trace begins."""
        self._known.clear()

    def of(self, writer: Writer, group: Group, key: tuple[Any, ...]) -> tuple[int, int]:
        """Number and weight of a signature that is new on the group; remembered there unless there are too many."""
        with self._lock:
            found = self._known.get(key)
            if found is None and len(self._known) < _MOST:
                stored = describe(key)
                found = self._known[key] = (writer.name("signature", stored), weight(stored))
            if found is not None:
                group.signatures[key] = found
                return found
            # Its weight still tells when ranks disagree.
            bare = plain(key)
            known = self._known.get(bare)
            if known is None:
                known = self._known[bare] = (writer.name("signature", describe(bare)), 0)
            return (known[0], weight(describe(key)))
