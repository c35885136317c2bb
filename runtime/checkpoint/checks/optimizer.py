"""CK301: every parameter has its optimizer state, of the same shape, and the step counters agree.

torch.distributed.checkpoint names the state `PREFIX.state.PARAMETER.SLOT`, and the parameters that the optimizer has
`PREFIX.param_groups.GROUP.params.N`, or flattened `PREFIX.param_groups.PARAMETER.lr`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final

from ...quantities import and_more
from ..formats.zip_directory import Archive
from ..model import CheckpointError, Problem
from .same_save import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..files import Side
    from ..model import Tensor

#: Slots of torch's own optimizers that have the shape of their parameter.
LIKE_PARAMETER: Final = frozenset(
    {"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg", "exp_inf"}
)


def check(side: Side) -> Iterator[Problem]:
    """What is wrong with the optimizer states of a checkpoint."""
    states: defaultdict[str, defaultdict[str, dict[str, Tensor]]] = defaultdict(lambda: defaultdict(dict))
    for name, tensor in side.checkpoint.tensors.items():
        prefix, found, rest = f".{name}".partition(".state.")
        parameter, _, slot = rest.rpartition(".")
        if found and parameter:
            states[prefix.removeprefix(".")][parameter][slot] = tensor
    known = _Parameters(side.checkpoint.tensors)
    for prefix, parameters in states.items():
        yield from _shapes(prefix, parameters, known)
        yield from _missing(prefix, parameters, known, side)
        yield from _steps(parameters, side)


def _shapes(prefix: str, parameters: Mapping[str, Mapping[str, Tensor]], known: _Parameters) -> Iterator[Problem]:
    shapes = {name: found for name in parameters if (found := known(name, prefix)) is not None}
    fits: Counter[str] = Counter()
    of: Counter[str] = Counter()
    for name, tensor in shapes.items():
        for slot, state in parameters[name].items():
            fits[slot] += state.shape == tensor.shape
            of[slot] += 1
    for name, tensor in shapes.items():
        for slot, state in parameters[name].items():
            # Optimizers of low rank have moments of other shapes, of most parameters then.
            is_most = 2 * fits[slot] > of[slot]
            if state.shape != tensor.shape and state.shape and (is_most or slot in LIKE_PARAMETER):
                text = (
                    f"the optimizer's state is {list(state.shape)}, its parameter `{tensor.name}` {list(tensor.shape)}"
                )
                is_part = is_most or _is_part(state.shape, tensor.shape)
                yield Problem("CK301", state.name, text, "error" if is_part else "note")


def _is_part(state: tuple[int, ...], parameter: tuple[int, ...]) -> bool:
    """Whether the shape is that of one rank's part: smaller in one dimension, by an integer factor."""
    if len(state) != len(parameter):
        return False
    apart = [(n, m) for n, m in zip(state, parameter, strict=True) if n != m]
    return len(apart) == 1 and 0 < apart[0][0] < apart[0][1] <= 16 * apart[0][0] and apart[0][1] % apart[0][0] == 0


#: A name with more dots was made to keep somebody busy.
_MOST_PARTS: Final = 64


class _Parameters:
    """Looks up the parameters of a checkpoint by the name that the optimizer uses."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors
        #: What a name ends in, after each of its dots -> the names.
        self._ending: defaultdict[str, list[str]] = defaultdict(list)
        for name in tensors:
            if ".state." not in f".{name}":
                parts = name.split(".")
                for first in range(1, min(len(parts), _MOST_PARTS)):
                    self._ending[".".join(parts[first:])].append(name)

    def __call__(self, name: str, prefix: str) -> Tensor | None:
        """The parameter of that name: unchanged, or with the model's common prefix."""
        if name in self._tensors:
            return self._tensors[name]
        if name.isdigit():
            # The optimizer's own number of a parameter, which says nothing.
            return None
        ends = [other for other in self._ending.get(name, ()) if other != f"{prefix}.{name}"]
        return self._tensors[ends[0]] if len(ends) == 1 else None


def _missing(prefix: str, parameters: Mapping[str, object], known: _Parameters, side: Side) -> Iterator[Problem]:
    begin = f"{prefix}.param_groups." if prefix else "param_groups."
    names = set()
    side.files.warm(item.piece for item in side.checkpoint.objects.values() if item.piece and ".params." in item.name)
    for name, item in side.checkpoint.objects.items():
        rest = name.removeprefix(begin)
        if not name.startswith(begin):
            continue
        group, _, place = rest.partition(".params.")
        if place and group.isdigit():
            if item.piece is not None:
                names.add(_string(side, name))
        elif "." in rest and not rest.split(".")[0].isdigit():
            names.add(rest.rpartition(".")[0])
    absent = sorted(name for name in names - set(parameters) if name and known(name, prefix) is not None)
    if absent and len(absent) < len(names):
        more = and_more(len(absent) - 1, "parameter")
        text = f"`{absent[0]}`{more} of {len(names)} in the optimizer have no state there"
        # One that never had a gradient has none, rightly.
        yield Problem("CK301", prefix or "optimizer", text, "note")


def _string(side: Side, name: str) -> str:
    item = side.checkpoint.objects[name]
    assert item.piece is not None
    try:
        found = Archive(side.files.open(item.piece.file), item.piece).pickled()
    except CheckpointError:
        return ""
    return found if isinstance(found, str) else ""


def _steps(parameters: Mapping[str, Mapping[str, Tensor]], side: Side) -> Iterator[Problem]:
    steps: defaultdict[float, list[str]] = defaultdict(list)
    for slots in parameters.values():
        tensor = slots.get("step")
        found = number(tensor, side.values.get((tensor.name, 0)), side) if tensor is not None else None
        if tensor is not None and found is not None:
            steps[found].append(tensor.name)
    if len(steps) > 1:
        shown = ", ".join(
            f"{len(names)} at {step:g}" for step, names in sorted(steps.items(), key=lambda s: -len(s[1]))[:4]
        )
        few = min(steps.values(), key=len)
        yield Problem(
            "CK301", few[0], f"step counters differ: {shown}; two saves mixed, or a parameter without gradients", "note"
        )
