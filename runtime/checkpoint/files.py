"""In the job: state dicts that a rank writes with torch.save or safetensors.

Such a file knows nothing of other ranks. What it should hold is known from the distributed checkpoints of the same job: a name that is
sharded there, or of which ranks held different parts, and that has the size of one rank's part here, is one rank's part. Tensors
that say themselves that they are a part (DTensor) need no such help; whether every rank writes a file of its own is known when the
job is over.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..statistics import amount

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .online import Auditor

_DEEPEST: Final = 16
#: `rank_3`, `model-03.pt`, `3/`; not `phi3`.
_NUMBER: Final = re.compile(r"(?:(?<![a-zA-Z0-9])|(?<=rank))0*(\d+)(?![a-zA-Z0-9])", re.IGNORECASE)


class FileHooks:
    """What is exchanged in torch.serialization and in safetensors; both are looked up when they are called."""

    def __init__(self, auditor: Auditor) -> None:
        """Nothing is exchanged yet."""
        self._auditor = auditor
        self._local = threading.local()

    def hook_torch(self, serialization: Any) -> None:
        """Every form of torch.save to a path ends in these two."""
        opened, saved, local = serialization._open_zipfile_writer, serialization._save, self._local

        def _open_zipfile_writer(target: Any) -> Any:
            local.path = target if isinstance(target, (str, os.PathLike)) else None
            return opened(target)

        def _save(obj: Any, *args: Any, **kwargs: Any) -> Any:
            path, local.path = getattr(local, "path", None), None
            if path is not None:
                self._auditor.guarded(lambda: self._written(os.fspath(path), obj))
            return saved(obj, *args, **kwargs)

        serialization._open_zipfile_writer, serialization._save = _open_zipfile_writer, _save

    def hook_safetensors(self, module: Any) -> None:
        """`save_file` and `save_model` end in `serialize_file`, which gets bytes; the tensors pass another function before."""
        name = "_flatten_as_ptr" if hasattr(module, "_flatten_as_ptr") else "_flatten"
        flatten, serialize, local = getattr(module, name), module.serialize_file, self._local

        def flattened(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            local.tensors = dict(tensors) if isinstance(tensors, dict) else None
            return flatten(tensors, *args, **kwargs)

        def serialize_file(data: Any, filename: Any, *args: Any, **kwargs: Any) -> Any:
            tensors, local.tensors = getattr(local, "tensors", None), None
            if tensors is not None:
                self._auditor.guarded(lambda: self._written(os.fspath(filename), tensors))
            return serialize(data, filename, *args, **kwargs)

        setattr(module, name, flattened)
        module.serialize_file = serialize_file

    def _written(self, path: str, obj: Any) -> None:
        """A file is about to be written: what of it is a part, as far as this rank knows."""
        import torch.distributed as dist

        if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() < 2:
            return
        tensors = dict(_tensors(obj, "", 0))
        if not tensors:
            return
        own = [name for name, tensor in tensors.items() if _is_part(tensor)]
        parts = [name for name, tensor in tensors.items() if name not in own and self._is_known_part(name, tensor)]
        rank, size = (
            dist.get_rank(),
            sum(tensor.numel() * tensor.element_size() for tensor in tensors.values() if not _is_part(tensor)),
        )
        site = self._auditor.site()
        if parts and not _is_of_rank(path, rank):
            more = f" and {len(parts) - 1} more names" if len(parts) > 1 else ""
            whole = self._auditor.known[_end(parts[0], self._auditor.known)].shape
            of = f" of {list(whole)}" if whole is not None else ", and other ranks have others"
            sys.stderr.write(
                f"CHECKPOINT HOLDS ONE RANK'S PART: `{parts[0]}`{more}: rank {rank}'s {list(tensors[parts[0]].shape)}{of}\n"
                f"  save   {path} ({amount(size)}) at {site.get('path')}:{site.get('line')}  {site.get('function')}\n"
                "  CL401 rank-local-consolidated explains this: one rank's part is written as if it were all of it\n"
            )
        record = {
            "path": os.path.abspath(path),
            "rank": rank,
            "site": dict(site),
            "tensors": len(tensors),
            "bytes": size,
        }
        self._auditor.record("file", {**record, "parts": [*parts, *own]})

    def _is_known_part(self, name: str, tensor: Any) -> bool:
        """Has a distributed checkpoint of this job had it in parts, of which this is one?"""
        known = self._auditor.known.get(_end(name, self._auditor.known))
        return known is not None and known.is_part(tuple(tensor.shape))


def _is_of_rank(path: str, rank: int) -> bool:
    """Does the path say that it is this rank's, as `rank_3/model.pt` does? Whether others have one shows at the end."""
    numbers = _NUMBER.findall("/".join(Path(path).parts[-2:]))
    return str(rank) in numbers


def _end(name: str, known: Mapping[str, object]) -> str:
    """The name under which it is known: itself, or the one that ends with it (`model.NAME`)."""
    if name in known:
        return name
    found = [other for other in known if other.endswith(f".{name}")]
    return found[0] if len(found) == 1 else name


def _is_part(tensor: Any) -> bool:
    """Does it say itself that other ranks have the rest?"""
    mesh, placements = getattr(tensor, "device_mesh", None), getattr(tensor, "placements", None)
    if mesh is None or placements is None:
        return False
    return any(not placement.is_replicate() and mesh.size(d) > 1 for d, placement in enumerate(placements))


def _tensors(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    import torch

    if isinstance(value, torch.Tensor):
        yield path, value
    elif isinstance(value, dict) and depth < _DEEPEST:
        for key, item in value.items():
            yield from _tensors(item, f"{path}.{key}" if path else str(key), depth + 1)
    elif isinstance(value, (list, tuple)) and depth < _DEEPEST:
        for index, item in enumerate(value):
            yield from _tensors(item, f"{path}.{index}" if path else str(index), depth + 1)
