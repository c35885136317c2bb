"""Process groups as they come and go: their creation has no operator, so the functions that do it are hooked.

torch decorates them, which helps: the decorated function that everybody has imported keeps its identity, and only the
function inside its closure is exchanged. Names that were bound early are covered too.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from .record import State
from .tracer import CREATE, OUTSIDER

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CellType, ModuleType

    from .tracer import Tracer

#: Functions that make one group for the ranks they are given; all others are built on them.
CREATORS: Final = ("new_group", "split_group", "shrink_group")


def hook_init(c10d: Any, tracer: Tracer, first: Callable[[], None]) -> None:
    """Call `first` before the first process group is made; record the default group when it is there."""

    def init(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        first()
        result = original(*args, **kwargs)
        try:
            tracer.start(c10d.get_rank(), c10d.get_world_size())
            tracer.register(c10d.GroupMember.WORLD)
        except Exception as error:
            tracer.give_up(error)
        return result

    _exchange(c10d, "init_process_group", init)


def hook_groups(c10d: Any, tracer: Tracer) -> None:
    """Record creations, destructions and calls by ranks that are not in the group."""
    for name in CREATORS:
        if hasattr(c10d, name):
            _exchange(c10d, name, functools.partial(_create, c10d, tracer, name))
    destroy = c10d.destroy_process_group

    @functools.wraps(destroy)
    def destroy_process_group(group: Any = None) -> None:
        destroy(group)
        if c10d.GroupMember.WORLD is None:
            tracer.forget()

    _rebind(c10d, destroy, destroy_process_group)
    warn = c10d._warn_not_in_group

    def outsider(op_name: str) -> None:
        world = c10d.GroupMember.WORLD
        if world is not None and tracer.is_started:
            tracer.end(tracer.begin(OUTSIDER, world, (op_name, None), -1, False), State.DONE)
        warn(op_name)

    c10d._warn_not_in_group = outsider


def _create(c10d: Any, tracer: Tracer, name: str, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    world = c10d.GroupMember.WORLD
    if world is None or not tracer.is_started:
        return original(*args, **kwargs)
    # As torch reads the argument: all ranks if there is none, and in order unless told otherwise.
    given = kwargs.get("ranks", args[0] if args and name == "new_group" else None)
    ranks = tuple(range(c10d.get_world_size()) if given is None else given)
    if kwargs.get("sort_ranks", True):
        ranks = tuple(sorted(ranks))
    # With local synchronisation only the members create the group: there is no order for all ranks to keep.
    local = bool(kwargs.get("use_local_synchronization"))
    number = 0
    if not local:
        number = tracer.begin(CREATE, world, (name, ranks, CREATE), -1, False)
    try:
        group = original(*args, **kwargs)
    except BaseException:
        tracer.end(number, State.FAILED)
        raise
    tracer.end(number, State.DONE)
    if group is not None and not isinstance(group, int) and group is not c10d.GroupMember.NON_GROUP_MEMBER:
        tracer.register(group)
    return group


def _exchange(module: ModuleType, name: str, around: Callable[..., Any]) -> None:
    """Put `around(original, ...)` in the place of a function, inside its decorators where it has some."""
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
    """Exchange a function that has no decorator wherever torch.distributed itself refers to it by name."""
    import sys

    for other in (module, sys.modules.get("torch.distributed")):
        for name, value in list(vars(other).items()) if other is not None else []:
            if value is old:
                setattr(other, name, new)
