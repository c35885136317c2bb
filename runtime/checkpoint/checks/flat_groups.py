"""DeepSpeed's flat groups, mapped back to the parameters they consist of.

Each rank has a part of one long vector. Stages 1 and 2 concatenate the parameters of a group and cut the result into
one part per rank; stage 3 cuts each parameter into one part per rank and concatenates a rank's parts. `param_shapes`
gives the order. Nothing is copied: a part of a parameter becomes chunks that lie in the flat tensors.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ...quantities import ranks_text
from ..formats.limits import MOST_DIMENSIONS
from ..formats.universal import FORMAT as UNIVERSAL
from ..formats.universal import STATE
from ..model import Problem
from . import flat_slots, model_ranks, tiling
from .put_together import Made, Vector, fragments, length

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..files import Side
    from ..model import Sizes
    from .flat_slots import Flat
    from .put_together import Run

_MODULE: Final = "module."


@dataclass(frozen=True, slots=True)
class _Model:
    """What the model states record: parameter sizes by group and name, frozen parameters, tied names."""

    side: Side
    groups: tuple[Mapping[str, Sizes], ...]
    frozen: Mapping[str, Sizes]
    tied: Mapping[str, str]

    @property
    def sizes(self) -> dict[str, Sizes]:
        """The sizes of all trained parameters."""
        return {name: sizes for group in self.groups for name, sizes in group.items()}


def rebuilt(side: Side) -> Side | None:
    """A ZeRO or universal checkpoint as global tensors, with `optimizer.state.NAME.SLOT` beside them.

    None for any other checkpoint, if a rank's flat groups are missing, or if there are several model-parallel ranks.
    """
    model = _model(side)
    if model is None:
        return None
    made, states = Made(), Made()
    universal = next((part for part in side.parts if part.checkpoint.format == UNIVERSAL), None)
    if universal is not None:
        _reshaped(universal, model, made, states)
    else:
        slots = flat_slots.slots(side)
        if "" not in slots or any(_lacking(model, slots[""])):
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
    """CK103, CK201 and CK202: missing parameters of a universal checkpoint, flat groups of the wrong size."""
    sides = model_ranks.each(side)
    for number, one in sides.items():
        for problem in _check(one):
            yield problem if len(sides) == 1 else replace(problem, text=f"{problem.text} (mp_rank {number})")


def _check(side: Side) -> Iterator[Problem]:
    model = _model(side)
    if model is not None:
        yield from _frozen(model)
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
    yield from flat_slots.check(side)
    flat = flat_slots.slots(side).get("")
    if model is None or flat is None:
        return
    yield from _lacking(model, flat)
    yield from _beyond(model, flat)
    whole = rebuilt(side)
    if whole is None:
        return
    for name in model.sizes:
        yield from tiling.check(whole.checkpoint.tensors[name])
    yield from _left(model, flat, _paddings(side))


def _lacking(model: _Model, flat: Flat) -> Iterator[Problem]:
    """Report groups of parameters without a flat group on any rank. Not for stage 3, which has other groups."""
    for group, shapes in enumerate(() if flat.is_stage_3 else model.groups):
        if group not in flat.by_group and shapes:
            first, *others = shapes
            what = f"`{first}`" + (f" and {len(others)} more" if others else "")
            text = f"is in no file: param_shapes says that it has the fp32 values of {what}"
            yield Problem("CK103", f"flat group {group}", text)


def _beyond(model: _Model, flat: Flat) -> Iterator[Problem]:
    """Report flat groups for which the model states name no parameters."""
    for group, values in flat.by_group.items():
        count = sum(map(length, values))
        if not flat.is_stage_3 and 0 < len(model.groups) <= group and count:
            text = f"flat group {group} has {count} elements, and param_shapes names the parameters of {len(model.groups)} groups"
            yield Problem("CK202", values[0].storage.file, text)


def _frozen(model: _Model) -> Iterator[Problem]:
    """Report frozen parameters with fragments that are missing on some ranks or too short."""
    made, places = Made(), flat_slots.ranks_of(model.side)
    objects = model.side.checkpoint.objects
    world_size = next((item.value for name, item in objects.items() if name.startswith("dp_world_size@")), None)
    is_split = any(len(family.members) > 1 for family in model.side.checkpoint.families)
    if is_split if places is None else len(places) != (world_size or len(places)):
        # Of several ranks of the model, or without the file of one, which is reported as that.
        return
    places = places or {0: 0}
    _beside(model, made)
    read = flat_slots.read_by(model.side, places)
    for name in model.frozen:
        full = f"frozen_param_fragments.{name}"
        absent = {r for n, r in places.items() if r in read and f"{full}@{n}" not in model.side.checkpoint.tensors}
        if absent:
            text = f"is missing from the file of {ranks_text(absent)}: frozen_param_shapes names that parameter"
            yield Problem("CK103", full, text)
        elif name in made.tensors:
            yield from tiling.check(made.tensors[name])


def _left(model: _Model, flat: Flat, paddings: Mapping[int, Sizes]) -> Iterator[Problem]:
    """Report elements beyond all parameters and padding, which DeepSpeed's own script rejects."""
    ranks = len(next(iter(flat.by_group.values())))
    groups = [model.sizes] if flat.is_stage_3 else list(model.groups)
    for group, shapes in enumerate(groups):
        if not shapes:
            continue
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
        # One without parameters is not named; the flat groups are numbered with it.
        last = max(groups, default=-1)
        order = range(last + 1) if last < len(objects) else sorted(groups)
        return _Model(part, tuple(groups[number] for number in order), frozen, tied)
    return None


def _paddings(side: Side) -> dict[int, Sizes]:
    """The padding behind each parameter of a group in elements, if the files record it."""
    found: dict[int, Sizes] = {}
    for part in side.parts:
        for name, item in part.checkpoint.objects.items():
            match = re.match(r"optimizer_state_dict\.param_alignment_paddings\.(\d{1,9})(?:@0)?$", name)
            if match is not None and isinstance(item.value, tuple):
                found[int(match[1])] = item.value
    return found


def _placed(model: _Model, flat: Flat, paddings: Mapping[int, Sizes]) -> Iterator[tuple[str, Sizes, Iterator[Run]]]:
    """Each parameter with its shape and the runs of its elements in the flat tensors."""
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
        if not shapes:
            continue
        after = paddings.get(group, ())
        vector = Vector(list(enumerate(flat.by_group[group])))
        at = 0
        for index, (name, shape) in enumerate(shapes.items()):
            count = math.prod(shape)
            yield name, shape, vector.runs(at, 0, count)
            at += count + (after[index] if index < len(after) else 0)


def _reshaped(universal: Side, model: _Model, made: Made, states: Made) -> None:
    """Add the tensors of a universal checkpoint in their original shape; stage 3 stores them flat."""
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
    """Add the tensors that are in no flat group: frozen parameters, buffers, tied names."""
    places = flat_slots.ranks_of(model.side) or {0: 0}
    tensors, values = model.side.checkpoint.tensors, model.side.values
    for name, shape in model.frozen.items():
        parts = [values.get((f"frozen_param_fragments.{name}@{n}", 0)) for n in places]
        there = [part for part in parts if part is not None]
        count = math.prod(shape)
        if there and length(there[0]) == count:
            made.add(name, shape, [(0, count, 0, there[0])])
        elif len(there) == len(places):
            made.add(name, shape, fragments(there, max(map(length, there)), count))
    for full, tensor in tensors.items():
        name, _, rank = full.removeprefix(_MODULE).rpartition("@")
        is_own = full.startswith(_MODULE) and rank == "0"
        if is_own and name not in made.tensors and 0 not in tensor.shape and name not in model.tied:
            made.copy(name, tensor, values.get((full, 0)))
    for name, source in model.tied.items():
        if source in made.tensors:
            made.alias(name, source)
