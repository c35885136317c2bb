"""Audits state dicts that a rank writes with torch.save or safetensors, inside the job.

Such a file has no information about other ranks; the job's distributed checkpoints do. A tensor is taken for one rank's
part if its name is sharded there, or had different parts on the ranks, and it has the size of a part. Parts of a
DTensor, or tensors contributed to an all_gather, are recognised without that (parts.py). Whether every rank writes a
file of its own is known only at the end of the job.
"""

from __future__ import annotations

import functools
import os
import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...quantities import and_more
from ...say import say
from . import torch_api
from .parts import Search, part_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .context import Context

#: `rank_3`, `model-03.pt`, `3/`; not `phi3`.
_NUMBER: Final = re.compile(r"(?:(?<![a-zA-Z0-9])|(?<=rank))0*(\d+)(?![a-zA-Z0-9])", re.IGNORECASE)


class FileHooks:
    """The hooks of torch.serialization and of safetensors."""

    def __init__(self, context: Context) -> None:
        """Create it without installing hooks."""
        self._context = context
        self._local = threading.local()
        self._search = Search()

    def hook_torch(self, serialization: Any) -> None:
        """Audit what torch.save writes to a path."""
        local = self._local

        def opened(target: Any) -> None:
            local.path = target if isinstance(target, (str, os.PathLike)) else None

        def saved(obj: Any, write: Callable[[], Any]) -> Any:
            path, local.path = getattr(local, "path", None), None
            return write() if path is None else self._around(os.fspath(path), obj, write)

        torch_api.exchange_torch_save(serialization, opened, saved)

    def hook_safetensors(self, module: Any) -> None:
        """Audit what `save_file` writes; `save_model` calls it too."""
        original = module.save_file

        @functools.wraps(original)
        def save_file(tensors: Any, filename: Any, *args: Any, **kwargs: Any) -> Any:
            return self._around(os.fspath(filename), tensors, lambda: original(tensors, filename, *args, **kwargs))

        module.save_file = save_file

    def _around(self, path: str, obj: Any, write: Callable[[], Any]) -> Any:
        """Write a file; record which of its tensors are one rank's parts, and when it was written."""
        record = self._context.guarded(lambda: self._looked(path, obj))
        begun = time.time()
        result = write()
        if record is not None:
            times = {"begun": begun, "ended": time.time()}
            self._context.guarded(lambda: self._context.record("file", {**record, **times}))
        return result

    def _looked(self, path: str, obj: Any) -> dict[str, Any] | None:
        import torch.distributed as dist

        if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() < 2:
            return None
        if os.path.exists(path) and not os.path.isfile(path):
            # Neither a device nor a pipe is a checkpoint.
            return None
        tensors = dict(_tensors(obj))
        if not tensors:
            return None
        own = {name: part for name, tensor in tensors.items() if (part := part_of(tensor)) is not None}
        known = [name for name, tensor in tensors.items() if name not in own and self._is_known_part(name, tensor)]
        # A name or two may be called as something else is; a model is known by most of its names.
        parts = known if 2 * len(known) >= len(tensors) else []
        own |= self._search.parts({name: tensor for name, tensor in tensors.items() if name not in parts})
        rank, site = dist.get_rank(), self._context.site()
        if parts and not _is_of_rank(path, rank):
            more = and_more(len(parts) - 1, "name")
            whole = self._context.known[_end(parts[0], self._context.known)].shape
            of = f" of {list(whole)}" if whole is not None else ", and other ranks have other parts"
            say(
                f"CHECKPOINT HOLDS ONE RANK'S PART: `{parts[0]}`{more}: rank {rank}'s {list(tensors[parts[0]].shape)}{of}\n"
                f"  save   {path} at {site.get('path')}:{site.get('line')}  {site.get('function')}\n"
                "  CL401 rank-local-consolidated explains this: one rank's part is written as if it were all of it\n"
            )
        return {
            "path": os.path.abspath(path),
            "rank": rank,
            "site": dict(site),
            "tensors": len(tensors),
            "parts": [*parts, *own],
            "parts_of": {name: part.of for name, part in own.items()},
            "holders": {name: part.holders for name, part in own.items()},
        }

    def _is_known_part(self, name: str, tensor: Any) -> bool:
        """Whether the tensor has the shape of one rank's part of that name in a distributed checkpoint of this job."""
        known = self._context.known.get(_end(name, self._context.known))
        return known is not None and known.is_part(tuple(tensor.shape))


def _is_of_rank(path: str, rank: int) -> bool:
    """Whether the path contains this rank's number, as `rank_3/model.pt` does."""
    numbers = _NUMBER.findall("/".join(Path(path).parts[-2:]))
    return str(rank) in numbers


def _end(name: str, known: Mapping[str, object]) -> str:
    """The known name of a tensor: the name itself, or the only one that ends with it (`model.NAME`)."""
    if name in known:
        return name
    found = [other for other in known if other.endswith(f".{name}")]
    return found[0] if len(found) == 1 else name


def _tensors(value: Any) -> Iterator[tuple[str, Any]]:
    """Tensors in nested dicts and lists, by their paths; each container is looked into once, wherever it stands."""
    import torch

    seen: set[int] = set()
    pending: list[tuple[str, Any]] = [("", value)]
    while pending and len(seen) < _MOST:
        path, item = pending.pop()
        if isinstance(item, torch.Tensor):
            yield path, item
        elif isinstance(item, (dict, list, tuple)) and id(item) not in seen:
            seen.add(id(item))
            pairs = item.items() if isinstance(item, dict) else enumerate(item)
            kept = ((key, inner) for key, inner in pairs if isinstance(inner, (torch.Tensor, dict, list, tuple)))
            inside = [(f"{path}.{key}" if path else str(key), inner) for key, inner in kept]
            # The first is taken next.
            pending += reversed(inside)


#: So many containers are looked into.
_MOST: Final = 20_000
