"""DeepSpeed's flat groups as the parameters they are made of.

Each rank has a part of one long vector. Stages 1 and 2 put the parameters of a group one behind the other and cut that; stage 3 cuts each
parameter into as many parts as there are ranks, and puts a rank's parts one behind the other. `param_shapes` says in which order. Nothing
is copied: a part of a parameter becomes chunks that lie in the flat tensors.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ..formats.limits import MOST_DIMENSIONS
from ..formats.names import numbers
from ..formats.universal import FORMAT as UNIVERSAL
from ..formats.universal import STATE
from ..model import Problem, is_contiguous
from . import tiling
from .put_together import Made, Vector, fragments, length

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..files import Side
    from ..model import Sizes, Values
    from .put_together import Run

_GROUP: Final = re.compile(
    r"optimizer_state_dict\.(fp32_flat_groups|single_partition_of_fp32_groups)\.(\d{1,9})@(\d{1,9})$"
)
#: The moments of the optimizer lie as the values do.
_STATE: Final = re.compile(
    r"optimizer_state_dict\.(?:optimizer_state_dict|base_optimizer_state)\.state\.(\d{1,9})\.(\w+)@(\d{1,9})$"
)
_COUNT: Final = re.compile(r"optimizer_state_dict\.partition_count@")
_MODULE: Final = "module."
#: Ranks along another dimension, whose parts DeepSpeed's own script does not merge either.
_MODEL_RANK: Final = "mp_rank"


@dataclass(frozen=True, slots=True)
class _Model:
    """What the states of the model say: sizes of the parameters by group and name, other tensors, names that are tied."""

    side: Side
    groups: tuple[Mapping[str, Sizes], ...]
    frozen: Mapping[str, Sizes]
    tied: Mapping[str, str]

    @property
    def sizes(self) -> dict[str, Sizes]:
        """Of all trained parameters."""
        return {name: sizes for group in self.groups for name, sizes in group.items()}


@dataclass(frozen=True, slots=True)
class _Flat:
    """The flat tensors of a slot ("" for the values) by group, of each rank in order, and how stage 3 cuts them."""

    by_group: Mapping[int, Sequence[Values]]
    is_stage_3: bool


def rebuilt(side: Side) -> Side | None:
    """A checkpoint of ZeRO, or a universal one, as global tensors, with `optimizer.state.NAME.SLOT` beside them.

    None if it is none of these, where a rank's flat groups are missing, or where there are several ranks of the model.
    """
    model = _model(side)
    if model is None:
        return None
    made, states = Made(), Made()
    universal = next((part for part in side.parts if part.checkpoint.format == UNIVERSAL), None)
    if universal is not None:
        _reshaped(universal, model, made, states)
    else:
        slots = _slots(side)
        if "" not in slots or len(slots[""].by_group) < len(model.groups) * (not slots[""].is_stage_3):
            return None
        for slot, flat in slots.items():
            for name, shape, runs in _placed(model, flat, _paddings(side)):
                (states if slot else made).add(f"{STATE}{name}.{slot}" if slot else name, shape, runs)
    _beside(model, made)
    checkpoint, files = side.checkpoint, model.side.files
    # Beside the weights, where it is compared with what the other has beside them.
    optimizer = replace(checkpoint, path=checkpoint.folder / "optimizer")
    return made.side(checkpoint, files, (states.side(optimizer, files),) if states.tensors else ())


def check(side: Side) -> Iterator[Problem]:
    """CK103 and CK201: parameters of which a universal checkpoint has no folder, or the flat groups not as many elements as they need."""
    model = _model(side)
    universal = next((part for part in side.parts if part.checkpoint.format == UNIVERSAL), None)
    if model is not None and universal is not None:
        there = universal.checkpoint.tensors
        for name, sizes in model.sizes.items():
            if name not in there:
                yield Problem("CK103", f"zero/{name}", "is missing: the states of the model name that parameter")
            elif math.prod(there[name].shape) != math.prod(sizes):
                text = f"has {list(there[name].shape)}, the states of the model say {list(sizes)}"
                yield Problem("CK202", name, text)
        return
    whole = rebuilt(side)
    if model is None or whole is None:
        return
    flat = _slots(side)[""]
    for name in model.sizes:
        yield from tiling.check(whole.checkpoint.tensors[name])
    yield from _left(model, flat, _paddings(side))


def _left(model: _Model, flat: _Flat, paddings: Mapping[int, Sizes]) -> Iterator[Problem]:
    """Elements that no parameter has. DeepSpeed's own script refuses them, beyond what it pads with."""
    ranks = len(next(iter(flat.by_group.values())))
    groups = [model.sizes] if flat.is_stage_3 else list(model.groups)
    for group, shapes in enumerate(groups):
        parts = [
            sum(length(values[rank]) for values in flat.by_group.values())
            if flat.is_stage_3
            else length(flat.by_group[group][rank])
            for rank in range(ranks)
        ]
        counts = [math.prod(sizes) for sizes in shapes.values()]
        needed = sum(-(-n // ranks) for n in counts) * ranks if flat.is_stage_3 else sum(counts)
        needed += 0 if flat.is_stage_3 else sum(paddings.get(group, ()))
        align = 1 if flat.is_stage_3 else 2 * ranks
        if -(-sum(parts) // align) > -(-needed // align):
            what = "the flat groups" if flat.is_stage_3 else f"flat group {group}"
            text = f"{what} of {ranks} ranks have {sum(parts)} elements, the parameters {needed}"
            yield Problem("CK202", flat.by_group[group][0].storage.file, text)


def _model(side: Side) -> _Model | None:
    for part in side.parts:
        objects = part.checkpoint.objects
        first = next((name for name in objects if name.startswith("param_shapes.")), None)
        if first is None:
            continue
        tail = first[first.rfind("@") :] if "@" in first else ""
        groups: defaultdict[int, dict[str, Sizes]] = defaultdict(dict)
        frozen: dict[str, Sizes] = {}
        tied: dict[str, str] = {}
        for key, item in objects.items():
            kind, _, name = key.removesuffix(tail).partition(".")
            if not key.endswith(tail):
                continue
            if isinstance(item.value, tuple) and (len(item.value) > MOST_DIMENSIONS or min(item.value, default=0) < 0):
                continue
            if kind == "param_shapes" and isinstance(item.value, tuple):
                number, _, name = name.partition(".")
                groups[int(number) if number.isdecimal() and len(number) < 9 else 0][name] = item.value
            elif kind == "frozen_param_shapes" and isinstance(item.value, tuple):
                frozen[name] = item.value
            elif kind == "shared_params" and isinstance(item.value, str):
                tied[name] = item.value
        return _Model(part, tuple(groups[number] for number in sorted(groups)), frozen, tied)
    return None


def _slots(side: Side) -> dict[str, _Flat]:
    """The flat tensors by slot; {} where one of a rank is missing."""
    found: defaultdict[str, defaultdict[int, dict[int, Values]]] = defaultdict(lambda: defaultdict(dict))
    is_stage_3 = False
    ranks = 0
    for part in side.parts:
        places = _ranks(part)
        is_whole = places is not None and _world_size(part) in (None, len(places))
        for name in part.checkpoint.tensors:
            values = part.values.get((name, 0))
            group, state = _GROUP.match(name), _STATE.match(name)
            if values is None or places is None or not is_contiguous(values.sizes, values.strides):
                continue
            if not is_whole and (group or state):
                return {}
            if group is not None:
                is_stage_3 |= group[1] == "fp32_flat_groups"
                found[""][int(group[2])][places.get(int(group[3]), -1)] = values
                ranks = len(places)
            elif state is not None and len(values.sizes) == 1:
                found[state[2]][int(state[1])][places.get(int(state[3]), -1)] = values
    kept = found[""].keys()
    if not kept:
        return {}
    slots: dict[str, _Flat] = {}
    for slot, groups in found.items():
        by_group = {
            n: [of[rank] for rank in range(ranks)] for n, of in sorted(groups.items()) if set(of) >= set(range(ranks))
        }
        if by_group.keys() == kept:
            slots[slot] = _Flat(by_group, is_stage_3)
    # What pads the last part is left out of the values that are saved, and not out of the moments.
    lengths = {n: [values.sizes for values in some] for n, some in slots[""].by_group.items()} if "" in slots else {}
    for slot, flat in list(slots.items()):
        if any(length(v) < math.prod(lengths[n][r]) for n, some in flat.by_group.items() for r, v in enumerate(some)):
            del slots[slot]
            continue
        cut = {n: [replace(v, sizes=lengths[n][r]) for r, v in enumerate(some)] for n, some in flat.by_group.items()}
        slots[slot] = replace(flat, by_group=cut)
    return slots if "" in slots else {}


def _world_size(part: Side) -> int | None:
    """How many ranks the flat groups are of, as one of their files says."""
    value = next((item.value for name, item in part.checkpoint.objects.items() if _COUNT.match(name)), None)
    counts = value if isinstance(value, tuple) else (value,)
    return max((count for count in counts if type(count) is int), default=None)


def _ranks(part: Side) -> dict[int, int] | None:
    """The number behind `@` in the names of each file of a family -> its rank; None if they are of several ranks of the model."""
    for family in part.checkpoint.families:
        own = [n for n, label in enumerate(family.labels) if label != _MODEL_RANK]
        tails = numbers(family)
        ranks = {tails[path]: coordinates[own[0]] for coordinates, path in family.members.items()} if own else {}
        if len(own) == 1 and len(set(ranks.values())) == len(ranks):
            return dict(sorted(ranks.items()))
    return None


def _paddings(side: Side) -> dict[int, Sizes]:
    """Elements behind each parameter of a group, where the files say so."""
    found: dict[int, Sizes] = {}
    for part in side.parts:
        for name, item in part.checkpoint.objects.items():
            match = re.match(r"optimizer_state_dict\.param_alignment_paddings\.(\d{1,9})(?:@0)?$", name)
            if match is not None and isinstance(item.value, tuple):
                found[int(match[1])] = item.value
    return found


def _placed(model: _Model, flat: _Flat, paddings: Mapping[int, Sizes]) -> Iterator[tuple[str, Sizes, Iterator[Run]]]:
    """Each parameter with its shape and the runs of its elements."""
    ranks = range(len(next(iter(flat.by_group.values()))))
    if flat.is_stage_3:
        vectors = [Vector([(rank, values[rank]) for values in flat.by_group.values()]) for rank in ranks]
        at = 0
        for name, shape in model.sizes.items():
            count = math.prod(shape)
            part = -(-count // len(ranks))
            spans = [(rank * part, min(part, count - rank * part), rank) for rank in ranks if rank * part < count]
            yield (
                name,
                shape,
                itertools.chain.from_iterable(vectors[rank].runs(at, begin, number) for begin, number, rank in spans),
            )
            at += part
        return
    for group, shapes in enumerate(model.groups):
        after = paddings.get(group, ())
        vector = Vector(list(enumerate(flat.by_group[group])))
        at = 0
        for index, (name, shape) in enumerate(shapes.items()):
            count = math.prod(shape)
            yield name, shape, vector.runs(at, 0, count)
            at += count + (after[index] if index < len(after) else 0)


def _reshaped(universal: Side, model: _Model, made: Made, states: Made) -> None:
    """The tensors of a universal checkpoint; those of stage 3 are flat in it."""
    shapes = model.sizes
    for name, tensor in universal.checkpoint.tensors.items():
        values = universal.values.get((name, 0))
        to = states if name.startswith(STATE) else made
        inside = name.removeprefix(STATE).rpartition(".")[0]
        shape = shapes.get(name) or shapes.get(inside)
        if shape and values is not None and len(tensor.shape) == 1 and math.prod(shape) == tensor.shape[0]:
            to.add(name, shape, [(0, tensor.shape[0], 0, values)])
        else:
            to.copy(name, tensor, values)


def _beside(model: _Model, made: Made) -> None:
    """What is in no flat group: frozen parameters, buffers, second names."""
    places = _ranks(model.side) or {0: 0}
    tensors, values = model.side.checkpoint.tensors, model.side.values
    for name, shape in model.frozen.items():
        parts = [values.get((f"frozen_param_fragments.{name}@{n}", 0)) for n in places]
        there = [part for part in parts if part is not None]
        count = math.prod(shape)
        if there and length(there[0]) == count:
            made.add(name, shape, [(0, count, 0, there[0])])
        elif len(there) == len(places):
            made.add(name, shape, fragments(there, length(there[0]), count))
    for full, tensor in tensors.items():
        name, _, rank = full.removeprefix(_MODULE).rpartition("@")
        is_own = full.startswith(_MODULE) and rank == "0"
        if is_own and name not in made.tensors and 0 not in tensor.shape and name not in model.tied:
            made.copy(name, tensor, values.get((full, 0)))
    for name, source in model.tied.items():
        if source in made.tensors:
            made.alias(name, source)
