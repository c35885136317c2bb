"""Different chunks of one tensor that hold the same bytes (CK203)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ..model import Problem
from .constant import is_constant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..files import Files, Key
    from ..model import Checkpoint, Values

#: A few numbers may well be the same on two ranks.
_SMALL: Final = 64


def repeated(checkpoint: Checkpoint, found: Mapping[Key, Values], files: Files) -> Iterator[Problem]:
    """CK203: different chunks of one tensor that hold the same bytes, unless they are constant.

    A few such tensors may be correct: experts with equal initial values, replicated heads. If most are, it is one
    rank's data.
    """
    problems = []
    sharded = 0
    for tensor in checkpoint.tensors.values():
        same: defaultdict[object, list[int]] = defaultdict(list)
        for index, chunk in enumerate(tensor.chunks if len(tensor.chunks) > 1 else ()):
            values = found.get((tensor.name, index))
            if values is not None and values.crc is not None and values.is_whole and values.storage.length > _SMALL:
                same[(values.crc, chunk.sizes)].append(index)
        groups = [
            indices
            for indices in same.values()
            if len(indices) == 1 or not is_constant(found[(tensor.name, indices[0])], files)
        ]
        sharded += sum(map(len, groups)) > 1
        for indices in groups:
            if len(indices) > 1:
                places = " and ".join(str(list(tensor.chunks[index].offsets)) for index in indices[:3])
                size = found[(tensor.name, indices[0])].storage.length
                text = f"the chunks at {places} hold the same {size} bytes: one rank's data saved twice, or parts that are alike"
                problems.append(Problem("CK203", tensor.name, text, chunks=tuple(indices)))
    is_most = len(problems) > 1 and 2 * len({problem.where for problem in problems}) > sharded
    yield from (problem if is_most else replace(problem, severity="note") for problem in problems)
