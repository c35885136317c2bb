"""Reports a group that is passed where another argument is expected.

## What it does
Finds a process group at a position or keyword of a collective that is not its group (`reduce_scatter(out, parts, group)`:
the third argument is the reduce operation), and `src` together with `group_src`.

## Why is this bad
The collective runs on the default group, and the group is passed as another argument: an error in some versions of
PyTorch, ignored in others.

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
Safe: the argument is passed as a keyword.

## References
- [torch.distributed.reduce_scatter](https://docs.pytorch.org/docs/stable/distributed.html#torch.distributed.reduce_scatter)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import GLOBAL_ROOTS, Place, Report, Rule, call_fix, misplaced

if TYPE_CHECKING:
    from collections.abc import Iterator

    import libcst as cst

    from collectivelint.api import ApiCall, Findings, FixBuilder


RULE: Final = Rule(
    "CL109", "misplaced-argument", "a group passed where another argument is expected", fix="safe", holds="of groups"
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such call."""
    for call in findings.analysis.calls():
        if call.api.category not in ("collective", "point_to_point"):
            continue
        wrong = misplaced(call)
        both = [role for role in GLOBAL_ROOTS if _both(call, role)]
        if wrong is None and not both:
            continue
        if wrong is not None:
            message = f"a group is passed as `{wrong}` of `{call.api.op}`, which then runs on the default group"
        else:
            message = f"`{call.api.op}` gets both `{both[0]}` and `group_{both[0]}`; only one of them is allowed"
        yield Report.at(
            call,
            message=message,
            severity="error",
            trail=(Place(call.function.path, call.span, "collective", call.api.op),),
            help="pass one of them" if both else "pass the group as a keyword: `group=`",
            fix=_by_name(call, wrong) if wrong is not None else None,
        )


def _both(call: ApiCall, role: str) -> bool:
    names = [call.api.roles.get(role), call.api.roles.get(f"group_{role}")]
    given = [call.values[name] for name in names if name is not None and name in call.values]
    # None counts as not given, and a parameter that is handed on may be None.
    return len(given) == 2 and not any(value.constant is None or value.symbol.parameter for value in given)


def _by_name(call: ApiCall, wrong: str) -> FixBuilder:
    """Builds the fix that passes the group by its name, where it is the last argument."""

    def rewrite(node: cst.Call) -> cst.Call | None:
        import libcst as cst

        last = node.args[-1] if len(node.args) == call.api.params.index(wrong) + 1 else None
        if last is None or last.keyword is not None:
            return None
        keyword = cst.Name(call.api.roles["group"])
        tight = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
        return node.with_deep_changes(last, keyword=keyword, equal=tight)

    return call_fix(call, "safe", "Pass the group as a keyword", rewrite)
