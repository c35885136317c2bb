"""Universal checkpoints of DeepSpeed: `zero/` has a folder per parameter, with a file each for value and states."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ..model import Checkpoint, Problem
from . import units

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from ..model import Object, Tensor

FORMAT: Final = "DeepSpeed universal"
#: `global_step10_universal/zero/model.embed.weight/exp_avg.pt`
_FILE: Final = re.compile(r"(?:^|/)zero/([^/]+)/(\w+)\.pt$")
_VALUES: Final = "fp32"
#: What the state of a parameter's optimizer is called here.
STATE: Final = "optimizer.state."
_OPTIMIZER: Final = "optimizer_state.pt"
#: What such a file calls the tensor in it.
_INSIDE: Final = "param"


def files_of(names: Iterable[str]) -> list[str]:
    """The files of a universal checkpoint among relative paths; [] if no parameter has its values there."""
    found = [name for name in names if _FILE.search(name)]
    return sorted(found) if any(name.endswith(f"/{_VALUES}.pt") for name in found) else []


def load(folder: Path, names: Iterable[str]) -> Checkpoint:
    """Those files as one checkpoint: a parameter by its name, its states as `optimizer.state.NAME.exp_avg`."""
    read = units.Read(folder, dict.fromkeys(names))
    tensors: dict[str, Tensor] = {}
    objects: dict[str, Object] = {}
    states: defaultdict[str, set[str]] = defaultdict(set)
    # Whether a tensor is in the file of each state that was read.
    has_tensor: dict[tuple[str, str], bool] = {}
    for file in read.sizes:
        match = _FILE.search(file)
        assert match is not None
        parameter, state = match.groups()
        states[parameter].add(state)
        plain = parameter if state == _VALUES else f"{STATE}{parameter}.{state}"
        content = read.contents.get(file)
        if content is not None:
            has_tensor[(parameter, state)] = not content.tensors.keys().isdisjoint(("", _INSIDE))
        for name, tensor in content.tensors.items() if content is not None else ():
            full = plain if name in ("", _INSIDE) else f"{plain}.{name}"
            tensors[full] = replace(tensor, name=full)
        for name, item in content.objects.items() if content is not None else ():
            full = f"{plain}.{name}" if name else plain
            objects[full] = replace(item, name=full)
    problems = (*read.problems, *_lacking(states), *_empty(has_tensor), *_common(folder, read.sizes))
    return Checkpoint(folder, FORMAT, tensors, objects, read.sizes, problems, unread=tuple(read.unread))


def _common(folder: Path, names: Iterable[str]) -> Iterator[Problem]:
    """What is common to all parameters is in a file of its own, without which DeepSpeed loads nothing."""
    for head in sorted({match.string[: match.start(1)] for name in names if (match := _FILE.search(name))}):
        if not (folder / head / _OPTIMIZER).is_file():
            yield Problem(
                "CK103", f"{head}{_OPTIMIZER}", "is missing: the state of the optimizer that belongs to no parameter"
            )


def _lacking(states: Mapping[str, set[str]]) -> Iterator[Problem]:
    """Parameters without a state that most others have."""
    counts = Counter(state for some in states.values() for state in some)
    usual = {state for state, count in counts.items() if 2 * count > len(states)}
    for parameter, some in states.items():
        lacks = sorted(usual - some)
        if lacks:
            text = f"lacks {', '.join(f'{state}.pt' for state in lacks)}, which the other parameters have"
            yield Problem("CK103", f"zero/{parameter}", text)


def _empty(has_tensor: Mapping[tuple[str, str], bool]) -> Iterator[Problem]:
    """Files without the tensor that most others of that state have."""
    counts = Counter(state for _, state in has_tensor)
    filled = Counter(state for (_, state), is_there in has_tensor.items() if is_there)
    for (parameter, state), is_there in has_tensor.items():
        if not is_there and 2 * filled[state] > counts[state]:
            text = f"holds no tensor `{_INSIDE}`; {state}.pt of the other parameters does"
            yield Problem("CK103", f"zero/{parameter}/{state}.pt", text)
