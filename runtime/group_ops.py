"""Collectives bound to one group: it is passed once, to the constructor, so no call can omit it."""

# The functions of torch.distributed say nothing of what they return; some are newer than the torch that is checked against.
# mypy: disable-error-code="no-any-return, attr-defined"

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    import torch

_SUM: Final = dist.ReduceOp.SUM


class GroupOps:
    """Every operation of `torch.distributed` that takes a group, on this group.

    The methods have the names and parameters of the functions, without `group`. Roots and peers (`src`, `dst`,
    `peer`) are ranks *in this group*, from 0 to `size - 1`, and so are ranks that are returned. A method fails with
    AttributeError where the installed torch does not have its function.

        ops = GroupOps(training)
        ops.all_reduce(loss, dist.ReduceOp.AVG)
        if ops.is_leader:
            write(model)
        ops.barrier()

    `group` is a process group or a mesh of one dimension. None is refused: say `dist.group.WORLD` for all ranks of the
    job. So is what `new_group` returns to a rank outside: that rank has nothing to call here.

    Raises:
        TypeError: `group` is neither a group nor a mesh.
        ValueError: the mesh has several dimensions, or this rank is not in the group.
    """

    __slots__ = ("group",)

    group: Final[dist.ProcessGroup]

    def __init__(self, group: dist.ProcessGroup | DeviceMesh) -> None:
        """All calls of this object run on `group`."""
        if isinstance(group, DeviceMesh):
            if group.ndim != 1:
                raise ValueError(f"a mesh of {group.ndim} dimensions has a group for each: pass mesh['name']")
            group = group.get_group()
        given: object = group
        if given is dist.GroupMember.NON_GROUP_MEMBER:
            raise ValueError("this rank is not in the group, so there is nothing it could call")
        if not isinstance(given, dist.ProcessGroup):
            raise TypeError(f"a process group or a mesh is needed, not {given!r}; for all ranks, dist.group.WORLD")
        self.group = given

    def __repr__(self) -> str:
        """As in `GroupOps(ranks [0, 2], this is rank 1)`."""
        return f"GroupOps(ranks {self.ranks}, this is rank {self.rank})"

    @property
    def rank(self) -> int:
        """This process's rank in the group."""
        return dist.get_rank(self.group)

    @property
    def size(self) -> int:
        """How many ranks the group has."""
        return dist.get_world_size(self.group)

    @property
    def is_leader(self) -> bool:
        """Whether this is rank 0 of the group."""
        return self.rank == 0

    @property
    def ranks(self) -> list[int]:
        """The global ranks of the members, by their rank in the group."""
        return dist.get_process_group_ranks(self.group)

    @property
    def backend(self) -> str:
        """The name of the backend: `gloo`, `nccl`."""
        return dist.get_backend(self.group)

    @property
    def backend_config(self) -> str:
        """The backend of each device: `cpu:gloo,cuda:nccl`."""
        return dist.get_backend_config(self.group)

    def global_rank(self, rank: int) -> int:
        """The rank in the whole job of a rank of this group."""
        return dist.get_global_rank(self.group, rank)

    def group_rank(self, rank: int) -> int:
        """The rank in this group of a rank of the whole job."""
        return dist.get_group_rank(self.group, rank)

    def barrier(
        self, async_op: bool = False, device_ids: list[int] | None = None, timeout: timedelta | None = None
    ) -> dist.Work | None:
        """Wait until all ranks of the group have called it."""
        if timeout is None:
            # The parameter is newer than the oldest torch that is supported.
            return dist.barrier(self.group, async_op, device_ids)
        return dist.barrier(self.group, async_op, device_ids, timeout=timeout)

    def monitored_barrier(self, timeout: timedelta | None = None, wait_all_ranks: bool = False) -> None:
        """A barrier that reports the ranks that did not reach it in time; gloo only."""
        dist.monitored_barrier(self.group, timeout, wait_all_ranks)

    def broadcast(self, tensor: torch.Tensor, src: int = 0, async_op: bool = False) -> dist.Work | None:
        """Copy the tensor of rank `src` to all ranks, in place."""
        return dist.broadcast(tensor, self.global_rank(src), self.group, async_op)

    def all_reduce(
        self, tensor: torch.Tensor, op: dist.ReduceOp.RedOpType = _SUM, async_op: bool = False
    ) -> dist.Work | None:
        """Reduce the tensors of all ranks; every rank has the result, in place."""
        return dist.all_reduce(tensor, op, self.group, async_op)

    def all_reduce_coalesced(
        self, tensors: list[torch.Tensor], op: dist.ReduceOp.RedOpType = _SUM, async_op: bool = False
    ) -> Any:
        """Reduce several tensors at once, each in place."""
        return dist.all_reduce_coalesced(tensors, op, self.group, async_op)

    def reduce(
        self, tensor: torch.Tensor, dst: int = 0, op: dist.ReduceOp.RedOpType = _SUM, async_op: bool = False
    ) -> dist.Work | None:
        """Reduce the tensors of all ranks; rank `dst` has the result, in place."""
        return dist.reduce(tensor, self.global_rank(dst), op, self.group, async_op)

    def all_gather(
        self, tensor_list: list[torch.Tensor], tensor: torch.Tensor, async_op: bool = False
    ) -> dist.Work | None:
        """Collect every rank's tensor on every rank; `tensor_list` has one for each."""
        return dist.all_gather(tensor_list, tensor, self.group, async_op)

    def all_gather_into_tensor(
        self, output_tensor: torch.Tensor, input_tensor: torch.Tensor, async_op: bool = False
    ) -> dist.Work | None:
        """Collect every rank's tensor in one, stacked or put one after the other."""
        return dist.all_gather_into_tensor(output_tensor, input_tensor, self.group, async_op)

    def all_gather_single(
        self, output_tensor: torch.Tensor, input_tensor: torch.Tensor, async_op: bool = False
    ) -> dist.Work | None:
        """What newer versions of torch call `all_gather_into_tensor`."""
        return dist.all_gather_single(output_tensor, input_tensor, self.group, async_op)

    def all_gather_coalesced(
        self,
        output_tensor_lists: list[list[torch.Tensor]],
        input_tensor_list: list[torch.Tensor],
        async_op: bool = False,
    ) -> Any:
        """Collect several tensors of every rank at once."""
        return dist.all_gather_coalesced(output_tensor_lists, input_tensor_list, self.group, async_op)

    def gather(
        self, tensor: torch.Tensor, gather_list: list[torch.Tensor] | None = None, dst: int = 0, async_op: bool = False
    ) -> dist.Work | None:
        """Collect every rank's tensor on rank `dst`, the only one that passes `gather_list`."""
        return dist.gather(tensor, gather_list, self.global_rank(dst), self.group, async_op)

    def gather_into_tensor(
        self, tensor: torch.Tensor, gather_tensor: torch.Tensor | None = None, dst: int = 0, async_op: bool = False
    ) -> dist.Work | None:
        """Collect every rank's tensor in one tensor on rank `dst`, the only one that passes `gather_tensor`."""
        return dist.gather_into_tensor(tensor, gather_tensor, self.global_rank(dst), self.group, async_op)

    def gather_single(
        self, tensor: torch.Tensor, gather_tensor: torch.Tensor | None = None, dst: int = 0, async_op: bool = False
    ) -> dist.Work | None:
        """What newer versions of torch call `gather_into_tensor`."""
        return dist.gather_single(tensor, gather_tensor, self.global_rank(dst), self.group, async_op)

    def scatter(
        self, tensor: torch.Tensor, scatter_list: list[torch.Tensor] | None = None, src: int = 0, async_op: bool = False
    ) -> dist.Work | None:
        """Send each rank its tensor of the list that only rank `src` passes."""
        return dist.scatter(tensor, scatter_list, self.global_rank(src), self.group, async_op)

    def reduce_scatter(
        self,
        output: torch.Tensor,
        input_list: list[torch.Tensor],
        op: dist.ReduceOp.RedOpType = _SUM,
        async_op: bool = False,
    ) -> dist.Work | None:
        """Reduce the lists of all ranks; each rank gets the result at its own index."""
        return dist.reduce_scatter(output, input_list, op, self.group, async_op)

    def reduce_scatter_tensor(
        self,
        output: torch.Tensor,
        input: torch.Tensor,  # noqa: A002  # torch's name for it
        op: dist.ReduceOp.RedOpType = _SUM,
        async_op: bool = False,
    ) -> dist.Work | None:
        """Reduce one tensor over all ranks; each rank gets its own part of the result."""
        return dist.reduce_scatter_tensor(output, input, op, self.group, async_op)

    def reduce_scatter_single(
        self,
        output: torch.Tensor,
        input: torch.Tensor,  # noqa: A002  # torch's name for it
        op: dist.ReduceOp.RedOpType = _SUM,
        async_op: bool = False,
    ) -> dist.Work | None:
        """What newer versions of torch call `reduce_scatter_tensor`."""
        return dist.reduce_scatter_single(output, input, op, self.group, async_op)

    def all_to_all(
        self, output_tensor_list: list[torch.Tensor], input_tensor_list: list[torch.Tensor], async_op: bool = False
    ) -> dist.Work | None:
        """Send each rank one tensor of a list, and receive one from each."""
        return dist.all_to_all(output_tensor_list, input_tensor_list, self.group, async_op)

    def all_to_all_single(
        self,
        output: torch.Tensor,
        input: torch.Tensor,  # noqa: A002  # torch's name for it
        output_split_sizes: list[int] | None = None,
        input_split_sizes: list[int] | None = None,
        async_op: bool = False,
    ) -> dist.Work | None:
        """Send each rank a part of one tensor; equal parts unless sizes along dimension 0 are given."""
        return dist.all_to_all_single(output, input, output_split_sizes, input_split_sizes, self.group, async_op)

    def all_gather_object(self, object_list: list[Any], obj: Any) -> None:
        """Collect every rank's object on every rank, in a list of `size` places."""
        dist.all_gather_object(object_list, obj, self.group)

    def gather_object(self, obj: Any, object_gather_list: list[Any] | None = None, dst: int = 0) -> None:
        """Collect every rank's object on rank `dst`, the only one that passes the list."""
        dist.gather_object(obj, object_gather_list, self.global_rank(dst), self.group)

    def scatter_object_list(
        self,
        scatter_object_output_list: list[Any],
        scatter_object_input_list: Sequence[Any] | None = None,
        src: int = 0,
    ) -> None:
        """Send each rank its object of the list that only rank `src` passes; it is written to index 0."""
        given = list(scatter_object_input_list) if scatter_object_input_list is not None else None
        dist.scatter_object_list(scatter_object_output_list, given, self.global_rank(src), self.group)

    def broadcast_object_list(self, object_list: list[Any], src: int = 0, device: torch.device | None = None) -> None:
        """Copy the objects of rank `src` to all ranks, in place."""
        dist.broadcast_object_list(object_list, self.global_rank(src), self.group, device)

    def send(self, tensor: torch.Tensor, dst: int, tag: int = 0) -> None:
        """Send to rank `dst`; return when it has been sent."""
        dist.send(tensor, self.global_rank(dst), self.group, tag)

    def recv(self, tensor: torch.Tensor, src: int | None = None, tag: int = 0) -> int:
        """Receive from rank `src`, or from any rank; return the sender's rank."""
        sender = dist.recv(tensor, None if src is None else self.global_rank(src), self.group, tag)
        return self.group_rank(sender)

    def isend(self, tensor: torch.Tensor, dst: int, tag: int = 0) -> dist.Work | None:
        """Begin to send to rank `dst`."""
        return dist.isend(tensor, self.global_rank(dst), self.group, tag)

    def irecv(self, tensor: torch.Tensor, src: int | None = None, tag: int = 0) -> dist.Work | None:
        """Begin to receive from rank `src`, or from any rank."""
        return dist.irecv(tensor, None if src is None else self.global_rank(src), self.group, tag)

    def send_object_list(
        self, object_list: list[Any], dst: int, device: torch.device | None = None, use_batch: bool = False
    ) -> None:
        """Send objects to rank `dst`."""
        dist.send_object_list(object_list, self.global_rank(dst), self.group, device, **_batched(use_batch))

    def recv_object_list(
        self,
        object_list: list[Any],
        src: int | None = None,
        device: torch.device | None = None,
        use_batch: bool = False,
    ) -> int:
        """Receive objects from rank `src`, or from any rank, in place; return the sender's rank."""
        root = None if src is None else self.global_rank(src)
        return self.group_rank(dist.recv_object_list(object_list, root, self.group, device, **_batched(use_batch)))

    def p2p_op(self, op: Callable[..., Any], tensor: torch.Tensor, peer: int, tag: int = 0) -> dist.P2POp:
        """One of the operations for `dist.batch_isend_irecv`: `op` is `dist.isend` or `dist.irecv`."""
        return dist.P2POp(op, tensor, self.global_rank(peer), self.group, tag)


def _batched(use_batch: bool) -> dict[str, bool]:
    # The parameter is newer than the oldest torch that is supported.
    return {"use_batch": True} if use_batch else {}
