"""Reports a process group that is initialised with a local rank, or used before the device is set.

## What it does
- Finds `init_process_group` and `DistributedSampler` whose `rank` is a local rank (`LOCAL_RANK`,
  `get_node_local_rank()`): the number of the process on its node, not in the job; or a parameter other than the
  one called `global_rank`. Not reported are a function that sets the address of the first node to this machine, and a
  file that starts the job on one node (`LaunchConfig(max_nodes=1)`).
- Finds `torch.cuda.set_device` after `init_process_group` and a collective, in one function. A group with the gloo
  backend, or with a `device_id`, is not reported. `new_group` uses no device: the first collective on its group does.

## Why is this bad
On one node both numbers are the same and everything works. On two nodes every number occurs twice: the processes wait
for ranks that do not exist, or replace each other, and the job hangs before its first step. The first collective on
NCCL uses the current device: if that is still device 0 on all ranks, they share one GPU and hang.

## Example
```python
import os

import torch.distributed as dist


def setup():
    rank = int(os.environ["LOCAL_RANK"])
    dist.init_process_group("nccl", rank=rank, world_size=int(os.environ["WORLD_SIZE"]))  # CL602
```

## Use instead
```python
import os

import torch.distributed as dist


def setup():
    dist.init_process_group("nccl", rank=int(os.environ["RANK"]), world_size=int(os.environ["WORLD_SIZE"]))
```

Under torchrun neither `rank` nor `world_size` is needed: `init_process_group` reads both from the environment.

## Confidence
Low: most programs that do so are made for one node, where both numbers are the same and torch guesses the right device.
Medium for a parameter other than the one called `global_rank`.

## References
- [torch.distributed.init_process_group](https://docs.pytorch.org/docs/stable/distributed.html#torch.distributed.init_process_group)
- [torchrun: environment variables](https://docs.pytorch.org/docs/stable/elastic/run.html#environment-variables)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import PLACES, WORLD, Call, Confidence, Constant, Place, Report, Rule, events, expressions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import ApiCall, Findings, FunctionFacts


RULE: Final = Rule(
    "CL602", "late-set-device", "a process group initialised with a local rank, or used before the device is set"
)


#: What the address of the first node is set to where there is only one.
_LOOPBACK: Final = ("127.0.0.1", "localhost", "tcp://127.0.0.1", "tcp://localhost")


def _is_one_node(call: ApiCall) -> bool:
    """Whether a constant of the function is an address of this node, so that the job has no other."""
    texts = (expr.value for expr in expressions(call.function.body) if isinstance(expr, Constant))
    return any(isinstance(text, str) and text.startswith(_LOOPBACK) for text in texts)


def _has_one_node(findings: Findings, path: str) -> bool:
    """Whether a call of the file starts the job on one node: `LaunchConfig(max_nodes=1)`."""
    return any(
        isinstance(expr, Call) and any(item in expr.keywords for item in _ONE_NODE)
        for function in findings.analysis.program.functions(path).values()
        for expr in expressions(function.body)
    )


_ONE_NODE: Final = tuple((name, Constant(1)) for name in ("max_nodes", "num_nodes", "nnodes"))


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such call."""
    # Tests run on one node.
    for facts in findings.analysis.outside_tests:
        for call in facts.calls:
            if call.api.operation == "init":
                yield from _local_rank(findings, call)
                yield from _other_parameter(findings, call)
                yield from _late_device(facts, call)
            elif call.api.kind == "sampler":
                yield from _local_rank(findings, call)


def _other_parameter(findings: Findings, call: ApiCall) -> Iterator[Report]:
    """The `rank` that is another parameter than the one whose name says that it is the rank in the job."""
    rank, size = call.values.get("rank"), call.values.get("world_size")
    given = None if rank is None else rank.given_as
    names = [item.name for item in call.function.params]
    named = [name for name in names if name in findings.analysis.catalog.global_rank_names]
    if given is None or size is None or not named or given in named:
        return
    yield Report.at(
        call,
        message=f"`rank` of `init_process_group` is `{given}`, but the rank of this process in the job is `{named[0]}`",
        severity="error",
        trail=(Place(call.function.path, call.span, "collective", "init_process_group"),),
        help=f"pass `rank={named[0]}`",
        confidence=Confidence.MEDIUM,
    )


def _local_rank(findings: Findings, call: ApiCall) -> Iterator[Report]:
    rank = call.values.get("rank")
    if (
        rank is None
        or rank.reference.kind != "rank"
        or not rank.uniformity.varies
        or not rank.uniformity.varies <= PLACES
        or _is_one_node(call)
        or _has_one_node(findings, call.function.path)
    ):
        return
    # A sampler of as many replicas as a node has ranks shares out what all nodes have.
    size = call.values.get("num_replicas")
    if size is not None and size.extent.size_of is not WORLD:
        return
    sources = [Place(cause.path, cause.span, "source", "a rank of this node") for cause in rank.uniformity.causes]
    yield Report.at(
        call,
        message=f"`rank` of `{call.api.op}` is a rank of this node; with two nodes each number occurs twice",
        severity="error",
        trail=(*sources, Place(call.function.path, call.span, "call", call.api.op)),
        help='pass the global rank, `int(os.environ["RANK"])`, or leave it out',
        # Most programs that do so are made for one node.
        confidence=Confidence.LOW,
    )


def _late_device(facts: FunctionFacts, call: ApiCall) -> Iterator[Report]:
    backend = call.values.get("backend")
    if "device_id" in call.values or (backend is not None and backend.constant in ("gloo", "mpi")):
        return
    devices = [other for other in facts.calls if other.api.kind == "device"]
    if not devices or any(other.span < call.span or other.conditional for other in devices):
        return
    late = devices[0]
    used = [
        event
        for event in events(facts.term)
        # `new_group` opens no communicator where the default group has no `device_id`: its first collective does.
        if event.kind == "collective" and call.span < event.place[0] < late.span
    ]
    if used:
        path = call.function.path
        yield Report.at(
            late,
            message=f"the device is set after `{used[0].op}`, which has already used another one",
            severity="error",
            trail=(
                Place(path, call.span, "note", "the process group is created"),
                Place(path, used[0].place[0], "collective", f"{used[0].op}, on the device that is set at this point"),
                Place(path, late.span, "note", "the device is set"),
            ),
            help="set the device before `init_process_group`, or pass `device_id` to it",
            # One rank a device on one node, with the numbers in order, gets the device that torch guesses.
            confidence=Confidence.LOW,
        )
