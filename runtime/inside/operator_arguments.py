"""Reads what is recorded of a call from the arguments of a dispatcher operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch

from . import torch_api
from .signatures import nested, reduce_name, shapes
from .tracer import COLLECTIVE, P2P

if TYPE_CHECKING:
    from ..operations import Operation

_PEERS: Final = ("root_rank", "src", "dst")


class Arguments:
    """The argument positions of one operator, computed once."""

    def __init__(self, operator: Any, operation: Operation, tensors: str) -> None:
        """`tensors` names the argument whose tensors are recorded."""
        arguments = torch_api.arguments(operator)
        self._op = operation.name
        self._names = [name for name, _ in arguments]
        self._defaults = tuple(default for _, default in arguments)
        self.kind = P2P if operation.kind == "p2p" else COLLECTIVE
        named = "process_group" if "process_group" in self._names else "group_name"
        self.group = self._names.index(named)
        self._peer = next((self._names.index(name) for name in _PEERS if name in self._names), None)
        self._async = self._position("async_op")
        self._tensors = self._position(tensors)
        self._reduce_op = self._position("reduce_op")
        self._tag = self._position("tag")
        self._splits = [self._position(name) for name in ("output_split_sizes", "input_split_sizes")]

    def _position(self, name: str) -> int | None:
        return self._names.index(name) if name in self._names else None

    def complete(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """All arguments in order, defaults included."""
        values = args + self._defaults[len(args) :]
        if kwargs:
            return tuple(kwargs.get(name, value) for name, value in zip(self._names, values, strict=True))
        return values

    def is_async(self, values: tuple[Any, ...]) -> bool:
        """Whether the caller gets a handle. Point-to-point operators always give one."""
        return self._async is None or bool(values[self._async])

    def is_imagined(self, values: tuple[Any, ...]) -> bool:
        """Whether the call is on meta tensors, with which torch.compile infers shapes. It does not communicate."""
        given = None if self._tensors is None else values[self._tensors]
        while isinstance(given, (list, tuple)) and given:
            given = given[0]
        return isinstance(given, torch.Tensor) and given.is_meta

    def peer(self, values: tuple[Any, ...]) -> int:
        """The root or peer, as a rank of the group; -1 if the operator has none."""
        return -1 if self._peer is None else int(values[self._peer])

    def key(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """The key of the call's signature, as `signatures.describe` reads it."""
        given = None if self._tensors is None else values[self._tensors]
        if given is None:
            tensors = None
        elif isinstance(given, torch.Tensor):
            tensors = ((given.shape, given.dtype),)
        else:
            tensors = nested(given) if given and not isinstance(given[0], torch.Tensor) else shapes(given)
        if self._splits[0] is not None and self._splits[1] is not None:
            return (self._op, tensors, None, tuple(values[self._splits[0]]), tuple(values[self._splits[1]]))
        if self.kind == P2P:
            return (self._op, tensors, 0 if self._tag is None else int(values[self._tag]))
        if self._reduce_op is None:
            return (self._op, tensors)
        given = values[self._reduce_op]
        reduce_op = given if isinstance(given, str) else torch_api.reduce_number_in(given)
        return (self._op, tensors) if reduce_op is None else (self._op, tensors, reduce_name(reduce_op))
