"""Compares the ranks' values of each name, inside the job, before torch.distributed.checkpoint drops duplicates.

No extra messages are sent: digests are added to the plans that DCP gathers, as an attribute that neither planners nor
the metadata know, and checksums of written chunks to the results it gathers. A rank without the auditor sends none and
ignores those of other ranks.
"""

from __future__ import annotations

import dataclasses
import os
import time
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

from ...say import say
from ..checks import manifest
from ..formats.zip_directory import Archive
from ..model import Piece
from ..sources import LocalFile
from . import digests, replicas, torch_api
from .dcp_exchange import Known, Running, key_of, talking
from .digests import Digest
from .fingerprints import crc_in_file, digests_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .context import Context
    from .digests import Key, Save

#: What rides on plans and results: frozen dataclasses without slots, whose `__dict__` is pickled with them.
_RIDER: Final = "_collectivelint"


class SaveHooks:
    """The hooks of torch.distributed.checkpoint.state_dict_saver."""

    def __init__(self, context: Context) -> None:
        """Create it without installing hooks."""
        self._context = context

    def hook(self, saver: Any) -> None:
        """Wrap the function behind every form of saving, and the class that communicates with other ranks."""
        shared = self._context
        torch_api.exchange_save(
            saver,
            lambda save: shared.audited(save, "storage_writer", saver.DefaultSavePlanner, self._finished, self._failed),
            lambda ranks: talking(ranks, shared.current, self._plan, self._written),
            self._sited,
        )

    def _sited(self, base: Any) -> Any:
        """Subclass an executor so that a save in its thread or process knows the call site that requested it."""
        shared = self._context

        class Executor(base):  # type: ignore[misc]
            def execute_save(self, *args: Any, **kwargs: Any) -> Any:
                site = shared.guarded(shared.site, {})
                if "Process" in base.__name__:
                    shared.guarded(lambda: shared.note_site(kwargs.get("checkpoint_id"), site))
                token = shared.asked_at.set(site)
                try:
                    context = copy_context()
                finally:
                    shared.asked_at.reset(token)
                pool = torch_api.pool(self)
                if pool is not None and "submit" not in vars(pool):
                    submit = pool.submit
                    pool.submit = lambda function, *a, **k: submit(context.run, function, *a, **k)
                    try:
                        return super().execute_save(*args, **kwargs)
                    finally:
                        del pool.submit
                return super().execute_save(*args, **kwargs)

        Executor.__name__ = Executor.__qualname__ = base.__name__
        return Executor

    # --------------------------------------------------------------------------------------------------------- plan

    def _plan(self, running: Running, ranks: Any, map_fun: Any, reduce_fun: Any) -> Any:
        """Add this rank's digests to its plan; on the coordinator, compare all before it drops duplicates."""

        def local() -> Any:
            plan = map_fun()
            return self._context.guarded(lambda: self._attach(running, plan, ranks.get_world_size()), plan)

        def reduce(plans: list[Any]) -> Any:
            held = [getattr(plan, "__dict__", {}).pop(_RIDER, None) for plan in plans]
            made = reduce_fun(plans)
            self._context.guarded(lambda: self._judge(running, held, made))
            return made

        return local, reduce

    def _attach(self, running: Running, plan: Any, world_size: int) -> Any:
        planner = running.planner
        state = getattr(planner, "state_dict", None) or {}
        items = [
            (item, state.get(item.index.fqn) if isinstance(state, dict) else None) for item in _items(planner, plan)
        ]
        digested = digests_of(planner, items, world_size)
        found = {key_of(item.index): tuple(digest) for (item, _), digest in zip(items, digested, strict=True)}
        placed = {
            item.index.fqn: str(tuple(placements))
            for item, value in items
            if (placements := getattr(value, "placements", None)) is not None
        }
        # The planner keeps the plan it has made.
        plan = dataclasses.replace(plan)
        plan.__dict__[_RIDER] = (found, placed)
        return plan

    def _judge(self, running: Running, held: list[Any], plans: list[Any]) -> None:
        if not all(held):
            # Some rank is not audited: nothing can be said of what it holds.
            return
        by_position = [{key: Digest(*digest) for key, digest in found.items()} for found, _ in held]
        for _, placed in held:
            running.placements.update(placed)
        whole = getattr(running.planner, "global_plan", None) or plans
        kept = {key_of(item.index): position for position, plan in enumerate(whole) for item in plan.items}
        ranks = [_global_rank(running.group, position) for position in range(len(held))]
        save = running.save = digests.compare(
            str(running.path or running.storage), running.site, by_position, kept, ranks
        )
        save.losses[:] = self._context.guarded(lambda: replicas.marked(save.losses), save.losses)
        self._say(running.save)
        self._learn(running.save, by_position, whole)

    def _learn(self, save: Save, held: list[dict[Key, Digest]], plans: Iterable[Any]) -> None:
        """Remember names of which each rank holds only a part, and the parts' sizes; used by file_writes.py."""
        for loss in save.losses:
            if loss.is_serious and loss.kind == "plain" and not loss.replicated_by:
                self._context.known[loss.key[0]] = Known(None, frozenset(digest.sizes for _, digest in loss.variants))
        parts: dict[str, set[tuple[int, ...]]] = {}
        for digests_ in held:
            for (name, _), digest in digests_.items():
                if digest.kind == "sharded":
                    parts.setdefault(name, set()).add(digest.sizes)
        for plan in plans:
            for item in plan.items:
                name = item.index.fqn
                if name in parts and item.tensor_data is not None:
                    self._context.known[name] = Known(tuple(item.tensor_data.size), frozenset(parts[name]))

    def _say(self, save: Save) -> None:
        said = digests.text(save)
        if said:
            say(said)

    # ------------------------------------------------------------------------------------------------- what was written

    def _written(self, running: Running, map_fun: Any, reduce_fun: Any) -> Any:
        """Add the checksums of written chunks to this rank's results; on the coordinator, collect all."""

        def local() -> Any:
            results = map_fun()
            self._context.guarded(lambda: self._attach_checksums(running, results))
            return results

        def reduce(results: Any) -> Any:
            self._context.guarded(lambda: self._collect(running, results))
            return reduce_fun(results)

        return local, reduce

    def _attach_checksums(self, running: Running, results: Iterable[Any]) -> None:
        """Attach the CRC-32 of each chunk as it is in the file now. Takes a few microseconds per chunk."""
        folder = running.path
        if folder is None:
            return
        opened: dict[str, int] = {}
        try:
            for result in results:
                info = result.storage_data
                is_archive = str(info.relative_path).endswith(".distcp")
                if not is_archive or getattr(info, "transform_descriptors", None) or result.index.offset is None:
                    continue
                if info.relative_path not in opened:
                    opened[info.relative_path] = os.open(folder / info.relative_path, os.O_RDONLY)
                fd = opened[info.relative_path]
                archive = Archive(
                    LocalFile(fd, info.relative_path), Piece(info.relative_path, info.offset, info.length)
                )
                entry = archive.entries.get("data/0")
                if entry is None or not archive.has_checksums:
                    continue
                actual = entry.crc
                if self._context.read_back:
                    actual = crc_in_file(fd, archive.where("data/0"))
                result.__dict__[_RIDER] = (entry.crc, actual)
        finally:
            for fd in opened.values():
                os.close(fd)

    def _collect(self, running: Running, results: list[Any]) -> None:
        for of_rank in results:
            for result in of_rank:
                crcs = result.__dict__.pop(_RIDER, None)
                if crcs is not None:
                    running.written[key_of(result.index)] = crcs

    def _finished(self, running: Running, metadata: Any) -> None:
        """On the coordinator, once the metadata are written: write the manifest, and a record beside the trace."""
        save, folder = running.save, running.path
        if save is None:
            return
        for (name, offset), (stored, actual) in running.written.items():
            if stored != actual:
                text = f"`{name}` at {list(offset or ())} was written with the CRC-32 {stored:08x} and reads back with {actual:08x}"
                save.errors.append(text)
        if save.errors:
            say("".join(f"CHECKPOINT: {error} in {save.path}\n" for error in save.errors))
        if folder is not None and metadata is not None and (folder / ".metadata").is_file() and running.written:
            manifest.write(folder, self._manifest(running, metadata))
        self._context.record("save", {**digests.as_dict(save), **_span(running)})

    def _failed(self, running: Running) -> None:
        """Record when a failed save ran: it may have failed because another rank wrote to the same folder."""
        if running.save is not None:
            self._context.record("save", {**digests.as_dict(running.save), **_span(running), "failed": True})

    def _manifest(self, running: Running, metadata: Any) -> dict[str, Any]:
        import torch

        tensors: dict[str, Any] = {}
        for name, item in metadata.state_dict_metadata.items():
            if not hasattr(item, "chunks"):
                continue
            chunks = []
            for chunk in item.chunks:
                crcs = running.written.get((name, tuple(chunk.offsets)))
                chunks.append([list(chunk.offsets), list(chunk.sizes), f"{crcs[0]:08x}" if crcs else None])
            dtype = str(item.properties.dtype).removeprefix("torch.")
            tensors[name] = {"dtype": dtype, "shape": list(item.size), "chunks": chunks}
            if name in running.placements:
                tensors[name]["placements"] = running.placements[name]
        save = running.save
        return {
            "collectivelint": manifest.VERSION,
            "save_id": getattr(metadata.storage_meta, "save_id", None) or "",
            "written": time.time(),
            "world_size": save.world_size if save is not None else None,
            "torch": torch.__version__,
            "site": {key: running.site.get(key) for key in ("path", "line", "function")},
            # The files cannot tell: each is as it was written.
            "lost": {loss.key[0]: loss.kept for loss in save.losses if loss.is_serious} if save is not None else {},
            "tensors": tensors,
        }


def _span(running: Running) -> dict[str, Any]:
    """From when to when a save ran (seconds since the epoch), and on which rank."""
    return {"begun": running.begun, "ended": time.time(), "rank": _own_rank()}


def _own_rank() -> int:
    import torch.distributed as dist

    return int(dist.get_rank()) if dist.is_initialized() else 0


def _global_rank(group: Any, position: int) -> int:
    import torch.distributed as dist

    return position if group is None else int(dist.get_global_rank(group, position))


def _items(planner: Any, plan: Any) -> Any:
    """The items of a plan; if DCP's plan cache sent an empty plan, those of the planner's own."""
    if getattr(plan, "usable", True):
        return plan.items
    own = getattr(planner, "plan", None)
    return own.items if own is not None and getattr(own, "usable", True) else ()
