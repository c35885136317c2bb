"""CK103: kinds of files that are missing although the same save wrote kinds that come with them.

A file that is alone says nothing about the rest: weights are often copied without their optimizer. Only combinations
are reported that a library always writes together.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..formats.index import SUFFIX as INDEX
from ..formats.universal import FORMAT as UNIVERSAL
from ..model import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ..model import Checkpoint, Severity


@dataclass(frozen=True, slots=True)
class _Rule:
    """If a folder has all forms in `there`, it needs one of `wanted`, or `where` is missing. Whole names match."""

    there: tuple[str, ...]
    wanted: str
    where: str
    text: str
    severity: Severity = "error"


_WEIGHTS: Final = (
    r"(model|pytorch_model|adapter_model|consolidated|diffusion_pytorch_model|tf_model|flax_model)[\w.-]*"
    r"|.*\.safetensors|shard-.*|global_step\d+|__\d+_\d+\.distcp|\.metadata|unet|transformer|text_encoder.*"
)
_RULES: Final = (
    _Rule((r"trainer_state\.json", r"scheduler\.pt"), r"optimizer.*|global_step\d+|user_content\.pt", "optimizer.pt",
          "is missing: the Trainer writes it with scheduler.pt, which is there"),
    _Rule((r"trainer_state\.json", r"optimizer\.pt"), _WEIGHTS, "model.safetensors",
          "no file has weights, and there are optimizer.pt and trainer_state.json"),
    _Rule((r"random_states_\d+\.pkl", r"scheduler(_\d+)?\.bin"), r"optimizer.*|pytorch_model|global_step\d+", "optimizer.bin",
          "is missing: accelerate writes it with its scheduler, which is there"),
    _Rule((r"random_states_\d+\.pkl", r"optimizer(_\d+)?(\.bin)?"), _WEIGHTS, "model.safetensors",
          "no file has weights, and there are those of the optimizer and random states"),
    _Rule((r"(bf16_|fp16_)?zero_pp_rank_\d+_mp_rank_\d+_optim_states\.pt",), r".*model_states\.pt", "mp_rank_00_model_states.pt",
          "no file has the states of the model, and there are those of its optimizer"),
    _Rule((r"optim_world_size_\d+_rank_\d+\.pt", r"extra_state_world_size_\d+_rank_\d+\.pt"), r"model_world_size_.*",
          "model_world_size_*", "no file has weights, and there are those of the optimizer and the extra state of each rank"),
    _Rule((r"model_world_size_\d+_rank_\d+\.pt", r"extra_state_world_size_\d+_rank_\d+\.pt"), r"optim_world_size_.*",
          "optim_world_size_*", "no file has states of an optimizer, and there are weights and the extra state of each rank: "
          "training cannot go on from it, unless it was saved without on purpose", "note"),
)  # fmt: skip


#: Files of parts as transformers and diffusers name them.
_PARTS: Final = re.compile(r"(?:.*/)?(?:model|pytorch_model|diffusion_pytorch_model)-\*-of-\d+\.(?:safetensors|bin)")
#: What Lightning saves into a folder of shards.
_LIGHTNING: Final = re.compile(r"state_dict|optimizer_\d+")


def check(root: Path, units: Sequence[Checkpoint]) -> Iterator[Problem]:
    """What is missing altogether in the folders of a checkpoint."""
    folders = {root}
    for unit in units:
        folders |= {(unit.folder / file).parent for file in unit.files}
    for folder in sorted(folders):
        names = _names(folder)
        for rule in _RULES:
            is_there = all(any(re.fullmatch(form, name) for name in names) for form in rule.there)
            if is_there and not any(re.fullmatch(rule.wanted, name) for name in names):
                head = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
                yield Problem("CK103", head + rule.where, rule.text, rule.severity)
    yield from _unindexed(units)
    yield from _zero(units)
    yield from _lightning(units)


def _names(folder: Path) -> list[str]:
    """The names in a folder, without empty subfolders."""
    names = []
    for entry in folder.iterdir():
        with suppress(OSError):
            if not entry.is_dir() or any(entry.iterdir()):
                names.append(entry.name)
    return names


def _unindexed(units: Sequence[Checkpoint]) -> Iterator[Problem]:
    """Note files of parts without an index: some readers take all files there are, others need the index."""
    for unit in units:
        for family in unit.families:
            folder = (unit.folder / family.form).parent
            if _PARTS.fullmatch(family.form) and not any(file.name.endswith(INDEX) for file in folder.iterdir()):
                text = "no index names these files: transformers does not load them"
                yield Problem("CK103", family.form, text, "note")


def _zero(units: Sequence[Checkpoint]) -> Iterator[Problem]:
    """Only ZeRO's optimizer writes the shapes of its parameters into the states of the model, and it writes its own files too."""
    for unit in units:
        has_shapes = any(name.startswith("param_shapes.") for name in unit.objects)
        has_weights = any(tensor.bytes for name, tensor in unit.tensors.items() if name.startswith("module."))
        is_universal = any(other.format == UNIVERSAL for other in units)
        has_optimizer = any(file.endswith("optim_states.pt") for other in units for file in other.files)
        if has_shapes and has_weights and not is_universal and not has_optimizer:
            text = "no file has the states of ZeRO's optimizer: the states of the model say that it was saved with them"
            yield Problem("CK103", "*_optim_states.pt", text)


def _lightning(units: Sequence[Checkpoint]) -> Iterator[Problem]:
    """Lightning writes `meta.pt` beside the shards of a model, and loads neither without the other."""
    for unit in units:
        tops = {name.partition(".")[0] for name in unit.tensors} if unit.format == "dcp" else set()
        is_shards = "state_dict" in tops and "optimizer_0" in tops and all(map(_LIGHTNING.fullmatch, tops))
        if is_shards and not any(other.path == unit.path / "meta.pt" for other in units):
            text = "is missing: the shards have the names that Lightning gives them, and it loads nothing without that file"
            yield Problem("CK103", "meta.pt", text)
        is_meta = unit.path.name == "meta.pt" and "pytorch-lightning_version" in unit.objects
        if is_meta and not any(other.format == "dcp" for other in units):
            yield Problem("CK103", "meta.pt", "is alone: the shards that Lightning writes beside it are missing")
