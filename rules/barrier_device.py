"""Reports a barrier that may run on the wrong GPU.

## What it does
Finds barriers on NCCL that do not say which device to use, and those whose `device_ids` holds a rank of the whole job where
the number of a device on this node belongs. A group that is made for gloo needs none.

## Why is this bad
NCCL's barrier is an all_reduce of one number. Without a device torch guesses one from the rank, and if two ranks of a node
end up on one GPU, the job hangs. The rank of the job names a device that the second node does not have.

## Example
```python
import torch.distributed as dist


def synchronise(group: dist.ProcessGroup):
    dist.barrier(group=group, device_ids=[dist.get_rank()])  # CL601
```

## Use instead
```python
import torch.distributed as dist


def synchronise(group: dist.ProcessGroup):
    dist.barrier(group=group, device_ids=[dist.get_node_local_rank()])
```

With torch 2.3 or newer, `init_process_group(device_id=...)` says it once for all.

## Fix safety
Unsafe: the number of the process on its node is the number of its device where each process has one of its own.

## References
- [torch.distributed.barrier](https://docs.pytorch.org/docs/stable/distributed.html#torch.distributed.barrier)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import WORLD, Place, Report, Rule, call_fix, dotted_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    import libcst as cst

    from collectivelint.api import Analysis, ApiCall, Findings, FixBuilder


RULE: Final = Rule(
    "CL601", "barrier-device", "a barrier on NCCL that may run on the wrong GPU", default=False, fix="unsafe"
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such barrier."""
    for call in findings.analysis.calls():
        if call.api.operation != "barrier" or "device_ids" not in call.api.params or call.call.spread:
            continue
        message = _wrong(call)
        if message is not None:
            yield Report.at(
                call,
                message=message,
                severity="warning",
                trail=(Place(call.function.path, call.span, "collective", "barrier"),),
                help="name the device of this process: `device_ids=[local_rank]`, or give `init_process_group` a `device_id`",
                fix=_naming(findings.analysis, call),
            )


def _wrong(call: ApiCall) -> str | None:
    devices = call.values.get("device_ids")
    if devices is None or devices.constant is None:
        return "`barrier` does not say on which device it runs; NCCL guesses one"
    if any(
        WORLD in part.uniformity.varies and any(cause.kind == "rank" for cause in part.uniformity.causes)
        for part in devices.reference.parts
    ):
        return "`device_ids` of `barrier` is a global rank, but the devices of each node start from 0"
    return None


def _naming(analysis: Analysis, call: ApiCall) -> FixBuilder | None:
    """Builds the fix that gives a barrier of torch.distributed the number of the process on its node."""
    module = (dotted_name(call.call.function) or "").rpartition(".")[0]
    target = analysis.program.resolve(call.function.path, module) if module else None
    if target is None or target.name != "torch.distributed":
        return None

    def rewrite(node: cst.Call) -> cst.Call:
        import libcst as cst

        from collectivelint.api import with_argument

        value = cst.parse_expression(f"[{module}.get_node_local_rank()]")
        return with_argument(node, "device_ids", call.api.params.index("device_ids"), value)

    return call_fix(call, "unsafe", "Name the device of this process", rewrite)
