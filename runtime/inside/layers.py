"""Installs the layers that record calls of torch.distributed; a layer that this torch does not support is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.distributed import distributed_c10d as c10d

from . import python_calls, torch_api
from .dispatcher_calls import Kernels, unknown, warn_once
from .group_creation import hook_creation, hook_outsiders
from .object_calls import hook_objects
from .work_handles import Handles

if TYPE_CHECKING:
    from collections.abc import Callable

    from .tracer import Tracer


def install(tracer: Tracer) -> tuple[str, ...]:
    """Install the layers; return what is not recorded, as texts. Raises where torch lacks what all layers need."""
    unseen: dict[str, str] = dict.fromkeys(torch_api.probe(), "")

    def put(part: torch_api.Part, layer: Callable[[], None]) -> None:
        if part not in unseen:
            try:
                layer()
            except Exception as error:
                unseen[part] = f" ({type(error).__name__}: {error})"

    def ends(group: object) -> None:
        try:
            tracer.destroy(group)
        except Exception as error:
            warn_once(error)

    handles = Handles(tracer)
    kernels = Kernels(tracer, handles)
    without_method = python_calls.install(tracer, handles, kernels)
    put("waits for functional collectives", kernels.install_functional)
    # What these call is seen all the same.
    at_once = bool(without_method) or "waits for functional collectives" in unseen
    put("calls from C++", lambda: _prepare(kernels, at_once=at_once))
    put("coalescing", lambda: torch_api.hook_coalescing(handles.coalescing_begun, handles.coalescing_ended))
    put("the end of groups", lambda: torch_api.hook_end_of_groups(ends))
    put("calls of ranks outside the group", lambda: hook_outsiders(c10d, tracer))
    hook_creation(c10d, tracer)
    hook_objects(c10d, tracer)
    if "calls from C++" in unseen:
        unseen |= dict.fromkeys(without_method, "")
    else:
        unseen |= dict.fromkeys(unknown(), "")
    return tuple(part + reason for part, reason in unseen.items())


def _prepare(kernels: Kernels, *, at_once: bool) -> None:
    """Install the kernels before the first call that only they see, or now and for good if that moment is unknown."""
    try:
        torch_api.hook_users(kernels.around)
    except AttributeError:
        at_once = True
    if at_once:
        kernels.install_all(always=True)
