"""Validation of all external input to a trace: its JSON lines, and the names in them.

Code that uses the results may rely on their types. `parsed` returns None for invalid input; the other functions raise
ValueError.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final, get_args

from .model import Activity, ActivityKind, Argument, Ending, Exit, Failure, Group, GroupKey, Place, Raised

if TYPE_CHECKING:
    from collections.abc import Callable

#: No tensor has more elements, and no number of a trace is larger: it has to fit into what torch counts with.
_LARGEST: Final = 1 << 63
#: No job has more ranks.
_MOST_RANKS: Final = 1 << 22


def parsed(line: bytes) -> Any:
    """The value of a line of JSON; None if it is invalid, or nested deeper than any line that we write."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def parsed_lines(lines: list[bytes]) -> list[Any]:
    """The value of each line of JSON, as `parsed` gives it."""
    # As one text: Python's part in each would be most of it. No value of ours goes over the end of a line.
    found = parsed(b"[" + b",\n".join(lines) + b"]")
    return found if isinstance(found, list) and len(found) == len(lines) else list(map(parsed, lines))


def number(value: object) -> int:
    """An integer; not a bool."""
    if type(value) is int and -_LARGEST < value < _LARGEST:
        return value
    raise ValueError("no whole number")


def real(value: object) -> float:
    """A finite number, such as a time."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST:
        return float(value)
    raise ValueError("no number")


def text(value: object) -> str:
    """A string."""
    if isinstance(value, str):
        return value
    raise ValueError("no text")


def mapping(value: object) -> dict[str, Any]:
    """A JSON object."""
    if isinstance(value, dict):
        return value
    raise ValueError("no object")


def items(value: object) -> list[Any] | tuple[Any, ...]:
    """A JSON list."""
    if isinstance(value, list | tuple):
        return value
    raise ValueError("no list")


#: The members of each group that was read.
_MEMBERS: Final[dict[tuple[int, ...], tuple[int, ...]]] = {}


def group(value: object) -> Group:
    """A process group."""
    data = mapping(value)
    members = tuple(items(data.get("ranks")))
    if set(map(type, members)) != {int}:
        raise ValueError("no members")
    # Every rank names its groups: the members of those that thousands of ranks are in are checked and in memory once.
    ranks = _MEMBERS.get(members)
    if ranks is None:
        if (
            len(members) > _MOST_RANKS
            or min(members) < 0
            or max(members) >= _LARGEST
            or len(set(members)) < len(members)
        ):
            raise ValueError("no members")
        ranks = _MEMBERS[members] = members
    return Group(ranks, number(data.get("ordinal")), text(data.get("description")), real(data.get("timeout", 0)))


def place(value: object) -> Place:
    """A call site."""
    data = mapping(value)
    stack, via, started_at = (
        tuple(map(text, items(frames)))
        for frames in (data.get("stack"), data.get("via", ()), data.get("started_at", ()))
    )
    return Place(text(data.get("path")), number(data.get("line")), text(data.get("function")), stack, via, started_at)


def ending(value: object) -> Ending:
    """The exception that ended a process."""
    data = mapping(value)
    where = data.get("place")
    known: dict[object, Failure] = {name: name for name in get_args(Failure)}
    if (failure := known.get(text(data.get("failure")))) is None:
        raise ValueError("no such failure")
    return Ending(failure, text(data.get("error")), real(data.get("time")), place(where) if where is not None else None)


def activity(value: object) -> Activity:
    """What a main thread does."""
    data = mapping(value)
    known: dict[object, ActivityKind] = {name: name for name in get_args(ActivityKind)}
    if (kind := known.get(text(data.get("kind")))) is None:
        raise ValueError("no such activity")
    return Activity(kind, text(data.get("call")))


def raised(value: object, group: GroupKey) -> Raised:
    """An exception raised by a function of torch.distributed before its call on a group was made."""
    data = mapping(value)
    return Raised(
        text(data.get("op")),
        group,
        number(data.get("calls")),
        text(data.get("error")),
        real(data.get("time")),
        place(data.get("place")),
    )


def exited(value: object) -> Exit:
    """How a launcher saw a process end."""
    data = mapping(value)
    code = data.get("code")
    return Exit(number(code) if code is not None else None, text(data.get("signal")), real(data.get("time")))


def signature(value: object) -> dict[str, Any]:
    """The parts of a call that must agree between ranks, see signatures.py."""
    data = mapping(value)
    text(data.get("op"))
    for name in data:
        if (check := _SIGNATURE.get(name)) is not None:
            check(data[name])
    return data


def _tensors(value: object) -> None:
    for tensor in items(value):
        shape, dtype = items(tensor)
        text(dtype)
        if len(_sizes(shape)) > 64 or min(shape, default=0) < 0 or math.prod(shape) >= _LARGEST:
            raise ValueError("no shape of a tensor")


def _sizes(value: object) -> list[int]:
    return [number(size) for size in items(value)]


_SIGNATURE: Final[dict[str, Callable[[Any], object]]] = {
    "tensors": _tensors,
    "sent": _tensors,
    "output_split_sizes": _sizes,
    "input_split_sizes": _sizes,
    "reduce_op": text,
    "tag": number,
}


def argument(value: object) -> Argument:
    """The parameter, gradient, buffer or list of tensors that a call was passed."""
    data = mapping(value)
    names = tuple(map(text, items(data.get("names"))))
    if not names:
        raise ValueError("no name of a parameter")
    return Argument(text(data.get("part")), names)


def stream(value: object) -> dict[str, Any]:
    """A stream: the group, kind, operation, peer and tag of the calls that are counted together."""
    data = mapping(value)
    for name in ("group", "peer", "tag"):
        number(data.get(name))
    for name in ("kind", "op"):
        text(data.get(name))
    return data
