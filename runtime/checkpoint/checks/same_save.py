"""CK205: files that record different steps; and the evidence that all files come from one save."""

from __future__ import annotations

import re
import struct
from collections import defaultdict
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ..formats import texts
from ..model import CheckpointError, Problem
from . import manifest
from .families import scalars

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ..files import Side
    from ..model import Tensor, Values

#: How it is told that all files are of one save.
Told: TypeAlias = Literal["one file", "manifest", "steps agree", "cannot be told"]

#: Counters of the whole job.
_OF_JOB: Final = ("global_steps", "global_step", "iteration")
#: Those of an optimizer: of all parameters the highest counts, since one without a gradient stands still.
_STEP: Final = "step"
_NUMBERS: Final = {"float32": "<f", "float64": "<d", "int64": "<q", "int32": "<i"}
#: Bytes of the storage of a number, at most.
_NUMBER: Final = 64
#: `global_step10`, `iter_0000100`, `checkpoint-500`, `epoch=0-step=3.ckpt`
_IN_NAME: Final = re.compile(r"(?:global_step_?|iter_|checkpoint-|[-_]step=)0*(\d+)(?=[/.]|$)")
_TRAINER: Final = "trainer_state.json"


def check(root: Path, sides: Sequence[Side]) -> Iterator[Problem]:
    """Recorded steps that differ between related files, or from the name of their folder."""
    for side in sides:
        of_file: defaultdict[str, dict[str, float]] = defaultdict(dict)
        for file, key, value in _steps(side):
            of_file[key][file] = max(value, of_file[key].get(file, value))
        for key, files in of_file.items():
            if len(set(files.values())) > 1 and side.checkpoint.local:
                yield Problem("CK205", *_apart(key, files))
                break
        else:
            for key in _OF_JOB:
                yield from _named(root, side, of_file[key])
    yield from _trainer(root)


def _apart(key: str, files: dict[str, float]) -> tuple[str, str]:
    """The file whose step differs from the most frequent one, with the message."""
    values = list(files.values())
    usual = max(values, key=lambda value: (values.count(value), value))
    odd = next(file for file, value in files.items() if value != usual)
    other = next(file for file, value in files.items() if value == usual)
    return odd, f"is of another save: its `{key}` is {files[odd]:g}, {usual:g} in {other}"


def _steps(side: Side) -> Iterator[tuple[str, str, float]]:
    for key, file, value in scalars(side.checkpoint):
        if key in (*_OF_JOB, _STEP) and isinstance(value, (int, float)) and not isinstance(value, bool):
            yield file, key, value
    counters = [t for t in side.checkpoint.tensors.values() if t.name.partition("@")[0].endswith(f".{_STEP}")]
    known = [side.values[(tensor.name, 0)].storage for tensor in counters if (tensor.name, 0) in side.values]
    side.files.warm(piece for piece in known if piece.length <= _NUMBER)
    for tensor in counters:
        found = number(tensor, side.values.get((tensor.name, 0)), side)
        if found is not None and tensor.chunks[0].piece is not None:
            yield tensor.chunks[0].piece.file, _STEP, found


def number(tensor: Tensor, values: Values | None, side: Side) -> float | None:
    """The value of a one-element tensor; None if it has another shape or dtype, or cannot be read."""
    if values is None or values.dtype not in _NUMBERS or tensor.shape not in ((), (1,)):
        return None
    form = struct.Struct(_NUMBERS[values.dtype])
    begin = values.storage.offset + values.start * form.size
    if values.storage.length < (values.start + 1) * form.size:
        return None
    try:
        data = side.files.open(values.storage.file).read(begin, form.size)
    except CheckpointError:
        return None
    found: float = form.unpack(data)[0]
    return found


def _named(root: Path, side: Side, files: dict[str, float]) -> Iterator[Problem]:
    for file, value in files.items():
        path = (side.checkpoint.folder / file).as_posix()
        inside = path.removeprefix(root.parent.as_posix()).lstrip("/")
        found = _IN_NAME.findall(inside)
        if found and int(found[-1]) != value:
            yield Problem("CK205", file, f"says that it is of step {value:g}, its name or folder that of {found[-1]}")
            return


def _trainer(root: Path) -> Iterator[Problem]:
    """Compare the step in the Trainer's state file with the name of its folder."""
    found = _IN_NAME.findall(root.name)
    try:
        step = texts.parsed(root / _TRAINER).get("global_step")
    except FileNotFoundError:
        return
    except (OSError, ValueError, AttributeError) as error:
        yield Problem("CK102", _TRAINER, f"cannot be read: {error}")
        return
    if found and isinstance(step, int) and int(found[-1]) != step:
        yield Problem("CK205", _TRAINER, f"says that it is of step {step}, its folder that of {found[-1]}")


def told(sides: Sequence[Side]) -> Told:
    """The evidence that all files are of one save."""
    if sum(len(side.checkpoint.files) for side in sides) < 2:
        return "one file"
    if (sides[0].checkpoint.folder / manifest.NAME).is_file():
        return "manifest"
    many = [side for side in sides if len(side.checkpoint.files) > 1]
    steps = [{file for file, _, _ in _steps(side)} for side in many]
    if (
        many
        and len(many) == len(sides)
        and all(len(files) == len(side.checkpoint.files) for side, files in zip(many, steps, strict=True))
    ):
        return "steps agree"
    return "cannot be told"
