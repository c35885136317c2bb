"""CK303: compares `collectivelint-manifest.json`, which records what a save wrote, with the files.

The format itself records neither the number of ranks nor the digest of a chunk, and keeps the old metadata if a save
fails while overwriting: one new shard among old ones then loads without an error. The manifest is written last,
atomically, and belongs to one save.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

from collectivelint import atomic

from ..formats import texts
from ..model import CheckpointError, Problem
from ..stores.path import StorePath

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ..files import Side

NAME: Final = "collectivelint-manifest.json"
VERSION: Final = 1


def make(side: Side, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a checkpoint in its present state. `facts`: world size, mesh, step, versions, if known."""
    tensors: dict[str, Any] = {}
    for name, tensor in side.checkpoint.tensors.items():
        chunks = []
        for index, chunk in enumerate(tensor.chunks):
            values = side.values.get((name, index))
            crc = values.crc if values is not None else None
            chunks.append(
                [list(chunk.offsets), list(chunk.sizes), f"{crc:08x}" if crc is not None else None, chunk.rank]
            )
        tensors[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "chunks": chunks}
    return {
        "collectivelint": VERSION,
        "save_id": side.checkpoint.save_id,
        "written": time.time(),
        **facts,
        "objects": sorted(side.checkpoint.objects),
        "tensors": tensors,
    }


def write(folder: Path, manifest: Mapping[str, Any]) -> Path:
    """Write the manifest atomically and return its path. Raises OSError."""
    target = folder / NAME
    text = json.dumps(manifest, separators=(",", ":"))
    if isinstance(target, StorePath):
        # An object appears at once and whole, and only if there is none yet.
        target.create(text.encode())
    else:
        atomic.write(target, text, follow=False)
    return target


def read(file: Path) -> dict[str, Any]:
    """Read a manifest. Raises CheckpointError if the file is not one."""
    try:
        found: dict[str, Any] = texts.parsed(file)
    except OSError as error:
        raise CheckpointError(f"{file}: {error.strerror}") from None
    except ValueError as error:
        raise CheckpointError(f"{file}: not a manifest: not JSON ({error})") from None
    tensors = found.get("tensors") if isinstance(found, dict) else None
    if not isinstance(tensors, dict) or not all(isinstance(item, dict) for item in tensors.values()):
        raise CheckpointError(f"{file}: not a manifest of collectivelint")
    if found.get("collectivelint") != VERSION:
        raise CheckpointError(
            f"{file}: version {found.get('collectivelint')} of the format, this release reads {VERSION}"
        )
    return found


def check(side: Side, file: Path) -> list[Problem]:
    """Problems where the checkpoint does not hold what the manifest records."""
    try:
        return list(_check(side, read(file)))
    except CheckpointError as error:
        return [Problem("CK303", file.name, str(error))]
    except (TypeError, ValueError, AttributeError, KeyError, IndexError) as error:
        return [Problem("CK303", file.name, f"damaged: {type(error).__name__}: {error}")]


def _check(side: Side, manifest: Mapping[str, Any]) -> Iterator[Problem]:
    checkpoint = side.checkpoint
    saved = manifest.get("save_id")
    if saved and checkpoint.save_id and saved != checkpoint.save_id:
        if checkpoint.written > float(manifest.get("written") or 0.0):
            text = "the manifest is of an earlier save into this folder, not audited since: it is not compared"
            yield Problem("CK303", NAME, text, "note")
            return
        text = "the metadata are of an earlier save than the manifest: two saves are mixed, or one did not finish"
        yield Problem("CK303", NAME, text)
    lost = manifest.get("lost")
    for name, kept in lost.items() if isinstance(lost, dict) else ():
        text = f"ranks held different values when it was saved, and rank {kept}'s are here: the others are lost (CL402)"
        yield Problem("CK303", str(name), text)
    for name, expected in manifest["tensors"].items():
        tensor = checkpoint.tensors.get(name)
        if tensor is None:
            yield Problem("CK303", name, "was saved, and is not there any more")
            continue
        if list(tensor.shape) != expected.get("shape") or tensor.dtype != expected.get("dtype"):
            text = (
                f"was saved as {expected.get('dtype')}{expected.get('shape')}, it is {tensor.dtype}{list(tensor.shape)}"
            )
            yield Problem("CK303", name, text)
            continue
        crcs = {_key(chunk): chunk[2] for chunk in expected.get("chunks", ()) if len(chunk) > 2}
        wrong = []
        for index, chunk in enumerate(tensor.chunks):
            values = side.values.get((name, index))
            known = crcs.get((tuple(chunk.offsets), tuple(chunk.sizes)))
            if values is not None and values.crc is not None and known is not None and known != f"{values.crc:08x}":
                wrong.append(index)
        if wrong:
            where = tensor.chunks[wrong[0]]
            file = where.piece.file if where.piece is not None else "its file"
            text = f"the chunk at {list(where.offsets)} in {file} is not the one that was saved: part of another save, or a partial copy"
            yield Problem("CK303", name, text, chunks=tuple(wrong))
    for name in sorted(set(checkpoint.tensors) - set(manifest["tensors"])):
        yield Problem("CK303", name, "was not part of the save that the manifest is of")


def _key(chunk: list[Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    try:
        return tuple(chunk[0]), tuple(chunk[1])
    except TypeError:
        return (), ()
