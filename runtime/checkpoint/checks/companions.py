"""CK103 for parts that are always written together: a model and its optimizer, shards and the data common to them."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from ..formats import dcp, texts
from ..formats.layout import TORCH_CHECKPOINTING
from ..model import Problem
from . import sharded_tensors
from .families import MOST_FILES, few

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ..model import Checkpoint

#: accelerate: a folder for each model and for each optimizer, by number. Without random states it is no state of a training.
_MODEL: Final = re.compile(r"pytorch_model_fsdp_(\d+)")
_OPTIMIZER: Final = re.compile(r"optimizer_(\d+)")
_TRAINING: Final = "random_states_"
_ITEM: Final = re.compile(r"(\w+?)_(\d+)\.pt")


def check(root: Path, units: Sequence[Checkpoint]) -> Iterator[Problem]:
    """Parts that are missing although another part records that they were written."""
    folders = {unit.path for unit in units if unit.path.is_dir()}
    for folder in sorted({root, *folders, *(folder.parent for folder in folders if folder != root)}):
        yield from _common(folder)
        yield from _accelerate(folder)
    yield from _torch_checkpointing(units)
    yield from sharded_tensors.check(units)
    yield from _placeholders(units)
    yield from _shadowed(units)


def _common(folder: Path) -> Iterator[Problem]:
    """Megatron's torch_dist: check `common.pt` and `metadata.json`, which is written last and needed for loading."""
    names = {entry.name for entry in folder.iterdir()}
    if "common.pt" in names and dcp.is_one(folder) and not names & {"metadata.json", ".metadata.json"}:
        yield Problem(
            "CK103", "metadata.json", "is missing beside common.pt: the save did not finish, or was not copied whole"
        )
    if names == {"common.pt"}:
        text = "is alone: the shards that Megatron Core writes beside it are missing"
        yield Problem("CK103", "common.pt", text)
    try:
        data = texts.parsed(folder / "metadata.json")
    except OSError:
        return
    except ValueError as error:
        if "common.pt" in names:
            yield Problem("CK102", "metadata.json", f"is not JSON: {error}")
        return
    is_torch = isinstance(data, dict) and "sharded_backend" in data and data.get("common_backend", "torch") == "torch"
    if is_torch and not (folder / "common.pt").is_file():
        yield Problem("CK103", "common.pt", "is missing: metadata.json says that it was written beside the shards")


def _torch_checkpointing(units: Sequence[Checkpoint]) -> Iterator[Problem]:
    """torch_checkpointing: check that each item has a file `ITEM_RANK.pt` for each rank in the metadata."""
    metadata = next((unit for unit in units if any(TORCH_CHECKPOINTING in name for name in unit.objects)), None)
    size = metadata.objects.get("world_size") if metadata is not None else None
    if metadata is None or size is None or not isinstance(size.value, int) or not 0 < size.value < MOST_FILES:
        return
    there: defaultdict[str, set[int]] = defaultdict(set)
    for name in metadata.objects:
        item, found, _ = name.removeprefix("metadata.").partition(TORCH_CHECKPOINTING)
        # An item may have a layout of its own, with other names.
        if found and not any(other.startswith(f"metadata.{item}.rank_to_layout_info.0.") for other in metadata.objects):
            there[item] = set()
    for file in (file for unit in units for file in unit.files):
        match = _ITEM.fullmatch(file)
        if match is not None:
            there[match[1]].add(int(match[2]))
    for item, ranks in sorted(there.items()):
        missing = [rank for rank in range(size.value) if rank not in ranks]
        if missing:
            text = f"no file of rank {few(missing)} of {size.value} (world_size in {metadata.path.name})"
            yield Problem("CK103", f"{item}_*.pt", text)
        if beyond := sorted(rank for rank in ranks if rank >= size.value):
            text = f"there is a file of rank {few(beyond)}, of {size.value} (world_size in {metadata.path.name})"
            yield Problem("CK205", f"{item}_*.pt", f"{text}: left over from another save")


def _accelerate(folder: Path) -> Iterator[Problem]:
    filled = {entry.name for entry in folder.iterdir() if not entry.is_dir() or any(entry.iterdir())}
    models = {m[1] for name in filled if (m := _MODEL.fullmatch(name))}
    optimizers = {m[1] for name in filled if (m := _OPTIMIZER.fullmatch(name))}
    is_training = any(name.startswith(_TRAINING) for name in filled)
    if not models or not (optimizers or is_training):
        return
    for number in sorted(models - optimizers):
        if not any(name in filled for name in (f"optimizer{'' if number == '0' else '_' + number}.bin",)):
            text = f"is missing or empty, and there is pytorch_model_fsdp_{number}"
            yield Problem("CK103", f"optimizer_{number}", text)
    for number in sorted(optimizers - models):
        yield Problem("CK103", f"pytorch_model_fsdp_{number}", f"is missing or empty, and there is optimizer_{number}")


def _placeholders(units: Sequence[Checkpoint]) -> Iterator[Problem]:
    """ZeRO stage 3: the model states hold empty placeholders; report them if no file holds the optimizer's values."""
    flat = any("fp32_flat_groups" in name for unit in units for name in unit.tensors)
    for unit in units:
        if len(unit.tensors) > 1 and not flat and not any(tensor.bytes for tensor in unit.tensors.values()):
            text = f"its {len(unit.tensors)} tensors are placeholders without elements, and no file has their values"
            yield Problem("CK103", unit.families[0].form if unit.families else unit.path.name, text)


def _shadowed(units: Sequence[Checkpoint]) -> Iterator[Problem]:
    """Note a whole file with the same names as an index beside it: readers differ in which of them they load."""
    for unit in units:
        if not unit.format.endswith("with index"):
            continue
        for other in units:
            common = unit.tensors.keys() & other.tensors.keys()
            if other is not unit and other.path.parent == unit.path and 2 * len(common) > len(unit.tensors):
                text = f"has {len(common)} names that the files of the index have too; some readers load it instead of those"
                yield Problem("CK103", other.path.name, text, "note")
