"""Reads a folder: the parts of the checkpoint in it and below, unread files, and separate checkpoints."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from ..model import Checkpoint, CheckpointError, NoCheckpointError, NotReadError, Problem, Unread
from ..stores.path import StorePath
from . import dcp, units, universal
from .files import holds_data, kind_of
from .names import families, is_of_time
from .safetensors import PART
from .trackers import followed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Words in names of what stands beside the weights.
_BESIDE: Final = re.compile(
    r"optim|sched|rng|random|scaler|train|extra|sampler|dl_state|custom|args|meta|common|ema|loss", re.IGNORECASE
)

#: What people call a link to the checkpoint that is loaded.
_LAST: Final = re.compile(r"latest|last|best|current", re.IGNORECASE)
#: Folders in folders that are entered.
_DEEPEST: Final = 64
#: The root of a database in many files whose names are hashes.
_OCDBT: Final = "manifest.ocdbt"


@dataclass(slots=True)
class _Found:
    """The result of walking through a folder; names are relative to it."""

    dcp: list[Path] = field(default_factory=list)
    indexes: list[Path] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)
    #: Folders that were entered: links may lead back, or to one folder many times.
    entered: set[tuple[int, int]] = field(default_factory=set)


def load(path: Path) -> Checkpoint:
    """The checkpoint in a folder; raises CheckpointError if there is none, or several."""
    found = _Found()
    _walk(path, path, found)
    own = list(_units(path, found))
    if not own:
        apart = found.apart[:4]
        if len(found.apart) == 1:
            below = load(path / apart[0])
            return replace(below, problems=(*below.problems, *found.problems), unread=(*below.unread, *found.unread))
        if apart and not found.problems:
            raise NoCheckpointError(f"{path}: several checkpoints ({', '.join(apart)}); name the one that is meant")
        if found.problems:
            raise CheckpointError(f"{found.problems[0].where}: {found.problems[0].text}")
        what = f"; {found.unread[0].where}: {found.unread[0].why}" if found.unread else ""
        raise NoCheckpointError(
            f"{path}: not a checkpoint: neither .metadata and .distcp files, nor safetensors, nor files of torch.save{what}"
        )
    own.sort(key=lambda unit: _order(path, unit))
    main, *rest = own
    return replace(
        main,
        beside=tuple(rest),
        problems=(*main.problems, *found.problems),
        unread=(*main.unread, *found.unread),
        apart=tuple(found.apart),
    )


def _order(path: Path, unit: Checkpoint) -> tuple[bool, bool, int, bool, str]:
    """A sort key: weights first; then parts near the top and with several files before the rest."""
    name = (unit.path if unit.path != path or not unit.files else path / min(unit.files)).relative_to(path).as_posix()
    # The parameters of a universal checkpoint lie deeper than the placeholders beside them.
    return unit.format != universal.FORMAT, bool(_BESIDE.search(name)), name.count("/"), len(unit.files) < 2, name


def _walk(root: Path, folder: Path, found: _Found) -> None:
    if not isinstance(folder, StorePath):
        info = folder.stat()
        if (info.st_dev, info.st_ino) in found.entered:
            return
        found.entered.add((info.st_dev, info.st_ino))
    if len(folder.relative_to(root).parts) > _DEEPEST:
        text = f"deeper than {_DEEPEST} folders: not read"
        found.unread.append(Unread(f"{'/'.join(folder.relative_to(root).parts[:3])}/...", text))
        return
    entries = sorted(folder.iterdir())
    folders = [entry for entry in entries if entry.is_dir() and not entry.name.startswith((".", "__"))]
    # Of a folder and a link to it beside it, the folder is entered; of two ways to one place, the first.
    folders.sort(key=lambda entry: entry.is_symlink())
    if any(entry.name == _OCDBT for entry in entries):
        found.unread.append(
            Unread(folder.relative_to(root).as_posix(), "an OCDBT database, as Orbax writes it: not read")
        )
        return
    if isinstance(folder, StorePath):
        here = folder.relative_to(root).as_posix()
        why = "a name of an object that no file can have: not read"
        found.unread += [Unread(f"{here}/{name}".removeprefix("./"), why) for name in folder.unreachable()]
    is_dcp = dcp.is_one(folder)
    if is_dcp:
        found.dcp.append(folder)
    named: set[str] = set()
    for file in entries:
        name = file.relative_to(root).as_posix()
        if file.name.startswith(".") and not dcp.is_temporary(file.name):
            continue
        if not file.is_file():
            found.problems += _no_file(file, name)
            continue
        try:
            kind, why = kind_of(file)
        except OSError as error:
            found.problems.append(Problem("CK102", name, error.strerror or str(error)))
            continue
        match kind:
            case "index":
                found.indexes.append(file)
            case "safetensors" | "gguf" | "torch":
                found.data.append(name)
            case "tracker":
                target, problem = followed(file, name, folders, has_data=is_dcp or bool(found.data))
                named |= {target} if target else set()
                found.problems += [problem] if problem is not None else []
            case "temporary" if not is_dcp:
                found.problems.append(
                    Problem("CK103", name, "a temporary file: a save that did not finish, or is under way")
                )
            case "pointer":
                found.problems.append(Problem("CK102", name, "a pointer of Git LFS: the file itself was not fetched"))
            case "unknown":
                found.unread.append(Unread(name, why))
    for below in folders:
        if is_of_time(below.name) and below.name not in named:
            found.apart += [below.relative_to(root).as_posix()] if _has_files(below) else []
        else:
            try:
                _walk(root, below, found)
            except PermissionError as error:
                found.unread.append(Unread(below.relative_to(root).as_posix(), f"{error.strerror}: not read"))


def _no_file(file: Path, name: str) -> Iterator[Problem]:
    """Report a name that is not a regular file: a broken link, or a pipe in the place of weights."""
    if file.is_dir():
        return
    if file.is_symlink() and not file.exists():
        is_needed = holds_data(file.name) or is_of_time(file.name) or _LAST.search(file.name)
        text = f"is a link to {file.readlink()}, which is not there"
        yield Problem("CK102", name, text, "error" if is_needed else "note")
    elif holds_data(file.name):
        yield Problem("CK102", name, "is not a regular file")


def _has_files(folder: Path) -> bool:
    if isinstance(folder, StorePath):
        return any(folder.iterdir())
    return any(names for _, _, names in os.walk(folder))


def _units(path: Path, found: _Found) -> Iterator[Checkpoint]:
    """Read each part of the checkpoint; a part that cannot be read becomes a problem."""
    for folder in found.dcp:
        try:
            yield dcp.load(folder)
        except CheckpointError as error:
            if folder == path:
                raise
            name = folder.relative_to(path).as_posix()
            found.problems.append(Problem("CK101", name, str(error).removeprefix(f"{folder}: ")))
    left = set(found.data)
    shards = sorted(name for name in left if PART.search(name))
    for base in sorted({name.rpartition("/")[0] for name in shards}):
        some = [name for name in shards if name.rpartition("/")[0] == base]
        left -= set(some)
        yield units.parts(path, some)
    for file in found.indexes:
        head = "" if file.parent == path else f"{file.parent.relative_to(path).as_posix()}/"
        siblings = {name.removeprefix(head) for name in found.data if name.startswith(head)}
        if shards and head == (shards[0].rpartition("/")[0] + "/").lstrip("/"):
            # The index of a whole model that stands beside its parts is of files that are made of them later.
            continue
        try:
            unit = units.indexed(file, path, siblings)
        except CheckpointError as error:
            found.problems.append(
                Problem("CK102", file.relative_to(path).as_posix(), str(error).removeprefix(f"{file}: "))
            )
            continue
        left -= set(unit.files)
        yield unit
    by_parameter = universal.files_of(left)
    if by_parameter:
        left -= set(by_parameter)
        yield universal.load(path, by_parameter)
    for family in families(left):
        left -= set(family.members.values())
        yield units.kin(path, family)
    for name in sorted(left):
        file = path / name
        try:
            yield units.single(file)
        except NotReadError as error:
            found.unread.append(Unread(name, str(error).removeprefix(f"{file}: ").removeprefix(f"{file.name}: ")))
        except CheckpointError as error:
            text = str(error).removeprefix(f"{file}: ").removeprefix(f"{file.name}: ")
            found.problems.append(Problem("CK102", name, text))
