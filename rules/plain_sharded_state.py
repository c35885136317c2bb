"""Reports distributed checkpoints of plain tensors that are a different part of the model on each rank.

## What it does
Follows the state dict of a model that shards its parameters by hand (their sizes are divided by the number of ranks)
and state that each rank has for itself (of a random number generator) to `torch.distributed.checkpoint.save`. DTensor
parameters, as `fully_shard` and `parallelize_module` make them, are not reported; neither is a state with a rank in
its keys.

## Why is this bad
A checkpoint identifies a plain tensor by its name only. Tensors with the same name on several ranks count as
replicas, of which one is written: of every sharded parameter the part of one rank is kept, not always of the same
rank. Saving reports no error, and loading gives every rank the same part.

## Example
```python
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn


class ColumnParallel(nn.Module):
    def __init__(self, inputs: int, outputs: int, group: dist.ProcessGroup):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs // dist.get_world_size(group), inputs))


def save(model: ColumnParallel, folder, group: dist.ProcessGroup):
    dcp.save({"model": model.state_dict()}, checkpoint_id=folder, process_group=group)  # CL402
```

## Use instead
```python
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard


class ColumnParallel(nn.Module):
    def __init__(self, inputs: int, outputs: int, group: dist.ProcessGroup):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs // dist.get_world_size(group), inputs))


def save(model: ColumnParallel, folder, mesh: DeviceMesh, group: dist.ProcessGroup):
    weight = DTensor.from_local(model.weight, mesh, [Shard(0)])
    dcp.save({"model": {"weight": weight}}, checkpoint_id=folder, process_group=group)
```

State of one rank gets its own name: `{f"rng_{dist.get_rank()}": torch.get_rng_state()}`.

## References
- [torch.distributed.checkpoint.save](https://docs.pytorch.org/docs/stable/distributed.checkpoint.html#torch.distributed.checkpoint.state_dict_saver.save)
- [DTensor](https://docs.pytorch.org/docs/stable/distributed.tensor.html)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import Place, Report, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Findings

RULE: Final = Rule(
    "CL402",
    "plain-sharded-state",
    "a distributed checkpoint that treats shards as replicas",
    holds="between ranks",
)

_TEXTS: Final = {
    "hand": (
        "`{op}` treats plain tensors of the same name as replicas and keeps that of one rank, but each rank has a different part",
        "a parameter with this rank's share of a dimension",
        "make them DTensors with a placement, or give each rank's part its own name",
    ),
    "own": (
        "`{op}` keeps the value of one rank, but each rank has its own",
        "each rank has its own",
        "put the rank into its name",
    ),
}


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such call."""
    for call in findings.analysis.calls():
        state = call.values.get(call.api.saves or "")
        if (
            state is None
            or state.origin.sharded is None
            or state.origin.ranked
            or state.origin.sharded.kind not in _TEXTS
        ):
            continue
        message, source, advice = _TEXTS[state.origin.sharded.kind]
        cause = state.origin.sharded.cause
        yield Report.at(
            call,
            message=message.format(op=call.api.op),
            severity="error",
            trail=(
                Place(cause.path, cause.span, "source", source),
                Place(call.function.path, call.span, "collective", f"{call.api.op}, keeps the tensor of one rank"),
            ),
            help=advice,
        )
