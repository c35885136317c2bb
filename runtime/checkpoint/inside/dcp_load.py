"""`--read-back`, inside the job: compares what was loaded with the checksums of the chunks it came from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ...quantities import and_more
from ...say import say
from ..formats.zip_directory import Archive
from ..model import Piece
from ..sources import LocalFile
from . import torch_api
from .dcp_exchange import talking
from .fingerprints import crc_of

if TYPE_CHECKING:
    from .context import Context
    from .dcp_exchange import Running


class LoadHooks:
    """The hooks of torch.distributed.checkpoint.state_dict_loader."""

    def __init__(self, context: Context) -> None:
        """Create it without installing hooks."""
        self._context = context

    def hook(self, loader: Any) -> None:
        """Wrap the function behind every form of loading. Only on request, since all values are read again."""
        shared = self._context
        torch_api.exchange_load(
            loader,
            lambda load: shared.audited(load, "storage_reader", loader.DefaultLoadPlanner, self._loaded),
            lambda ranks: talking(ranks, shared.current),
        )

    def _loaded(self, running: Running, _: Any) -> None:
        """Compare each chunk that was read as a whole with its stored checksum, and report differences."""
        from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner

        metadata = getattr(running.planner, "metadata", None)
        folder = running.path
        if folder is None or metadata is None or running.plan is None:
            return
        if getattr(type(running.planner), "commit_tensor", None) is not DefaultLoadPlanner.commit_tensor:
            # It may make of the values what it likes.
            return
        wrong = []
        opened: dict[str, int] = {}
        try:
            for item in running.plan.items:
                index = item.storage_index
                info = metadata.storage_data.get(index)
                if (
                    index.offset is None
                    or info is None
                    or getattr(info, "transform_descriptors", None)
                    or any(item.storage_offsets)
                ):
                    continue
                chunk = next(
                    (
                        c
                        for c in metadata.state_dict_metadata[index.fqn].chunks
                        if tuple(c.offsets) == tuple(index.offset)
                    ),
                    None,
                )
                if chunk is None or tuple(item.lengths) != tuple(chunk.sizes):
                    continue
                if info.relative_path not in opened:
                    opened[info.relative_path] = os.open(folder / info.relative_path, os.O_RDONLY)
                fd = opened[info.relative_path]
                values = Archive(
                    LocalFile(fd, info.relative_path), Piece(info.relative_path, info.offset, info.length)
                ).chunk()
                there = running.planner.resolve_tensor(item)
                same_dtype = str(there.dtype).removeprefix("torch.") == values.dtype
                if same_dtype and values.is_whole and values.crc is not None and crc_of(there) != values.crc:
                    wrong.append(f"`{index.fqn}` at {list(index.offset)} in {info.relative_path}")
        finally:
            for fd in opened.values():
                os.close(fd)
        if wrong:
            more = and_more(len(wrong) - 1, "chunk")
            text = f"what was loaded from {folder} is not what was saved: {wrong[0]}{more}"
            say(f"CHECKPOINT: {text}\n")
            self._context.record(
                "load", {"path": str(folder), "site": dict(running.site), "wrong": True, "errors": [text]}
            )
