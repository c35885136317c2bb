"""Audits checkpoints inside the job as they are written and read. An error here is reported once; the job goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..formats.unpickle import Memory
from .context import Context
from .dcp_load import LoadHooks
from .dcp_save import SaveHooks
from .file_writes import FileHooks

if TYPE_CHECKING:
    from pathlib import Path

    from ...inside.sites import Sites


class Auditor:
    """Installs the hooks of each module once it has been imported."""

    def __init__(self, folder: Path, sites: Sites) -> None:
        """`folder` is that of one run, or the parent of several runs, see folders.py."""
        self._context = Context(folder, sites)
        self._files = FileHooks(self._context)
        # Not in a process that trains: its other threads need memory too.
        Memory.is_limited = False

    def hook_saver(self, module: Any) -> None:
        """Look at what torch.distributed.checkpoint saves."""
        SaveHooks(self._context).hook(module)

    def hook_loader(self, module: Any) -> None:
        """Look at what it loads, if that was asked for."""
        if self._context.read_back:
            LoadHooks(self._context).hook(module)

    def hook_torch(self, module: Any) -> None:
        """Look at what torch.save writes."""
        self._files.hook_torch(module)

    def hook_safetensors(self, module: Any) -> None:
        """Look at what safetensors writes."""
        self._files.hook_safetensors(module)
