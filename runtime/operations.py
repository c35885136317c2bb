"""What the tracer knows of each operation of torch.distributed, by the name that people call it by. Needs no torch.

Of each: what has to be equal between ranks, and its names where it is seen: among the dispatcher's operators and in dumps of torch's
Flight Recorder. Methods of ProcessGroup are read by inside/python_calls.py, since each has its own order of arguments.
"""

from __future__ import annotations

from typing import Final

#: Operations in which every rank has tensors of the same shapes and dtypes, and those that rank 0 has to have alike.
#: Of the others nothing is compared: gather lists exist on the root alone, all_to_all exchanges pieces of any size.
SHAPED: Final = frozenset(
    {
        "all_gather_into_tensor",
        "all_reduce",
        "all_reduce_coalesced",
        "broadcast",
        "gather",
        "reduce",
        "reduce_scatter_tensor",
        "scatter",
        "all_gather_into_tensor_coalesced",
        "reduce_scatter_tensor_coalesced",
    }
)
#: Operations whose tensors may differ in shape between ranks; gloo pads them, NCCL does not.
LOOSE: Final = frozenset({"all_gather", "reduce_scatter"})
#: Operations with a root, which has to be the same rank for all.
ROOTED: Final = frozenset({"broadcast", "reduce", "gather", "scatter"})
#: Operations that a rank leaves only when all others are there.
SYNCHRONISING: Final = frozenset({"barrier", "all_reduce", "all_gather", "all_gather_into_tensor", "all_to_all_single"})

#: Operator of c10d -> the name people call it by, and the argument whose tensors are recorded. Operators that are not
#: here do not communicate (`check_for_nan`).
C10D: Final = {
    "_allgather_base_": ("all_gather_into_tensor", "input_tensor"),
    "_reduce_scatter_base_": ("reduce_scatter_tensor", "output_tensor"),
    "allgather_": ("all_gather", "input_tensors"),
    "allgather_coalesced_": ("all_gather_coalesced", "input_list"),
    "allgather_into_tensor_coalesced_": ("all_gather_into_tensor_coalesced", "inputs"),
    "allreduce_": ("all_reduce", "tensors"),
    "allreduce_coalesced_": ("all_reduce_coalesced", "tensors"),
    "alltoall_": ("all_to_all", "input_tensors"),
    "alltoall_base_": ("all_to_all_single", "input"),
    "barrier": ("barrier", ""),
    "broadcast_": ("broadcast", "tensors"),
    "gather_": ("gather", "input_tensors"),
    "monitored_barrier_": ("monitored_barrier", ""),
    "recv_": ("recv", "tensors"),
    "recv_any_source_": ("recv", "tensors"),
    "reduce_": ("reduce", "tensors"),
    "reduce_scatter_": ("reduce_scatter", "output_tensors"),
    "reduce_scatter_tensor_coalesced_": ("reduce_scatter_tensor_coalesced", "outputs"),
    "scatter_": ("scatter", "output_tensors"),
    "send": ("send", "tensors"),
}
#: The same for functional collectives, which torch.compile and DTensor call.
FUNCTIONAL: Final = {
    "all_gather_into_tensor": ("all_gather_into_tensor", "input"),
    "all_gather_into_tensor_coalesced": ("all_gather_into_tensor_coalesced", "inputs"),
    "all_gather_into_tensor_out": ("all_gather_into_tensor", "input"),
    "all_reduce": ("all_reduce", "input"),
    "all_reduce_": ("all_reduce", "input"),
    "all_reduce_coalesced": ("all_reduce_coalesced", "inputs"),
    "all_reduce_coalesced_": ("all_reduce_coalesced", "inputs"),
    "all_to_all_single": ("all_to_all_single", "input"),
    "broadcast": ("broadcast", "input"),
    "broadcast_": ("broadcast", "input"),
    "irecv": ("recv", "tensor"),
    "isend": ("send", "tensor"),
    "reduce_scatter_tensor": ("reduce_scatter_tensor", "input"),
    "reduce_scatter_tensor_coalesced": ("reduce_scatter_tensor_coalesced", "inputs"),
    "reduce_scatter_tensor_out": ("reduce_scatter_tensor", "input"),
}
#: DTensor's own.
DTENSOR: Final = {"shard_dim_alltoall": ("all_to_all", "input")}

#: Names in a dump of the Flight Recorder -> those that people call by. The others are the same.
FLIGHT_READ: Final = {
    "_all_gather_base": "all_gather_into_tensor",
    "all_gather_single": "all_gather_into_tensor",
    "_reduce_scatter_base": "reduce_scatter_tensor",
    "reduce_scatter_single": "reduce_scatter_tensor",
    "allreduce_coalesced": "all_reduce_coalesced",
    "all_to_all_v_single": "all_to_all_single",
}
#: The other way round, for a dump that is written.
FLIGHT_WRITTEN: Final = {
    "all_gather_into_tensor": "_all_gather_base",
    "reduce_scatter_tensor": "_reduce_scatter_base",
    "all_reduce_coalesced": "allreduce_coalesced",
    "all_gather_coalesced": "all_gather",
    "monitored_barrier": "barrier",
}
#: In a dump, operations in which every rank has tensors of the same shapes.
FLIGHT_SHAPED: Final = frozenset(
    {"all_reduce", "broadcast", "reduce", "all_gather_into_tensor", "reduce_scatter_tensor", "all_reduce_coalesced"}
    | {"coalesced", "ALLGATHER_coalesced", "REDUCE_SCATTER_coalesced"}
)
