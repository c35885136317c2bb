"""Detects the format of a checkpoint and loads its metadata."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..model import CheckpointError, NoCheckpointError, NotReadError
from ..stores.path import StorePath
from . import dcp, folder, gguf, index, safetensors, torch_save, units

if TYPE_CHECKING:
    from pathlib import Path

    from ..model import Checkpoint


def load(path: Path) -> Checkpoint:
    """The checkpoint at a path, without values. Raises NoCheckpointError, or CheckpointError if unreadable."""
    try:
        is_there = path.exists() if isinstance(path, StorePath) else os.path.lexists(path)
    except OSError as error:
        # A store that does not answer, or does not let us in.
        raise NoCheckpointError(f"{path}: {error.strerror or error}") from None
    if not is_there:
        raise NoCheckpointError(f"{path}: no such file or directory")
    try:
        if path.is_dir():
            return folder.load(path)
        if not path.is_file():
            # Reading from a pipe would wait until something is written into it.
            raise CheckpointError(f"{path}: not a regular file")
        return _file(path)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from None


def _file(path: Path) -> Checkpoint:
    name = path.name
    if name.endswith(index.SUFFIX):
        return units.indexed(path, path.parent, (file.name for file in path.parent.iterdir() if file.is_file()))
    if name == dcp.NAME or dcp.SHARD.fullmatch(name):
        return dcp.load(path.parent)
    if not name.endswith((safetensors.SUFFIX, gguf.SUFFIX, *torch_save.SUFFIXES)) and not torch_save.kind_of(path):
        raise NoCheckpointError(f"{path}: not a checkpoint: neither safetensors nor GGUF nor a file of torch.save")
    try:
        return units.single(path)
    except NotReadError as error:
        raise NoCheckpointError(
            f"{path}: not a checkpoint that can be read: {str(error).removeprefix(f'{name}: ')}"
        ) from None
