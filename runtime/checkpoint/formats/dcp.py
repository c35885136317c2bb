"""Directories of torch.distributed.checkpoint: `.metadata` lists the chunks and where they lie in `__R_N.distcp`."""

from __future__ import annotations

import re
import stat
from collections import defaultdict
from contextlib import suppress
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from ..model import Checkpoint, CheckpointError, Chunk, Object, Piece, Problem, Tensor, missing_ranks
from .allowed import TENSOR_NAMES
from .limits import MOST_DIMENSIONS
from .stand_ins import METADATA_NAMES, Properties, Record
from .unpickle import Calls, unpickle

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping

NAME: Final = ".metadata"
#: `__1_0.distcp`: the first file of rank 1.
SHARD: Final = re.compile(r"__(\d+)_(\d+)\.distcp")
#: What `use_collectives=False` leaves instead of `.metadata`: one for each rank.
OF_RANK: Final = re.compile(r"__(\d+)\.metadata")
_TEMPORARY: Final = re.compile(r"\.metadata\.tmp$|^__\d+\.metadata\.tmp$|\.distcp\.tmp$|\.tmp$")
_NAMES: Final = {**TENSOR_NAMES, **METADATA_NAMES}
#: Bytes of metadata that are read at once.
_LARGE: Final = 16 << 20
#: The versions of the metadata that torch has had: none until 2.8, then this.
_VERSIONS: Final = frozenset({None, "", "1.0.0"})


def is_one(folder: Path) -> bool:
    """Whether the folder is such a directory, or the remains of one."""
    return any(NAME in name or SHARD.fullmatch(name) or OF_RANK.fullmatch(name) for name in _names(folder))


def is_temporary(name: str) -> bool:
    """Whether this is the name of a file that an unfinished save leaves behind."""
    return _TEMPORARY.search(name) is not None


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def load(folder: Path) -> Checkpoint:
    """Read the metadata; raises CheckpointError if there is none that can be read."""
    files = _files(folder)
    names = [NAME] if NAME in files else sorted(filter(OF_RANK.fullmatch, files))
    if not names:
        rest = ", ".join(sorted(files)[:3])
        raise CheckpointError(
            f"{folder}: no {NAME}; the save did not finish, or was not copied whole (there are {rest})"
        )
    tensors: defaultdict[str, list[Tensor]] = defaultdict(list)
    objects: dict[str, Object] = {}
    problems: list[Problem] = []
    save_id = ""
    for name in names:
        calls = Calls()
        read = _Metadata(name, _record(folder, name, calls))
        # Metadata have no enumerations of anybody's.
        calls.unsafe += calls.unclear
        problems += [Problem("CK104", name, text) for text in calls.refused]
        for tensor in read.tensors():
            tensors[tensor.name].append(tensor)
        objects.update({item.name: item for item in read.objects()})
        problems += read.problems
        # Without collectives each rank has an id of its own.
        save_id = read.save_id if len(names) == 1 else ""
    if NAME in files and any(map(OF_RANK.fullmatch, files)):
        text = f"metadata of a rank beside {NAME}, which is read instead: left over from another save"
        problems.append(Problem("CK103", min(filter(OF_RANK.fullmatch, files)), text, "note"))
    found = {name: _joined(parts) for name, parts in tensors.items()}
    # Of equal chunks in the metadata of several ranks one is listed, but all files are used.
    pieces = [chunk.piece for parts in tensors.values() for tensor in parts for chunk in tensor.chunks]
    for piece in pieces:
        if piece is not None and piece.file not in files:
            with suppress(OSError):
                files[piece.file] = (folder / piece.file).stat()
    problems += _about_files(files, [*pieces, *(item.piece for item in objects.values())], folder, names)
    used = {piece.file for piece in pieces if piece is not None}
    sizes = {name: info.st_size for name, info in files.items() if SHARD.fullmatch(name) or name in used}
    return Checkpoint(
        folder,
        "dcp",
        found,
        objects,
        sizes,
        tuple(problems),
        save_id=save_id,
        written=max(files[name].st_mtime for name in names),
    )


def _files(folder: Path) -> dict[str, os.stat_result]:
    """Regular files of the folder by name."""
    found: dict[str, os.stat_result] = {}
    for path in folder.iterdir():
        with suppress(OSError):
            info = path.stat()
            if stat.S_ISREG(info.st_mode):
                found[path.name] = info
    return found


def _record(folder: Path, name: str, calls: Calls) -> Any:
    file = folder / name
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            # Of a large one no more is held than was read until it turns out to be damaged.
            data = stream if size > _LARGE else stream.read()
            return unpickle(data, _NAMES, str(file), calls, size=size)
    except OSError as error:
        raise CheckpointError(f"{file}: {error.strerror or error}") from None


class _Metadata:
    """One unpickled metadata file; its content is untrusted."""

    def __init__(self, name: str, record: Any) -> None:
        self._name = name
        state = getattr(record, "__dict__", {})
        items, storage = state.get("state_dict_metadata"), state.get("storage_data")
        if not isinstance(record, Record) or not isinstance(items, dict) or not isinstance(storage, dict):
            raise CheckpointError(f"{name}: holds no metadata of a checkpoint")
        if not all(isinstance(key, str) for key in items):
            raise CheckpointError(f"{name}: holds names that are not text")
        self._items: dict[str, Any] = items
        meta = state.get("storage_meta")
        self.save_id = str(getattr(meta, "save_id", None) or "")
        self.problems: list[Problem] = []
        version = state.get("version")
        if version not in _VERSIONS:
            text = f"version {version!s:.40} of the format is not known here; what follows may be wrong"
            self.problems.append(Problem("CK101", name, text, "note"))
        self._where: dict[tuple[str, tuple[int, ...] | None], Piece] = {}
        for index, info in storage.items():
            self._add(index, info)

    def _add(self, index: Any, info: Any) -> None:
        name, offset = getattr(index, "fqn", None), getattr(index, "offset", None)
        path, begin, length = (getattr(info, key, None) for key in ("relative_path", "offset", "length"))
        if not isinstance(name, str) or not isinstance(path, str) or not _is_size(begin) or not _is_size(length):
            raise CheckpointError(f"{self._name}: an entry of its storage data makes no sense")
        key = (name, tuple(offset) if isinstance(offset, tuple) else None)
        packed = bool(getattr(info, "transform_descriptors", None))
        if _is_inside(path):
            self._where[key] = Piece(path, begin, length, packed)
        else:
            self.problems.append(
                Problem("CK102", name, f"lies in `{path:.80}`, outside of the checkpoint; it is not read")
            )
        if packed:
            text = "was transformed when it was written (compressed, say); its bytes are not read"
            self.problems.append(Problem("CK102", name, text, "note"))

    def tensors(self) -> Iterator[Tensor]:
        for name, item in self._items.items():
            if not hasattr(item, "chunks"):
                continue
            properties = getattr(item, "properties", None)
            dtype = properties.dtype if isinstance(properties, Properties) else ""
            yield Tensor(
                str(name), dtype, self._sizes(name, getattr(item, "size", None)), tuple(self._chunks(str(name), item))
            )

    def _chunks(self, name: str, item: Any) -> Iterator[Chunk]:
        for chunk in item.chunks if isinstance(item.chunks, (list, tuple)) else ():
            offsets = self._sizes(name, getattr(chunk, "offsets", None))
            sizes = self._sizes(name, getattr(chunk, "sizes", None))
            # A tensor that is not sharded may be filed without an offset.
            piece = self._where.get((name, offsets), self._where.get((name, None)))
            yield Chunk(offsets, sizes, piece, _rank_of(piece.file) if piece is not None else None)

    def _sizes(self, name: str, value: Any) -> tuple[int, ...]:
        if not isinstance(value, (tuple, list)) or len(value) > MOST_DIMENSIONS or not all(map(_is_size, value)):
            raise CheckpointError(f"{self._name}: the sizes of `{name:.80}` make no sense")
        return tuple(value)

    def objects(self) -> Iterator[Object]:
        for name, item in self._items.items():
            if not hasattr(item, "chunks"):
                yield Object(str(name), self._where.get((str(name), None)))


def _is_size(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and 0 <= value < 1 << 62


@lru_cache(maxsize=4096)
def _rank_of(file: str) -> int | None:
    """The rank that wrote a file of a chunk, if its name says so. Many chunks lie in few files."""
    shard = SHARD.fullmatch(PurePosixPath(file).name)
    return int(shard[1]) if shard is not None else None


@lru_cache(maxsize=4096)
def _is_inside(path: str) -> bool:
    """Whether a relative path stays inside its folder."""
    parts = PurePosixPath(path).parts
    return (
        bool(parts)
        and "\0" not in path
        and not path.startswith(("/", "\\"))
        and ".." not in parts
        and ":" not in parts[0]
    )


def _joined(parts: list[Tensor]) -> Tensor:
    """Merge the chunks that the metadata of several ranks list for one tensor."""
    first = parts[0]
    if len(parts) == 1:
        return first
    chunks = {(chunk.offsets, chunk.sizes): chunk for part in parts for chunk in part.chunks}
    return Tensor(first.name, first.dtype, first.shape, tuple(chunks.values()))


def _about_files(
    files: Mapping[str, os.stat_result],
    pieces: Iterable[Piece | None],
    folder: Path,
    names: list[str],
) -> Iterator[Problem]:
    """CK103 and CK205 from names, sizes and times: gaps, leftovers, files newer than the metadata."""
    used: defaultdict[str, int] = defaultdict(int)
    for piece in pieces:
        if piece is not None:
            used[piece.file] = max(used[piece.file], piece.offset + piece.length)
    ranks = {int(match[1]) for name in {*files, *used} if (match := SHARD.fullmatch(name))}
    has = {int(match[1]) for name in used if (match := SHARD.fullmatch(name))}
    missing = missing_ranks(ranks)
    if missing:
        # A rank all of whose parts others hold as well writes nothing.
        text = f"no file of rank {missing}, though there is one of rank {max(ranks)}; all it held may be held by others too"
        yield Problem("CK103", str(folder), text, "note")
    written = max(files[name].st_mtime for name in names)
    for name in sorted(files):
        shard = SHARD.fullmatch(name)
        if _TEMPORARY.search(name):
            yield Problem("CK103", name, "a temporary file: a save that did not finish, or is under way")
        elif shard is not None and name not in used and files[name].st_size:
            # A rank all of whose parts others have written leaves an empty file.
            rest = "of another save" if int(shard[1]) in has else "the metadata know nothing of that rank"
            yield Problem("CK103", name, f"no tensor refers to this file: {rest}")
        elif shard is not None and files[name].st_size > used[name] > 0:
            more = files[name].st_size - used[name]
            text = (
                f"has {more} bytes behind the last chunk: another rank, or another save, has written to the same file"
            )
            yield Problem("CK205", name, text)
        if shard is not None and name in used and files[name].st_mtime > written + _LATER:
            late = files[name].st_mtime - written
            text = f"is {late:.0f} s newer than {names[0]}: part of a save that did not finish, or copied"
            yield Problem("CK205", name, text, "note")


#: Seconds that a shard may be newer than the metadata, which are written last.
_LATER: Final = 2.0
