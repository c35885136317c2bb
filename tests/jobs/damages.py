"""Every way in which a checkpoint breaks, done to a copy of a good one: used by tests and by benchmarks/audit.py."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def metadata(folder: Path) -> Any:
    """What torch itself reads; these checkpoints are our own."""
    return pickle.loads((folder / ".metadata").read_bytes())


def store(folder: Path, found: Any) -> None:
    (folder / ".metadata").write_bytes(pickle.dumps(found, protocol=4))


def shard(folder: Path, rank: int = 1) -> Path:
    return folder / f"__{rank}_0.distcp"


def truncated(folder: Path) -> None:
    data = shard(folder).read_bytes()
    shard(folder).write_bytes(data[: len(data) // 2])


def missing(folder: Path) -> None:
    shard(folder).unlink()


def swapped(folder: Path) -> None:
    first, second = shard(folder, 0).read_bytes(), shard(folder, 1).read_bytes()
    shard(folder, 0).write_bytes(second)
    shard(folder, 1).write_bytes(first)


def flipped_bit(folder: Path) -> None:
    """One bit in the middle of the values of `up`."""
    found = metadata(folder)
    info = next(info for index, info in found.storage_data.items() if index.fqn == "up" and index.offset[0])
    data = bytearray((folder / info.relative_path).read_bytes())
    # The values begin 768 bytes into the archive, aligned to 64; somewhere in there.
    data[info.offset + 800] ^= 0x10
    (folder / info.relative_path).write_bytes(bytes(data))


def zeroed_page(folder: Path) -> None:
    found = metadata(folder)
    info = next(info for index, info in found.storage_data.items() if index.fqn == "down" and index.offset[1])
    data = bytearray((folder / info.relative_path).read_bytes())
    data[info.offset + 768 : info.offset + 868] = bytes(100)
    (folder / info.relative_path).write_bytes(bytes(data))


def aliased(folder: Path) -> None:
    """Two chunks that point at the same bytes."""
    found = metadata(folder)
    first, second, *_ = [index for index in found.storage_data if index.fqn == "up"]
    found.storage_data[second] = found.storage_data[first]
    store(folder, found)


def torn(folder: Path) -> None:
    """As two ranks leave it that both believe to be the only one (`no_dist=True`): one's bytes, then the rest of the other's."""
    small, large = sorted((shard(folder, rank).read_bytes() for rank in (0, 1)), key=len)
    shard(folder, 0).write_bytes(small + large[len(small) :] + b"\0" * 64)


def mixed(folder: Path) -> None:
    """A save that broke off while it overwrote: one new shard beside old ones, the old metadata."""
    shutil.copy(shard(Path(f"{folder}-later")), shard(folder))


def rank_gap(folder: Path) -> None:
    """The files of a rank were not copied, and its chunks are not in the metadata either."""
    found = metadata(folder)
    for index in [i for i, info in found.storage_data.items() if info.relative_path.startswith("__1_")]:
        del found.storage_data[index]
    for item in found.state_dict_metadata.values():
        if hasattr(item, "chunks") and len(item.chunks) > 1:
            item.chunks.pop(1)
    store(folder, found)
    shard(folder).unlink()


def left_over(folder: Path) -> None:
    """Of an earlier save by more ranks."""
    shutil.copy(shard(folder), shard(folder, 7))


def temporary(folder: Path) -> None:
    (folder / ".metadata.tmp").write_bytes(b"")


def no_metadata(folder: Path) -> None:
    (folder / ".metadata").unlink()


def overlap(folder: Path) -> None:
    found = metadata(folder)
    item = found.state_dict_metadata["up"]
    chunk = item.chunks[1]
    moved = replace(chunk, offsets=type(chunk.offsets)([chunk.offsets[0] - 2, 0]))
    _move(found, "up", chunk, moved)
    item.chunks[1] = moved
    store(folder, found)


def hole(folder: Path) -> None:
    """The global shape is larger than what the chunks cover."""
    found = metadata(folder)
    item = found.state_dict_metadata["up"]
    item.size = type(item.size)([item.size[0] + 8, item.size[1]])
    store(folder, found)


def _move(found: Any, name: str, chunk: Any, moved: Any) -> None:
    for index, info in list(found.storage_data.items()):
        if index.fqn == name and tuple(index.offset) == tuple(chunk.offsets):
            del found.storage_data[index]
            found.storage_data[replace(index, offset=moved.offsets)] = info


def wrong_dtype(folder: Path) -> None:
    import torch

    found = metadata(folder)
    found.state_dict_metadata["up"].properties.dtype = torch.float16
    store(folder, found)


def not_a_number(folder: Path) -> None:
    """A step that diverged, saved as it was."""
    import torch
    import torch.distributed.checkpoint as dcp

    shutil.rmtree(folder)
    bad = torch.ones(32, 12)
    bad[17, 3] = float("nan")
    dcp.save({"up": bad, "down": torch.ones(12, 32)}, checkpoint_id=folder, no_dist=True)


def gadget(folder: Path) -> None:
    """A pickle that runs a command when torch reads it."""
    (folder / ".metadata").write_bytes(b"cposix\nsystem\n(X\x0f\x00\x00\x00touch /tmp/ranitR.")


def outside(folder: Path) -> None:
    """Chunks in a file outside of the checkpoint."""
    found = metadata(folder)
    for index, info in found.storage_data.items():
        if index.fqn == "up":
            found.storage_data[index] = replace(info, relative_path=f"../{folder.name}/{info.relative_path}")
    store(folder, found)


def absurd(folder: Path) -> None:
    """Sizes and places that no disk has."""
    found = metadata(folder)
    for index, info in found.storage_data.items():
        if index.fqn == "up":
            found.storage_data[index] = replace(info, offset=1 << 60, length=1 << 61)
    store(folder, found)


DAMAGES: dict[str, Callable[[Path], None]] = {
    damage.__name__: damage
    for damage in (
        truncated, missing, swapped, flipped_bit, zeroed_page, aliased, torn, mixed, rank_gap, left_over, temporary, no_metadata,
        overlap, hole, wrong_dtype, not_a_number, gadget, outside, absurd,
    )
}  # fmt: skip
