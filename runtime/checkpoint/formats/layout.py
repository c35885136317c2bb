"""The framework whose layout a checkpoint has, recognised by the structure of its files, not by folder names."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ..model import Layout
from . import texts
from .universal import FORMAT as UNIVERSAL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ..model import Checkpoint, Family

_ZERO: Final = re.compile(r"zero_pp_rank_\*_mp_rank_\*_optim_states\.pt$")
_RANK_STATES: Final = re.compile(r"mp_rank_(\*|\d+)_model_states\.pt$")
_MEGATRON: Final = re.compile(r"mp_rank_(\*|\d+)(_(\*|\d+)){0,2}/model_optim_rng\.pt$")
_VERL: Final = re.compile(r"(?:^|/)(model|optim|extra_state)_world_size_\d+_rank_\*\.pt$")
_ACCELERATE: Final = re.compile(r"(?:^|/)random_states_\*\.pkl$")
#: What the metadata of torch_checkpointing have for each item that can be loaded by another number of ranks.
TORCH_CHECKPOINTING: Final = ".nested_path_to_metadata."
_LIGHTNING: Final = "pytorch-lightning_version"
_FLAT: Final = re.compile(r"(?:^|[._])flat_param(?:$|\.0\.\d+\.tensor)")
#: What the formats are called where nothing says which framework wrote them.
_FORMATS: Final = {
    "dcp": "torch.distributed.checkpoint", "rank files": "a file for each rank", "torch.save": "torch.save",
    UNIVERSAL: UNIVERSAL,
}  # fmt: skip


def recognised(path: Path, units: Sequence[Checkpoint]) -> Layout:
    """The layout of a checkpoint's parts at `path`, and the number of ranks that its files record."""
    inner = _deepspeed(units) or _megatron(units) or _verl(units) or _torch_checkpointing(units) or _plain(units[0])
    outer = ""
    if any(_key(name) == _LIGHTNING for unit in units for name in unit.objects):
        outer = "Lightning"
    elif any((folder / "trainer_state.json").is_file() for folder in {path, units[0].folder} if folder.is_dir()):
        outer = "transformers Trainer"
    elif any(_ACCELERATE.search(family.form) for family in _families(units)):
        outer = "accelerate"
    return replace(inner, name=f"{outer}, {inner.name}") if outer else inner


def _deepspeed(units: Sequence[Checkpoint]) -> Layout | None:
    if any(unit.format == UNIVERSAL for unit in units):
        return Layout(UNIVERSAL)
    names = [(unit, family) for unit in units for family in unit.families]
    world_size = None
    if not any(re.search(r"layer_\*|expert", family.form) for _, family in names):
        # Stages of a pipeline are in neither number; experts have groups of their own.
        counts = [_number(units, "dp_world_size"), _number(units, "mp_world_size")]
        world_size = counts[0] * counts[1] if counts[0] and counts[1] else None
    for unit, family in names:
        if _ZERO.search(family.form):
            stage = _number([unit], "zero_stage")
            return Layout(f"DeepSpeed ZeRO-{stage}" if stage else "DeepSpeed ZeRO", world_size)
    if _number(units, "global_samples") is not None and any(
        _RANK_STATES.search(name) for unit in units for name in unit.files
    ):
        return Layout("DeepSpeed", world_size)
    return None


def _megatron(units: Sequence[Checkpoint]) -> Layout | None:
    for unit in units:
        if unit.format == "dcp" and _json(unit.path / "metadata.json").get("sharded_backend") == "torch_dist":
            return Layout("Megatron Core torch_dist", _number(units, "world_size"))
        if any(_MEGATRON.search(name) for name in unit.files) and _number([unit], "tensor_model_parallel_size"):
            return Layout("Megatron-LM", _number([unit], "world_size"))
    return None


def _verl(units: Sequence[Checkpoint]) -> Layout | None:
    """verl and its derivatives: model, optimizer and extra state per rank, in files named with the world size."""
    found = [(m[1], family) for family in _families(units) if (m := _VERL.search(family.form))]
    if {"model"} < {kind for kind, _ in found}:
        return Layout("verl, FSDP", found[0][1].counts.get("rank"))
    return None


def _torch_checkpointing(units: Sequence[Checkpoint]) -> Layout | None:
    for unit in units:
        if any(TORCH_CHECKPOINTING in name for name in unit.objects):
            return Layout("torch_checkpointing", _number([unit], "world_size"))
    return None


def _plain(unit: Checkpoint) -> Layout:
    name = _FORMATS.get(unit.format, unit.format)
    counts = {count for family in unit.families if unit.local for count in family.counts.values()}
    if any(_FLAT.search(tensor.partition("@")[0]) for tensor in unit.tensors):
        name = f"FSDP1 flat parameters, {name}"
    return Layout(name, counts.pop() if len(counts) == 1 else None)


def _families(units: Sequence[Checkpoint]) -> Iterator[Family]:
    return (family for unit in units for family in unit.families)


def _number(units: Sequence[Checkpoint], key: str) -> int | None:
    """The integer that the files store under a key; None if there is none, or they differ."""
    found = {item.value for unit in units for name, item in unit.objects.items() if _key(name) == key}
    value = found.pop() if len(found) == 1 else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _key(name: str) -> str:
    return name.partition("@")[0].rpartition(".")[2]


def _json(file: Path) -> dict[str, object]:
    try:
        found = texts.parsed(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
