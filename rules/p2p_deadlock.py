"""Reports blocking sends and receives in an order in which neighbours wait for each other.

## What it does
Finds a blocking `send` to, or `recv` from, a rank that is computed from this rank's own, followed by the other of the
two, where all ranks run both in this order. Branches on the rank, `isend`, `irecv` and `batch_isend_irecv` are not
reported.

## Why is this bad
Every rank sends to its neighbour and waits until that one receives, but the neighbour is sending too. With small
messages on gloo it may work, since they are buffered; with NCCL, or larger ones, all ranks wait forever.
Receiving first hangs immediately.

## Example
```python
import torch
import torch.distributed as dist


def shift(tensor: torch.Tensor, received: torch.Tensor, group: dist.ProcessGroup):
    rank, size = dist.get_rank(group), dist.get_world_size(group)
    dist.send(tensor, group_dst=(rank + 1) % size, group=group)  # CL303
    dist.recv(received, group_src=(rank - 1) % size, group=group)
```

## Use instead
```python
import torch
import torch.distributed as dist


def shift(tensor: torch.Tensor, received: torch.Tensor, group: dist.ProcessGroup):
    rank, size = dist.get_rank(group), dist.get_world_size(group)
    work = dist.isend(tensor, group_dst=(rank + 1) % size, group=group)
    dist.recv(received, group_src=(rank - 1) % size, group=group)
    work.wait()
```

## References
- [Point-to-point communication](https://docs.pytorch.org/docs/stable/distributed.html#point-to-point-communication)
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from collectivelint.api import Place, Report, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import ApiCall, Findings, Operation


RULE: Final = Rule(
    "CL303",
    "p2p-deadlock",
    "sends and receives in which ranks wait for each other",
    default=False,
    holds="between ranks",
)

_SENDS: Final[frozenset[Operation]] = frozenset({"send", "send_object"})
_BLOCKING: Final[frozenset[Operation]] = frozenset({"send", "send_object", "recv", "recv_object"})


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each pair, at the first of the two."""
    for facts in findings.analysis.functions:
        calls = [call for call in facts.calls if call.api.operation in _BLOCKING]
        for first, second in pairwise(calls):
            if _sends(first) == _sends(second) or not (_is_a_neighbour(first) and _is_a_neighbour(second)):
                continue
            if any(call.alone or call.guards for call in (first, second)):
                continue
            path = facts.function.path
            yield Report.at(
                first,
                message=f"all ranks `{first.api.op}` first and `{second.api.op}` afterwards: neighbours wait for each other",
                severity="warning",
                trail=(
                    Place(path, first.span, "collective", f"{first.api.op}, on all ranks"),
                    Place(path, second.span, "collective", f"{second.api.op}, which no rank reaches"),
                ),
                help="use `batch_isend_irecv` or `isend`, or let odd ranks call the other one first",
            )


def _sends(call: ApiCall) -> bool:
    return call.api.operation in _SENDS


def _is_a_neighbour(call: ApiCall) -> bool:
    """Whether the peer is computed from this rank."""
    roles = ("dst", "group_dst") if _sends(call) else ("src", "group_src")
    names = [call.api.roles.get(role, "") for role in roles]
    peers = [call.values[name] for name in names if name in call.values]
    return any(cause.kind == "rank" for peer in peers for cause in peer.uniformity.causes)
