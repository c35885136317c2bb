"""Records when process groups are created. Creation has no dispatcher operator, so the functions that do it are hooked.

torch decorates them. The hook replaces only the function inside the decorator's closure, so the decorated function
keeps its identity, and modules that imported it early call the hook too.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..operations import CREATORS
from ..say import say
from ..traces.model import State
from . import torch_api
from .presence import Joining
from .signatures import CREATES
from .tracer import CREATE, OUTSIDER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import CellType, ModuleType

    from .tracer import Tracer


def hook_init(c10d: Any, tracer: Tracer, first: Callable[[], Sequence[str]]) -> None:
    """Call `first` before the first process group is created, and record the default group once it exists.

    `first` returns what this torch does not let us record; rank 0 reports it.
    """

    def init(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        unseen = first()
        with Joining(original, args, kwargs):
            result = original(*args, **kwargs)
        try:
            tracer.start(c10d.get_rank(), c10d.get_world_size(), torch_api.meeting_place())
            tracer.register(c10d.GroupMember.WORLD)
            if unseen and c10d.get_rank() == 0:
                say(f"collectivelint: traced without: {', '.join(unseen)}\n")
        except Exception as error:
            tracer.give_up(error)
        return result

    exchange(c10d, "init_process_group", init)


def hook_creation(c10d: Any, tracer: Tracer) -> None:
    """Record the creation of groups."""
    for name in CREATORS:
        if hasattr(c10d, name):
            exchange(c10d, name, functools.partial(_create, c10d, tracer, name))


def hook_outsiders(c10d: Any, tracer: Tracer) -> None:
    """Record calls by ranks that are not in the group."""

    def called(op_name: str) -> None:
        world = c10d.GroupMember.WORLD
        if world is not None and tracer.is_started:
            tracer.end(_begun(tracer, OUTSIDER, world, (op_name, None)), State.DONE)

    torch_api.hook_outsiders(called)


def _begun(tracer: Tracer, kind: int, world: Any, key: tuple[Any, ...]) -> int:
    """The number of a new event; 0 if recording it fails, which ends the trace but not the job."""
    try:
        return tracer.begin(kind, world, key, -1, False)
    except Exception as error:
        tracer.give_up(error)
        return 0


def _create(c10d: Any, tracer: Tracer, name: str, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    world = c10d.GroupMember.WORLD
    if world is None or not tracer.is_started:
        return original(*args, **kwargs)
    # An iterator can be read only once.
    args = tuple(list(arg) if isinstance(arg, Iterator) else arg for arg in args)
    kwargs = {key: list(value) if isinstance(value, Iterator) else value for key, value in kwargs.items()}
    key = _key(c10d, name, original, args, kwargs)
    number = _begun(tracer, CREATE, world, key) if key is not None else 0
    try:
        group = original(*args, **kwargs)
    except BaseException:
        tracer.reject(number, name, world)
        raise
    tracer.end(number, State.DONE)
    try:
        if isinstance(group, c10d.ProcessGroup):
            tracer.register(group)
    except Exception as error:
        tracer.give_up(error)
    return group


def _key(
    c10d: Any, name: str, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, ...] | None:
    """The arguments that must be equal on all ranks; None if only the members create the group, or they are unknown."""
    try:
        given = inspect.signature(original).bind(*args, **kwargs).arguments
        if given.get("use_local_synchronization"):
            return None
        if name == "split_group":
            parts = given.get("split_ranks")
            return (name, CREATES, tuple(tuple(map(int, part)) for part in parts) if parts is not None else ())
        if name != "new_group":
            return (name, CREATES, ())
        # As torch reads it: all ranks if there are none, and in order unless told otherwise.
        ranks = given.get("ranks")
        ranks = range(c10d.get_world_size()) if ranks is None else map(int, ranks)
        return (name, CREATES, tuple(sorted(ranks) if given.get("sort_ranks", True) else ranks))
    except Exception:
        return None


def exchange(module: ModuleType, name: str, around: Callable[..., Any]) -> None:
    """Replace a function by `around(original, ...)`, inside its decorators if it has any."""
    function = getattr(module, name)
    cell = _innermost(function, name)
    if cell is None:
        _rebind(module, function, functools.wraps(function)(functools.partial(around, function)))
        return
    original = cell.cell_contents
    cell.cell_contents = functools.wraps(original)(functools.partial(around, original))


def _innermost(function: Any, name: str) -> CellType | None:
    """The closure cell that holds the undecorated function of this name."""
    found = None
    while getattr(function, "__closure__", None):
        cells = [cell for cell in function.__closure__ if getattr(cell.cell_contents, "__name__", "") == name]
        if not cells:
            break
        found = cells[0]
        function = found.cell_contents
    return found


def _rebind(module: ModuleType, old: Any, new: Any) -> None:
    """Replace an undecorated function under every name that torch.distributed has for it."""
    import sys

    for other in (module, sys.modules.get("torch.distributed")):
        for name, value in list(vars(other).items()) if other is not None else []:
            if value is old:
                setattr(other, name, new)
