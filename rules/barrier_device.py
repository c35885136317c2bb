"""Reports a barrier that may run on the wrong GPU.

## What it does
Finds barriers on NCCL without `device_ids`, and those whose `device_ids` holds a global rank instead of the number of
a device on this node. A group with the gloo backend needs no device.

## Why is this bad
NCCL's barrier is an all_reduce of one number. Without a device torch guesses one from the rank, and if two ranks of a
node use the same GPU, the job hangs. A global rank is the number of a device that the second node does not have.

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

With torch 2.3 or newer, `init_process_group(device_id=...)` sets the device once for all calls.

## Fix safety
Unsafe: the number of the process on its node is the number of its device only if each process has its own device.

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
                help="pass the device of this process: `device_ids=[local_rank]`, or give `init_process_group` a `device_id`",
                fix=_naming(findings.analysis, call),
            )


def _wrong(call: ApiCall) -> str | None:
    devices = call.values.get("device_ids")
    if devices is None or devices.constant is None:
        return "`barrier` has no `device_ids`, so NCCL guesses the device"
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

    return call_fix(call, "unsafe", "Pass the device of this process", rewrite)
