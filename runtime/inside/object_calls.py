"""Functions that pickle an object before they communicate: if pickling fails, they raise without making a call."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Final

from .dispatcher_calls import warn_once
from .group_creation import exchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from .tracer import Tracer

FUNCTIONS: Final = (
    "all_gather_object",
    "broadcast_object_list",
    "gather_object",
    "recv_object_list",
    "scatter_object_list",
    "send_object_list",
)
_signature: Final = functools.cache(inspect.signature)


def hook_objects(c10d: Any, tracer: Tracer) -> None:
    """Record each exception raised by one of them if this rank has made no call on the group since entering it."""
    for name in FUNCTIONS:
        if hasattr(c10d, name):
            exchange(c10d, name, functools.partial(_call, c10d, tracer, name))


def _call(c10d: Any, tracer: Tracer, name: str, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    group = _group(c10d, original, args, kwargs)
    before = tracer.calls(group)
    try:
        return original(*args, **kwargs)
    except Exception as error:
        try:
            if group is not None and tracer.calls(group) == before:
                tracer.raised(name, group, error)
        except Exception as trouble:
            warn_once(trouble)
        raise


def _group(c10d: Any, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The group passed to a function; None if it is unknown, or this rank is not a member."""
    try:
        group = _signature(original).bind(*args, **kwargs).arguments.get("group") or c10d.GroupMember.WORLD
    except (TypeError, ValueError):
        return None
    return group if isinstance(group, c10d.ProcessGroup) else None
