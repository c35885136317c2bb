"""Reports collectives under deprecated names.

## What it does
Finds calls of `_all_gather_base` and `_reduce_scatter_base`. Code that also knows the new name, to run on old and new
versions of torch, is not reported.

## Why is this bad
The old names warn at every call, and a future release will remove them.

## Example
```python
import torch.distributed as dist


def gather(whole, part, group: dist.ProcessGroup):
    dist._all_gather_base(whole, part, group=group)  # CL604
```

## Use instead
```python
import torch.distributed as dist


def gather(whole, part, group: dist.ProcessGroup):
    dist.all_gather_into_tensor(whole, part, group=group)
```

## Confidence
Low where no file of the program has the new name: it may be made for a torch that has none. Low, too, where the program silences
the warning by the old name: it is known there.

## Fix safety
Safe: the new names take the same arguments, and are what the old ones call.

## References
- [torch.distributed.all_gather_into_tensor](https://docs.pytorch.org/docs/stable/distributed.html#torch.distributed.all_gather_into_tensor)
- [torch.distributed.reduce_scatter_tensor](https://docs.pytorch.org/docs/stable/distributed.html#torch.distributed.reduce_scatter_tensor)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import Place, Report, Rule, call_fix, conditions_around, names_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    import libcst as cst

    from collectivelint.api import ApiCall, Findings, FixBuilder


RULE: Final = Rule("CL604", "deprecated-collective", "a deprecated name of a collective", fix="safe")


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such call."""
    for call in findings.analysis.calls():
        new = call.api.renamed
        if new is None or findings.analysis.program.mentions(call.function.path, new):
            continue
        if "hasattr" in names_in(conditions_around(call.function, call.span)):
            # There for a torch that has no other.
            continue
        yield Report.at(
            call,
            message=f"`{call.api.op}` is the old name of `{new}`",
            severity="warning",
            trail=(Place(call.function.path, call.span, "collective", call.api.op),),
            help=f"call `{new}`",
            fix=_renamed(call, new),
            api=call.api.name,
        )


def _renamed(call: ApiCall, new: str) -> FixBuilder:
    """Builds the fix that calls the collective by its new name."""

    def rewrite(node: cst.Call) -> cst.Call | None:
        import libcst as cst

        if not isinstance(node.func, cst.Attribute) or node.func.attr.value != call.api.op:
            return None
        return node.with_changes(func=node.func.with_changes(attr=cst.Name(new)))

    return call_fix(call, "safe", f"Call `{new}`", rewrite)
