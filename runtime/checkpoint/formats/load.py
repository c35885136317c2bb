"""Tells the formats apart."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..model import CheckpointError
from . import dcp, safetensors
from . import torch_save as torchfile

if TYPE_CHECKING:
    from pathlib import Path

    from ..model import Checkpoint


def load(path: Path) -> Checkpoint:
    """What lies at a path: nothing but headers and metadata are read. Raises CheckpointError if that is no checkpoint."""
    if not os.path.exists(path):
        raise CheckpointError(f"{path}: no such file or directory")
    if not (path.is_dir() or path.is_file()):
        # Reading from a pipe would wait for somebody to write.
        raise CheckpointError(f"{path}: no regular file")
    try:
        return _folder(path) if path.is_dir() else _file(path)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from None


def _folder(path: Path) -> Checkpoint:
    if dcp.is_one(path):
        return dcp.load(path)
    if torchfile.by_rank(path):
        return torchfile.load_ranks(path)
    by_rank = torchfile.by_rank(path, (".safetensors",))
    if len(by_rank) == 1 and not (path / safetensors.INDEX).is_file():
        return safetensors.load_ranks(path, next(iter(by_rank.values())))
    if safetensors.files_of(path) or (path / safetensors.INDEX).is_file():
        return safetensors.load(path)
    files = [
        file for file in sorted(path.iterdir()) if file.name.endswith(torchfile.SUFFIXES) and torchfile.is_one(file)
    ]
    if len(files) == 1:
        return torchfile.load(files[0])
    if files:
        names = ", ".join(file.name for file in files[:4])
        raise CheckpointError(f"{path}: several files of torch.save ({names}); name the one that is meant")
    raise CheckpointError(
        f"{path}: no checkpoint: neither .metadata and .distcp files, nor safetensors, nor files of torch.save"
    )


def _file(path: Path) -> Checkpoint:
    if path.name.endswith((".safetensors", ".index.json")):
        return safetensors.load(path)
    if path.name in (dcp.NAME,) or dcp.SHARD.fullmatch(path.name):
        return dcp.load(path.parent)
    return torchfile.load(path)
