"""In the job: what torch.distributed.checkpoint is about to save is compared between ranks, and what it has saved is noted.

Nothing is sent that DCP does not send anyway: digests ride on the plans it gathers, as an attribute that neither planners nor the
metadata know, and checksums of what was written on the results it gathers. A rank that is not audited sends none, one that is not
audited ignores them. Whatever goes wrong here is told once, and the save goes on.
"""

from __future__ import annotations

import ctypes
import dataclasses
import inspect
import json
import os
import sys
import time
import zlib
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..hook import READ_BACK
from . import digests, manifest
from .archive import Archive
from .digests import Digest, Save
from .files import FileHooks
from .model import Piece

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ..sites import Sites
    from .digests import Key

#: What rides on plans and results: frozen dataclasses without slots, whose `__dict__` is pickled with them.
_RIDER: Final = "_collectivelint"


class _Running:
    """A save or a load under way on this rank."""

    def __init__(self, planner: Any, storage: Any, group: Any, site: Mapping[str, Any]) -> None:
        self.planner, self.storage, self.group, self.site = planner, storage, group, site
        self.plan: Any = None
        #: Of the coordinator only: what the save does, and by (name, offset) the checksum of what was written.
        self.save: Save | None = None
        self.written: dict[Key, tuple[int, int]] = {}
        self.placements: dict[str, str] = {}

    @property
    def path(self) -> Path | None:
        """Where the checkpoint goes, if that is a local folder."""
        path = getattr(self.storage, "path", None)
        return Path(path) if isinstance(path, (str, os.PathLike)) and "://" not in str(path) else None


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """A tensor of a distributed checkpoint: its global shape, None where only the ranks know it, and the sizes of the parts."""

    shape: tuple[int, ...] | None
    parts: frozenset[tuple[int, ...]]

    def is_part(self, shape: tuple[int, ...]) -> bool:
        """Is a tensor of this shape one rank's part?"""
        return shape in self.parts and shape != self.shape


class Auditor:
    """The hooks of one process."""

    def __init__(self, folder: Path, sites: Sites) -> None:
        """`folder`: where the trace goes."""
        self._folder, self._sites = folder, sites
        self._read_back = os.environ.get(READ_BACK, "") not in ("", "0")
        self._current: ContextVar[_Running | None] = ContextVar("collectivelint_save", default=None)
        self._asked_at: ContextVar[Mapping[str, Any] | None] = ContextVar("collectivelint_site", default=None)
        self._warned = False
        self._count = 0
        #: What the distributed checkpoints of this job have taught about names.
        self.known: dict[str, Known] = {}
        self._files = FileHooks(self)

    def guarded(self, function: Callable[[], Any], otherwise: Any = None) -> Any:
        """Our trouble is not the job's."""
        try:
            return function()
        except Exception as error:
            self._complain(error)
            return otherwise

    def _complain(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            sys.stderr.write(f"collectivelint: a checkpoint could not be audited: {type(error).__name__}: {error}\n")

    def _begun(
        self, signature: inspect.Signature, args: Any, kwargs: Any, storage: str, planner: Callable[[], Any]
    ) -> tuple[_Running | None, Any, Any]:
        """What a save or load works with, and its arguments with a planner among them; None if they are not understood."""
        try:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = bound.arguments
            if given.get("planner") is None:
                given["planner"] = planner()
            running = _Running(given["planner"], given[storage], given.get("process_group"), self.site())
        except Exception as error:
            self._complain(error)
            return None, args, kwargs
        return running, bound.args, bound.kwargs

    def site(self) -> Mapping[str, Any]:
        """Where the user's code is, or was when it asked for an asynchronous save."""
        asked = self._asked_at.get()
        if asked is not None:
            return asked
        frame = self._sites.find(sys._getframe(1))
        while frame is not None and f"{os.sep}safetensors{os.sep}" in frame.f_code.co_filename:
            frame = self._sites.find(frame.f_back)
        return self._sites.describe(frame) if frame is not None else {}

    def hook_torch(self, serialization: Any) -> None:
        """Look at what torch.save writes."""
        self._files.hook_torch(serialization)

    def hook_safetensors(self, module: Any) -> None:
        """Look at what safetensors writes."""
        self._files.hook_safetensors(module)

    # --------------------------------------------------------------------------------------------------------- save

    def hook_saver(self, saver: Any) -> None:
        """Exchange the function that every form of saving ends in, and what it talks to the other ranks with."""
        original = saver._save_state_dict
        signature = inspect.signature(original)
        current = self._current

        def _save_state_dict(*args: Any, **kwargs: Any) -> Any:
            running, args, kwargs = self._begun(signature, args, kwargs, "storage_writer", saver.DefaultSavePlanner)
            token = current.set(running)
            try:
                metadata = original(*args, **kwargs)
            finally:
                current.reset(token)
            if running is not None and running.save is not None:
                found = running
                self.guarded(lambda: self._finished(found, metadata))
            return metadata

        saver._save_state_dict = _save_state_dict
        saver._DistWrapper = self._wrapper(saver._DistWrapper, self._plan_of_save)
        for name in ("_ThreadBasedAsyncCheckpointExecutor", "_ProcessBasedAsyncCheckpointExecutor"):
            if hasattr(saver, name):
                setattr(saver, name, self._sited(getattr(saver, name)))

    def _sited(self, base: Any) -> Any:
        """An asynchronous save runs in a thread, and was asked for somewhere else."""
        auditor = self

        class Executor(base):  # type: ignore[misc]
            def execute_save(self, *args: Any, **kwargs: Any) -> Any:
                token = auditor._asked_at.set(auditor.guarded(auditor.site, {}))
                try:
                    context = copy_context()
                finally:
                    auditor._asked_at.reset(token)
                pool = getattr(self, "_executor", None)
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

    def _wrapper(self, base: Any, planned: Callable[[_Running, Any, Any, Any], Any]) -> Any:
        """DCP's way to talk to the other ranks, with something riding on it."""
        auditor = self

        class _DistWrapper(base):  # type: ignore[misc]
            def reduce_scatter(self, step: str, map_fun: Any, reduce_fun: Any) -> Any:
                running = auditor._current.get()
                if running is None or step != "plan":
                    return super().reduce_scatter(step, map_fun, reduce_fun)
                local, reduce = planned(running, self, map_fun, reduce_fun)
                running.plan = super().reduce_scatter(step, local, reduce)
                return running.plan

            def all_reduce(self, step: str, map_fun: Any, reduce_fun: Any) -> Any:
                running = auditor._current.get()
                if running is None or step != "write":
                    return super().all_reduce(step, map_fun, reduce_fun)

                def local() -> Any:
                    results = map_fun()
                    auditor.guarded(lambda: auditor._attach_checksums(running, results))
                    return results

                def reduce(results: Any) -> Any:
                    auditor.guarded(lambda: auditor._collect(running, results))
                    return reduce_fun(results)

                return super().all_reduce(step, local, reduce)

        _DistWrapper.__name__ = _DistWrapper.__qualname__ = base.__name__
        return _DistWrapper

    def _plan_of_save(self, running: _Running, ranks: Any, map_fun: Any, reduce_fun: Any) -> Any:
        """What this rank says of its plan, and what the coordinator makes of all of them before it drops duplicates."""

        def local() -> Any:
            plan = map_fun()
            return self.guarded(lambda: self._attach(running, plan, ranks.get_world_size()), plan)

        def reduce(plans: list[Any]) -> Any:
            held = [getattr(plan, "__dict__", {}).pop(_RIDER, None) for plan in plans]
            made = reduce_fun(plans)
            self.guarded(lambda: self._judge(running, held, made))
            return made

        return local, reduce

    def _attach(self, running: _Running, plan: Any, world_size: int) -> Any:
        planner = running.planner
        state = getattr(planner, "state_dict", None) or {}
        found: dict[Key, tuple[Any, ...]] = {}
        placed: dict[str, str] = {}
        for item in _items(planner, plan):
            key, value = _key(item.index), state.get(item.index.fqn) if isinstance(state, dict) else None
            try:
                found[key] = tuple(_digest(planner, item, value, world_size))
            except Exception as error:
                # A tensor that cannot be read (meta) fails in the save as well, and says more there.
                found[key] = ("plain", None, (), type(error).__name__)
            placements = getattr(value, "placements", None)
            if placements is not None:
                placed[item.index.fqn] = str(tuple(placements))
        # The planner keeps the plan it has made.
        plan = dataclasses.replace(plan)
        plan.__dict__[_RIDER] = (found, placed)
        return plan

    def _judge(self, running: _Running, held: list[Any], plans: list[Any]) -> None:
        if not all(held):
            # Some rank is not audited: nothing can be said of what it holds.
            return
        by_position = [{key: Digest(*digest) for key, digest in found.items()} for found, _ in held]
        for _, placed in held:
            running.placements.update(placed)
        whole = getattr(running.planner, "global_plan", None) or plans
        kept = {_key(item.index): position for position, plan in enumerate(whole) for item in plan.items}
        ranks = [_global_rank(running.group, position) for position in range(len(held))]
        running.save = digests.compare(str(running.path or running.storage), running.site, by_position, kept, ranks)
        self._say(running.save)
        self._learn(running.save, by_position, whole)

    def _learn(self, save: Save, held: list[dict[Key, Digest]], plans: Iterable[Any]) -> None:
        """Of which names a rank holds a part only, and how large that is: see files.py."""
        for loss in save.losses:
            if loss.is_serious and loss.kind == "plain":
                self.known[loss.key[0]] = Known(None, frozenset(digest.sizes for _, digest in loss.variants))
        parts: dict[str, set[tuple[int, ...]]] = {}
        for digests_ in held:
            for (name, _), digest in digests_.items():
                if digest.kind == "sharded":
                    parts.setdefault(name, set()).add(digest.sizes)
        for plan in plans:
            for item in plan.items:
                name = item.index.fqn
                if name in parts and item.tensor_data is not None:
                    self.known[name] = Known(tuple(item.tensor_data.size), frozenset(parts[name]))

    def _say(self, save: Save) -> None:
        said = digests.text(save)
        if said:
            sys.stderr.write(said)
            sys.stderr.flush()

    # ------------------------------------------------------------------------------------------------- what was written

    def _attach_checksums(self, running: _Running, results: Iterable[Any]) -> None:
        """The CRC-32 that each chunk has in its file now: a few microseconds each."""
        folder = running.path
        if folder is None:
            return
        opened: dict[str, int] = {}
        try:
            for result in results:
                info = result.storage_data
                if getattr(info, "transform_descriptors", None) or result.index.offset is None:
                    continue
                if info.relative_path not in opened:
                    opened[info.relative_path] = os.open(folder / info.relative_path, os.O_RDONLY)
                fd = opened[info.relative_path]
                archive = Archive(fd, Piece(info.relative_path, info.offset, info.length))
                entry = archive.entries.get("data/0")
                if entry is None or not archive.has_checksums:
                    continue
                actual = entry.crc
                if self._read_back:
                    actual = _crc_in_file(fd, archive.where("data/0"))
                result.__dict__[_RIDER] = (entry.crc, actual)
        finally:
            for fd in opened.values():
                os.close(fd)

    def _collect(self, running: _Running, results: list[Any]) -> None:
        for of_rank in results:
            for result in of_rank:
                crcs = result.__dict__.pop(_RIDER, None)
                if crcs is not None:
                    running.written[_key(result.index)] = crcs

    def _finished(self, running: _Running, metadata: Any) -> None:
        """The coordinator, after the metadata are there: the manifest, and a word in the trace."""
        save, folder = running.save, running.path
        assert save is not None
        for (name, offset), (stored, actual) in running.written.items():
            if stored != actual:
                text = f"`{name}` at {list(offset or ())} was written with the CRC-32 {stored:08x} and reads back with {actual:08x}"
                save.errors.append(text)
        if save.errors:
            sys.stderr.write("".join(f"CHECKPOINT: {error} in {save.path}\n" for error in save.errors))
        if folder is not None and metadata is not None and (folder / ".metadata").is_file() and running.written:
            manifest.write(folder, self._manifest(running, metadata))
        self.record("save", digests.as_dict(save))

    def _manifest(self, running: _Running, metadata: Any) -> dict[str, Any]:
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

    def record(self, kind: str, data: Mapping[str, Any]) -> None:
        """Leave a word beside the trace, for the launcher and the report."""
        self._count += 1
        name = f"checkpoint-{os.uname().nodename}-{os.getpid()}-{self._count}.json"
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / name).write_text(json.dumps({"kind": kind, **data}), encoding="utf-8")

    # --------------------------------------------------------------------------------------------------------- load

    def hook_loader(self, loader: Any) -> None:
        """With --read-back: what was loaded is compared with what the chunks in the files should hold."""
        if not self._read_back:
            return
        original = loader._load_state_dict
        signature = inspect.signature(original)
        current = self._current

        def _load_state_dict(*args: Any, **kwargs: Any) -> Any:
            running, args, kwargs = self._begun(signature, args, kwargs, "storage_reader", loader.DefaultLoadPlanner)
            token = current.set(running)
            try:
                result = original(*args, **kwargs)
            finally:
                current.reset(token)
            if running is not None:
                found = running
                self.guarded(lambda: self._loaded(found))
            return result

        loader._load_state_dict = _load_state_dict
        loader._DistWrapper = self._wrapper(
            loader._DistWrapper, lambda _running, _ranks, local, reduce: (local, reduce)
        )

    def _loaded(self, running: _Running) -> None:
        """Each chunk that was read whole into one place, against the checksum it was written with."""
        metadata = getattr(running.planner, "metadata", None)
        folder = running.path
        if folder is None or metadata is None or running.plan is None:
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
                values = Archive(fd, Piece(info.relative_path, info.offset, info.length)).chunk()
                there = running.planner.resolve_tensor(item)
                same_dtype = str(there.dtype).removeprefix("torch.") == values.dtype
                if same_dtype and values.is_whole and values.crc is not None and _crc(there) != values.crc:
                    wrong.append(f"`{index.fqn}` at {list(index.offset)} in {info.relative_path}")
        finally:
            for fd in opened.values():
                os.close(fd)
        if wrong:
            more = f" and {len(wrong) - 1} more chunks" if len(wrong) > 1 else ""
            text = f"what was loaded from {folder} is not what was saved: {wrong[0]}{more}"
            sys.stderr.write(f"CHECKPOINT: {text}\n")
            self.record("load", {"path": str(folder), "site": dict(running.site), "wrong": True, "errors": [text]})


# ------------------------------------------------------------------------------------------------------------- digests


def _key(index: Any) -> Key:
    return index.fqn, None if index.offset is None else tuple(index.offset)


def _global_rank(group: Any, position: int) -> int:
    import torch.distributed as dist

    return position if group is None else int(dist.get_global_rank(group, position))


def _items(planner: Any, plan: Any) -> Any:
    """The items of a plan. With cached plans an empty one is sent, and the planner has the full one."""
    if getattr(plan, "usable", True):
        return plan.items
    own = getattr(planner, "plan", None)
    return own.items if own is not None and getattr(own, "usable", True) else ()


def _digest(planner: Any, item: Any, value: Any, world_size: int) -> Digest:
    kind = item.type.name
    if kind == "BYTE_IO":
        return Digest(
            "object", zlib.crc32(_canonical(planner.lookup_object(item.index)).encode("utf-8", "replace")), (), "object"
        )
    data = item.tensor_data
    sizes, dtype = tuple(data.chunk.sizes), str(data.properties.dtype).removeprefix("torch.")
    if kind == "TENSOR":
        return Digest("plain", _crc(planner.resolve_data(item)), sizes, dtype)
    may_repeat = _may_repeat(value, world_size) and 0 not in sizes
    return Digest("sharded", _crc(planner.resolve_data(item)) if may_repeat else None, sizes, dtype)


def _may_repeat(value: Any, world_size: int) -> bool:
    """May another rank hold the same part? Not if the placements shard it over all ranks of the save."""
    mesh, placements = getattr(value, "device_mesh", None), getattr(value, "placements", None)
    if mesh is None or placements is None:
        return True
    if mesh.size() < world_size:
        return True
    return any(
        not placement.is_shard() and type(placement).__name__ != "_StridedShard" and mesh.size(dimension) > 1
        for dimension, placement in enumerate(placements)
    )


def _crc(tensor: Any) -> int:
    """The CRC-32 of a tensor's bytes in row-major order, taken where they lie."""
    tensor = tensor.detach()
    if hasattr(tensor, "to_local"):
        tensor = tensor.to_local()
    tensor = tensor.resolve_conj().resolve_neg().contiguous().cpu()
    count = tensor.numel() * tensor.element_size()
    if not count:
        return 0
    return zlib.crc32(memoryview((ctypes.c_char * count).from_address(tensor.data_ptr())))


def _canonical(value: Any) -> str:
    """Equal values make equal text, which pickles do not; of things with a life of their own only the class is named."""
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}({','.join(map(_canonical, value))})"
    if isinstance(value, dict):
        return f"dict({','.join(sorted(f'{_canonical(key)}:{_canonical(item)}' for key, item in value.items()))})"
    if isinstance(value, (set, frozenset)):
        return f"set({','.join(sorted(map(_canonical, value)))})"
    known = value is None or isinstance(value, (bool, int, float, complex, str, bytes))
    return repr(value) if known else f"<{type(value).__qualname__}>"


def _crc_in_file(fd: int, piece: Piece) -> int:
    crc, position = 0, piece.offset
    while position < piece.offset + piece.length:
        block = os.pread(fd, min(1 << 20, piece.offset + piece.length - position), position)
        if not block:
            break
        crc = zlib.crc32(block, crc)
        position += len(block)
    return crc
