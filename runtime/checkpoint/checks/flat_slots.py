"""The flat tensors of DeepSpeed's ZeRO by group and rank: parameter values and optimizer moments."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from ...quantities import ranks_text
from ..formats.names import numbers
from ..model import Problem, is_contiguous
from . import model_ranks
from .optimizer import LIKE_PARAMETER
from .put_together import length

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..files import Side
    from ..model import Values

_GROUP: Final = re.compile(
    r"(optimizer_state_dict\.(fp32_flat_groups|single_partition_of_fp32_groups)\.(\d{1,9}))@(\d{1,9})$"
)
#: The moments of the optimizer lie as the values do.
_STATE: Final = re.compile(
    r"(optimizer_state_dict\.(?:optimizer_state_dict|base_optimizer_state)\.state\.(\d{1,9})\.(\w+))@(\d{1,9})$"
)
_COUNT: Final = re.compile(r"optimizer_state_dict\.partition_count@")


@dataclass(frozen=True, slots=True)
class Flat:
    """The flat tensors of a slot ("" for the values): by group, one per rank in order; and whether stage 3 cut them."""

    by_group: Mapping[int, Sequence[Values]]
    is_stage_3: bool


@dataclass(slots=True)
class _Found:
    """The flat tensors found in the files by slot, group and rank; None where one is not read. `names` have no rank."""

    tensors: defaultdict[str, defaultdict[int, dict[int, Values | None]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(dict))
    )
    names: dict[tuple[str, int], str] = field(default_factory=dict)
    ranks: int = 0
    #: The ranks whose files were read.
    read: set[int] = field(default_factory=set)
    is_stage_3: bool = False


def _found(side: Side) -> _Found:
    """The flat tensors of all ranks; empty if a rank's file is missing, or there are several model-parallel ranks."""
    found = _Found()
    for part in side.parts:
        places = ranks_of(part)
        is_whole = places is not None and _world_size(part) in (None, len(places))
        for name, tensor in part.checkpoint.tensors.items():
            group, state = _GROUP.match(name), _STATE.match(name)
            if places is None or (group is None and state is None):
                continue
            if not is_whole:
                return _Found()
            values = part.values.get((name, 0))
            if values is not None and not is_contiguous(values.sizes, values.strides):
                values = None
            if group is not None and int(group[4]) in places:
                found.is_stage_3 |= group[2] == "fp32_flat_groups"
                found.tensors[""][int(group[3])][places[int(group[4])]] = values
                found.names[("", int(group[3]))] = group[1]
                found.ranks, found.read = len(places), read_by(part, places)
            elif state is not None and len(tensor.shape) == 1 and int(state[4]) in places:
                found.tensors[state[3]][int(state[2])][places[int(state[4])]] = values
                found.names[(state[3], int(state[2]))] = state[1]
    return found


def slots(side: Side) -> dict[str, Flat]:
    """The flat tensors by slot; {} if one of a rank is missing."""
    found = _found(side)
    ranks = range(found.ranks)
    whole: dict[str, dict[int, list[Values]]] = {}
    for slot, groups in found.tensors.items():
        whole[slot] = {}
        for n, of in sorted(groups.items()):
            some = [values for rank in ranks if (values := of.get(rank)) is not None]
            if len(some) == len(ranks):
                whole[slot][n] = some
    kept = whole.get("", {})
    if not kept or kept.keys() != found.tensors[""].keys():
        return {}
    made: dict[str, Flat] = {}
    for slot, groups_ in whole.items():
        if groups_.keys() != kept.keys():
            continue
        if any(length(v) < length(kept[n][r]) for n, some in groups_.items() for r, v in enumerate(some)):
            continue
        # What pads the last part is left out of the values that are saved, and not out of the moments.
        cut = {n: [replace(v, sizes=kept[n][r].sizes) for r, v in enumerate(some)] for n, some in groups_.items()}
        made[slot] = Flat(cut, found.is_stage_3)
    return made


def check(side: Side) -> Iterator[Problem]:
    """CK103 and CK202: flat tensors missing on some ranks only, and moments shorter than their values."""
    found = _found(side)
    lost: defaultdict[tuple[int, ...], list[str]] = defaultdict(list)
    for slot, groups in found.tensors.items():
        for group, of in sorted(groups.items()):
            name, needed = found.names[(slot, group)], found.tensors[""].get(group, {})
            counts = {rank: length(values) for rank, values in of.items() if values is not None}
            wanted = {rank: length(values) for rank, values in needed.items() if values is not None}
            # A state of another form, such as a scale of each block, says nothing about its other ranks.
            most = max(counts.values(), default=0)
            # Empty ones are kept elsewhere.
            is_known = slot in LIKE_PARAMETER and most > 1
            is_as_values = not slot or is_known or (max(wanted.values(), default=0) <= most > 1)
            absent = tuple(sorted(found.read - of.keys()))
            if absent and is_as_values:
                lost[absent].append(name)
            for rank, count in sorted(counts.items()):
                if is_as_values and count < (wanted.get(rank, 0) if is_known else min(wanted.get(rank, 0), most)):
                    text = f"has {count} elements on rank {rank}, and flat group {group} has {wanted[rank]} there"
                    yield Problem("CK202", name, text)
    for ranks, names in lost.items():
        more = f" (and {count} more name{'s' * (count != 1)})" if (count := len(names) - 1) else ""
        text = f"is missing from the file of {ranks_text(ranks)}{more}, and the files of the other ranks have it"
        yield Problem("CK103", names[0], text)


def _world_size(part: Side) -> int | None:
    """The number of ranks that the flat groups are divided over, as one of their files records it; None if unknown."""
    value = next((item.value for name, item in part.checkpoint.objects.items() if _COUNT.match(name)), None)
    counts = value if isinstance(value, tuple) else (value,)
    return max((count for count in counts if type(count) is int), default=None)


def ranks_of(part: Side) -> dict[int, int] | None:
    """The number after `@` in the names of each file -> its rank; None if there are several model-parallel ranks."""
    for family in part.checkpoint.families:
        own = [n for n, label in enumerate(family.labels) if label != model_ranks.LABEL]
        tails = numbers(family)
        ranks = {tails[path]: coordinates[own[0]] for coordinates, path in family.members.items()} if own else {}
        if len(own) == 1 and len(set(ranks.values())) == len(ranks):
            return dict(sorted(ranks.items()))
    return None


def read_by(part: Side, places: Mapping[int, int]) -> set[int]:
    """The ranks with a file from which something was read."""
    tails = {name.rpartition("@")[2] for name in (*part.checkpoint.tensors, *part.checkpoint.objects)}
    return {rank for number, rank in places.items() if str(number) in tails}
