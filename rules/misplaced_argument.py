"""Reports a group that is passed where another argument is expected.

## What it does
Finds a process group at a position or keyword of a collective that is not its group (`reduce_scatter(out, parts, group)`:
the third argument is the reduce operation), and `src` together with `group_src`.

## Why is this bad
The collective runs on the default group, and the group is taken for something else: an error on some versions of PyTorch,
silence on others.

## Example
```python
import torch.distributed as dist


def scatter(out, parts, group: dist.ProcessGroup):
    dist.reduce_scatter(out, parts, group)  # CL109
```

## Use instead
```python
import torch.distributed as dist


def scatter(out, parts, group: dist.ProcessGroup):
    dist.reduce_scatter(out, parts, group=group)
```

## Fix safety
Safe: the argument is given by its name.

## References
- [torch.distributed.reduce_scatter](https://docs.pytorch.org/docs/stable/distributed.html#torch.distributed.reduce_scatter)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.analysis.domain.value import UNKNOWN
from collectivelint.analysis.summary.model import misplaced
from collectivelint.finding import Fix
from collectivelint.rule import Findings, FixContext, Place, Report, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.analysis.summary.model import ApiCall
    from collectivelint.rule import FixBuilder

RULE: Final = Rule("CL109", "misplaced-argument", "a group where another argument is expected", fix="safe")


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such call."""
    for call in findings.analysis.calls():
        if call.api.category not in ("collective", "point_to_point"):
            continue
        wrong = misplaced(call)
        both = [role for role in ("src", "dst") if _both(call, role)]
        if wrong is None and not both:
            continue
        if wrong is not None:
            message = f"a group is passed as `{wrong}` of `{call.api.op}`, which then runs on the default group"
        else:
            message = f"`{call.api.op}` gets both `{both[0]}` and `group_{both[0]}`; only one of them may be given"
        yield Report.at(
            call,
            message=message,
            severity="error",
            trail=(Place(call.function.path, call.span, "collective", call.api.op),),
            help="pass the group by its name: `group=`",
            fix=_builder(call, wrong) if wrong is not None else None,
        )


def _both(call: ApiCall, role: str) -> bool:
    names = [call.api.roles.get(role), call.api.roles.get(f"group_{role}")]
    given = [call.values[name] for name in names if name is not None and name in call.values]
    return len(given) == 2 and all(value.constant is UNKNOWN or value.constant is not None for value in given)


def _builder(call: ApiCall, wrong: str) -> FixBuilder:
    def build(context: FixContext) -> Fix | None:
        import libcst as cst

        anchored = context.anchor(call.statement)
        node = anchored.find(cst.Call, call.span) if anchored is not None else None
        position = call.api.params.index(wrong)
        if anchored is None or node is None or len(node.args) != position + 1:
            return None
        last = node.args[position]
        if last.keyword is not None:
            return None
        keyword = cst.Name(call.api.roles["group"])
        tight = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
        edits = anchored.replace(node, node.with_deep_changes(last, keyword=keyword, equal=tight))
        return Fix("safe", "Pass the group by its name", edits) if edits else None

    return build
