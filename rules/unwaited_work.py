"""Reports an asynchronous collective that is never waited for.

## What it does
Follows the work handle of a call with `async_op=True`, of `isend` and of `irecv` within its function. It reports a
handle that is dropped, one that is assigned and never used, and one that is assigned in a loop but waited for only
after it: then only the last call is waited for. A handle that is returned, stored or passed on is not reported.

Confidence is low if the missing wait changes nothing with NCCL, which runs the calls of a group in order and keeps
their buffers alive: a tensor that is only sent (`isend`) and not written to afterwards, unless each iteration of a
loop drops one more handle; and a call that is followed, before its buffer is used, by a wait on the same group or a
synchronisation with the device.

## Why is this bad
The call returns before the data has arrived. The next reader of the buffer sees old values, new ones, or some of
each: with gloo always, with NCCL if another stream or the host reads it. A buffer that is freed meanwhile is
overwritten later.

## Example
```python
import torch.distributed as dist


def double(tensor, group: dist.ProcessGroup):
    dist.broadcast(tensor, group_src=0, group=group, async_op=True)  # CL301
    return tensor * 2
```

## Use instead
```python
import torch.distributed as dist


def double(tensor, group: dist.ProcessGroup):
    dist.broadcast(tensor, group_src=0, group=group, async_op=True).wait()
    return tensor * 2
```

Or keep the handle, run other work meanwhile, and then wait.

## Fix safety
Unsafe, and only for a handle that is dropped: `.wait()` after the call makes it synchronous.

## References
- [Synchronous and asynchronous collective operations](https://docs.pytorch.org/docs/stable/distributed.html#synchronous-and-asynchronous-collective-operations)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import Confidence, Place, Report, Rule, call_fix, is_covered, unwaited

if TYPE_CHECKING:
    from collections.abc import Iterator

    import libcst as cst

    from collectivelint.api import Fate, Findings


RULE: Final = Rule(
    "CL301", "unwaited-work", "an asynchronous collective that is never waited for", fix="unsafe", holds="between ranks"
)

_TEXTS: Final[dict[Fate, str]] = {
    "dropped": "the work handle of `{op}` is dropped and never waited for",
    "unused": "the returned work handle of `{op}` is never waited for",
    "overwritten": "each iteration overwrites the work handle of `{op}`; only the last one is waited for",
}


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such call."""
    program = findings.analysis.program
    for facts in findings.analysis.functions:
        if not facts.calls:
            continue
        for found in unwaited(facts.function, facts.calls, program.functions(facts.function.path)):
            call = found.call
            steps = [Place(call.function.path, call.span, "collective", f"{call.api.op}, asynchronous")]
            if found.wait is not None:
                steps.append(Place(call.function.path, found.wait, "note", "the last one is waited for here"))
            is_benign = found.fate != "overwritten" and is_covered(facts, call, findings.analysis.catalog)
            yield Report.at(
                call,
                message=_TEXTS[found.fate].format(op=call.api.op),
                severity="error",
                trail=tuple(steps),
                confidence=Confidence.LOW if is_benign else Confidence.HIGH,
                help="keep every handle and wait for it before the data is used",
                fix=call_fix(call, "unsafe", "Wait for it here", _waiting) if found.fate == "dropped" else None,
            )


def _waiting(node: cst.Call) -> cst.Call:
    import libcst as cst

    return cst.Call(cst.Attribute(node, cst.Name("wait")))
