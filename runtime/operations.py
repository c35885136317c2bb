"""The only list of the operations of torch.distributed. Needs no torch.

This table drives which methods and kernels are wrapped, how signatures are compared, the statistics, and the
translation of Flight Recorder dumps. The methods of GroupOps are typed code of their own; a test compares them with
`functions`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind: TypeAlias = Literal["collective", "p2p"]
#: What has to be equal on all ranks, beside the operation. "tensors": the number of elements and the dtype of each; "splits": what
#: a rank expects of another is what that one sends.
Equal: TypeAlias = Literal["reduce_op", "root", "splits", "tensors"]
#: Which argument of a method of ProcessGroup has the tensors that are recorded. "options" and "none": it has none, with options
#: (as the last argument) or without; "peer": a list of tensors, then the other rank, then a tag; "any": the same without the rank.
Tensors: TypeAlias = Literal[
    "first", "second", "first list", "second list", "second, splits", "options", "none", "peer", "any"
]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation by the name of its function.

    `functions` of torch.distributed and methods of GroupOps; `methods` of ProcessGroup, old and new names; `c10d` and
    `functional` operators of the dispatcher, each with the argument whose tensors are recorded; `recorded`: names in
    dumps of the Flight Recorder, of which the first is used when writing one.
    """

    name: str
    equal: frozenset[Equal] = frozenset()
    kind: Kind = "collective"
    #: All ranks have tensors of some shape, which may differ: gloo pads them, NCCL does not.
    loose: bool = False
    #: A rank leaves it only when all others are there.
    synchronises: bool = False
    #: Where ranks pass parameters of a model, or their gradients, they pass the same one. Ranks gather and scatter what differs.
    same_argument: bool = False
    #: All ranks have the same result; it is in the first argument of `methods` and of `c10d`, and `functional` returns it.
    same_result: bool = False
    functions: tuple[str, ...] = ()
    methods: Mapping[str, Tensors] = field(default_factory=dict)
    c10d: Mapping[str, str] = field(default_factory=dict)
    functional: Mapping[str, str] = field(default_factory=dict)
    recorded: tuple[str, ...] = ()


def _equal(*what: Equal) -> frozenset[Equal]:
    return frozenset(what)


OPERATIONS: Final = (
    Operation(
        "all_reduce",
        _equal("reduce_op", "tensors"),
        synchronises=True,
        same_argument=True,
        same_result=True,
        functions=("all_reduce",),
        methods={"allreduce": "first list"},
        c10d={"allreduce_": "tensors"},
        functional={"all_reduce": "input", "all_reduce_": "input"},
    ),
    Operation(
        "all_reduce_coalesced",
        _equal("reduce_op", "tensors"),
        same_result=True,
        functions=("all_reduce_coalesced",),
        methods={"allreduce_coalesced": "first list"},
        c10d={"allreduce_coalesced_": "tensors"},
        functional={"all_reduce_coalesced": "inputs", "all_reduce_coalesced_": "inputs"},
        recorded=("allreduce_coalesced",),
    ),
    Operation(
        "reduce",
        _equal("reduce_op", "root", "tensors"),
        same_argument=True,
        functions=("reduce",),
        methods={"reduce": "first list"},
        c10d={"reduce_": "tensors"},
    ),
    Operation(
        "broadcast",
        _equal("root", "tensors"),
        same_argument=True,
        same_result=True,
        functions=("broadcast",),
        methods={"broadcast": "first list"},
        c10d={"broadcast_": "tensors"},
        functional={"broadcast": "input", "broadcast_": "input"},
    ),
    Operation(
        "all_gather",
        loose=True,
        synchronises=True,
        same_result=True,
        functions=("all_gather",),
        methods={"allgather": "second list"},
        c10d={"allgather_": "input_tensors"},
    ),
    Operation(
        "all_gather_coalesced",
        same_result=True,
        functions=("all_gather_coalesced",),
        methods={"allgather_coalesced": "second list"},
        c10d={"allgather_coalesced_": "input_list"},
        recorded=("all_gather",),
    ),
    Operation(
        "all_gather_into_tensor",
        _equal("tensors"),
        synchronises=True,
        same_result=True,
        functions=("all_gather_into_tensor", "all_gather_single"),
        methods={"_allgather_base": "second", "all_gather_single": "second"},
        c10d={"_allgather_base_": "input_tensor"},
        functional={"all_gather_into_tensor": "input", "all_gather_into_tensor_out": "input"},
        recorded=("_all_gather_base", "all_gather_single"),
    ),
    Operation(
        "all_gather_into_tensor_coalesced",
        _equal("tensors"),
        same_result=True,
        methods={"allgather_into_tensor_coalesced": "second list", "all_gather_single_coalesced": "second list"},
        c10d={"allgather_into_tensor_coalesced_": "inputs"},
        functional={"all_gather_into_tensor_coalesced": "inputs"},
    ),
    # The lists that are gathered into or scattered exist on the root alone.
    Operation(
        "gather",
        _equal("root", "tensors"),
        functions=("gather",),
        methods={"gather": "second list"},
        c10d={"gather_": "input_tensors"},
    ),
    Operation(
        "gather_into_tensor",
        _equal("root", "tensors"),
        functions=("gather_into_tensor", "gather_single"),
        methods={"gather_into_tensor": "second", "gather_single": "second"},
        c10d={"gather_into_tensor_": "input_tensor"},
        recorded=("gather_into_tensor", "gather_single"),
    ),
    Operation(
        "scatter",
        _equal("root", "tensors"),
        functions=("scatter",),
        methods={"scatter": "first list"},
        c10d={"scatter_": "output_tensors"},
    ),
    Operation(
        "reduce_scatter",
        _equal("reduce_op"),
        loose=True,
        functions=("reduce_scatter",),
        methods={"reduce_scatter": "first list"},
        c10d={"reduce_scatter_": "output_tensors"},
    ),
    Operation(
        "reduce_scatter_tensor",
        _equal("reduce_op", "tensors"),
        functions=("reduce_scatter_tensor", "reduce_scatter_single"),
        methods={"_reduce_scatter_base": "first", "reduce_scatter_single": "first"},
        c10d={"_reduce_scatter_base_": "output_tensor"},
        functional={"reduce_scatter_tensor": "input", "reduce_scatter_tensor_out": "input"},
        recorded=("_reduce_scatter_base", "reduce_scatter_single"),
    ),
    Operation(
        "reduce_scatter_tensor_coalesced",
        _equal("reduce_op", "tensors"),
        methods={"reduce_scatter_tensor_coalesced": "first list", "reduce_scatter_single_coalesced": "first list"},
        c10d={"reduce_scatter_tensor_coalesced_": "outputs"},
        functional={"reduce_scatter_tensor_coalesced": "inputs"},
    ),
    # Exchanges pieces of any size.
    Operation(
        "all_to_all",
        functions=("all_to_all",),
        methods={"alltoall": "second list"},
        c10d={"alltoall_": "input_tensors"},
        functional={"shard_dim_alltoall": "input"},
    ),
    Operation(
        "all_to_all_single",
        _equal("splits"),
        synchronises=True,
        functions=("all_to_all_single",),
        methods={"alltoall_base": "second, splits", "all_to_all_single": "second, splits"},
        c10d={"alltoall_base_": "input"},
        functional={"all_to_all_single": "input"},
        recorded=("all_to_all_single", "all_to_all_v_single"),
    ),
    Operation(
        "barrier", synchronises=True, functions=("barrier",), methods={"barrier": "options"}, c10d={"barrier": ""}
    ),
    Operation(
        "monitored_barrier",
        functions=("monitored_barrier",),
        methods={"monitored_barrier": "none"},
        c10d={"monitored_barrier_": ""},
        recorded=("barrier",),
    ),
    Operation(
        "send",
        kind="p2p",
        functions=("send", "isend"),
        methods={"send": "peer"},
        c10d={"send": "tensors"},
        functional={"isend": "tensor"},
    ),
    Operation(
        "recv",
        kind="p2p",
        functions=("recv", "irecv"),
        methods={"recv": "peer", "recv_anysource": "any"},
        c10d={"recv_": "tensors", "recv_any_source_": "tensors"},
        functional={"irecv": "tensor"},
    ),
)
#: Functions of Python objects, and the operations that they are made of.
OF_OBJECTS: Final[Mapping[str, tuple[str, ...]]] = {
    "all_gather_object": ("all_gather",),
    "broadcast_object_list": ("broadcast",),
    "gather_object": ("all_gather", "gather"),
    "recv_object_list": ("recv",),
    "scatter_object_list": ("broadcast", "scatter"),
    "send_object_list": ("send",),
}
#: Operators that do not communicate, and functional ones that make others, which are recorded.
SILENT: Final = frozenset({"check_for_nan", "_wrap_tensor_autograd", "wait_tensor"})
COMPOSITE: Final = frozenset({"batch_p2p_ops"})
#: Functions of torch.distributed that make one group for the ranks they are given; all others are built on them.
CREATORS: Final = ("new_group", "split_group", "shrink_group")


def _where(what: Equal) -> frozenset[str]:
    return frozenset(operation.name for operation in OPERATIONS if what in operation.equal)


SHAPED: Final = _where("tensors")
ROOTED: Final = _where("root")
SPLIT: Final = _where("splits")
LOOSE: Final = frozenset(operation.name for operation in OPERATIONS if operation.loose)
SYNCHRONISING: Final = frozenset(operation.name for operation in OPERATIONS if operation.synchronises)
SAME_RESULT: Final = frozenset(operation.name for operation in OPERATIONS if operation.same_result)
P2P: Final = frozenset(operation.name for operation in OPERATIONS if operation.kind == "p2p")


def dtypes(signature: Mapping[str, Any]) -> list[str] | None:
    """The sorted dtypes of a stored signature without those of empty tensors, or None.

    They must be equal on all ranks even where shapes may differ. None for point-to-point calls, if all tensors are
    empty, and if they are not recorded.
    """
    if signature.get("op") in P2P:
        return None
    tensors = signature.get("tensors") or signature.get("sent") or ()
    # A rank without data may hand in an empty tensor of any kind.
    return sorted({str(dtype) for shape, dtype in tensors if 0 not in shape}) or None


#: Fields of a signature that have to be equal, as far as they are there, and how reports name them.
COMPARED: Final = {"reduce_op": "reduce operation", "ranks": "ranks of the new group", "tensors": "shape"}

#: Names in a dump of the Flight Recorder -> those that people call by, where they are others; and the other way round.
FLIGHT_READ: Final = {
    recorded: operation.name
    for operation in OPERATIONS
    for recorded in operation.recorded
    if all(recorded != other.name for other in OPERATIONS)
}
FLIGHT_WRITTEN: Final = {operation.name: operation.recorded[0] for operation in OPERATIONS if operation.recorded}
#: In a dump, operations in which every rank has tensors of the same shapes; the last three are several in one.
FLIGHT_SHAPED: Final = (SHAPED - {"gather", "scatter"}) | {
    "coalesced",
    "ALLGATHER_coalesced",
    "REDUCE_SCATTER_coalesced",
}
