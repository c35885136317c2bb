"""The operations of distributed programs as catalogue rows name them, and what the ranks must agree on for each.

Rules and the analysis test the operation of a call, not its name: frameworks use many names for one operation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Operations without data.
NoData: TypeAlias = Literal["barrier", "monitored_barrier"]
#: Collectives of tensors or buffers; several of them in one call are the same operation.
OfTensors: TypeAlias = Literal[
    "broadcast",
    "all_reduce",
    "reduce",
    "all_gather",
    "gather",
    "scatter",
    "reduce_scatter",
    "all_to_all",
    "scan",
    "permute",
]
#: Collectives of Python objects, which are pickled.
OfObjects: TypeAlias = Literal[
    "broadcast_object",
    "all_reduce_object",
    "reduce_object",
    "all_gather_object",
    "gather_object",
    "scatter_object",
    "all_to_all_object",
]
#: "batch" runs a list of sends and receives, each made by a "describe".
PointToPoint: TypeAlias = Literal["send", "recv", "isend", "irecv", "send_object", "recv_object", "batch", "describe"]
#: What makes and what ends the default process group.
Lifecycle: TypeAlias = Literal["init", "destroy"]
Checkpoint: TypeAlias = Literal["save", "async_save", "load"]
#: State is set that a framework reads on every rank, to decide which collectives come next.
Setting: TypeAlias = Literal["set"]
#: "rank" is the rank's own number in a group; "launched": whether the job is distributed; "members": the
#: ranks in a group.
Query: TypeAlias = Literal["rank", "world_size", "launched", "members"]
#: "composite" runs several collectives in one call.
Operation: TypeAlias = (
    NoData | OfTensors | OfObjects | PointToPoint | Lifecycle | Checkpoint | Setting | Query | Literal["composite"]
)
NO_DATA: Final[tuple[NoData, ...]] = get_args(NoData)
OF_TENSORS: Final[tuple[OfTensors, ...]] = get_args(OfTensors)
OF_OBJECTS: Final[tuple[OfObjects, ...]] = get_args(OfObjects)
POINT_TO_POINT: Final[tuple[PointToPoint, ...]] = get_args(PointToPoint)
LIFECYCLE: Final[tuple[Lifecycle, ...]] = get_args(Lifecycle)
SETTING: Final = "set"
CHECKPOINTS: Final[tuple[Checkpoint, ...]] = get_args(Checkpoint)

#: A property of a call that the ranks of its group have to agree on. "root": the rank that sends to all or receives from
#: all; "reduction": sum, maximum, ...; "numel": the number of elements, however they are arranged.
Agreed: TypeAlias = Literal["operation", "group", "root", "reduction", "dtype", "numel"]

#: Roles of parameters that name one rank, by its number in the job; and by that or its number in the group.
GLOBAL_ROOTS: Final = ("src", "dst")
ROOTS: Final = (*GLOBAL_ROOTS, "group_src", "group_dst")
#: The roles of the parameters that set an agreed property. Tensors set dtype and numel.
ROLES_OF: Final[Mapping[Agreed, tuple[str, ...]]] = {"root": ROOTS, "reduction": ("op",), "group": ("group",)}

_ALWAYS: Final[tuple[Agreed, ...]] = ("operation", "group")
#: What the ranks of a group have to agree on when they meet in a collective. Pieces of an all_to_all may have any size;
#: with lists of tensors so may those of an all_gather or reduce_scatter, which gloo pads.
AGREED: Final[Mapping[Operation, tuple[Agreed, ...]]] = {
    "barrier": _ALWAYS,
    "monitored_barrier": _ALWAYS,
    "broadcast": (*_ALWAYS, "root", "dtype", "numel"),
    "all_reduce": (*_ALWAYS, "reduction", "dtype", "numel"),
    "reduce": (*_ALWAYS, "root", "reduction", "dtype", "numel"),
    "all_gather": (*_ALWAYS, "dtype"),
    "gather": (*_ALWAYS, "root", "dtype", "numel"),
    "scatter": (*_ALWAYS, "root", "dtype", "numel"),
    "reduce_scatter": (*_ALWAYS, "reduction", "dtype"),
    "all_to_all": (*_ALWAYS, "dtype"),
    "scan": (*_ALWAYS, "reduction", "dtype", "numel"),
    "permute": (*_ALWAYS, "dtype", "numel"),
    "broadcast_object": (*_ALWAYS, "root"),
    "all_reduce_object": (*_ALWAYS, "reduction"),
    "reduce_object": (*_ALWAYS, "root", "reduction"),
    "all_gather_object": _ALWAYS,
    "gather_object": (*_ALWAYS, "root"),
    "scatter_object": (*_ALWAYS, "root"),
    "all_to_all_object": _ALWAYS,
    "composite": (*_ALWAYS, "root"),
    "init": ("operation",),
    "destroy": _ALWAYS,
    "save": _ALWAYS,
    "async_save": _ALWAYS,
    "load": _ALWAYS,
}


def agreed_roles(operation: Operation | None, what: Agreed) -> tuple[str, ...]:
    """The roles that set `what`, if the ranks have to agree on it; () if not. An unnamed operation may be any."""
    known = operation is None or what in AGREED.get(operation, ())
    return ROLES_OF.get(what, ()) if known else ()
