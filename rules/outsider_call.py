"""Reports a collective on a group of listed ranks that all ranks reach.

## What it does
Finds a group made from a written list of ranks that leaves out a lower one (`new_group([1, 2])`), and a collective on
it that no condition could restrict to its members: neither one around it, nor an exit before it, nor an `assert`; a
condition on the communicated data does not count.

Also finds `group is None` after `group = new_group(ranks)`: that is true on no rank, so ranks outside the group
continue as if they were members. Confidence is medium, since the list may hold all ranks.

## Why is this bad
A rank outside the group gets `GroupMember.NON_GROUP_MEMBER`: its call warns and returns immediately, with its tensors
unchanged. The rank continues with values that were never reduced.

## Example
```python
import torch.distributed as dist


def reduce(tensor):
    workers = dist.new_group([1, 2, 3])
    dist.all_reduce(tensor, group=workers)  # CL107
    return tensor
```

## Use instead
```python
import torch.distributed as dist


def reduce(tensor):
    workers = dist.new_group([1, 2, 3])
    if dist.get_rank() in [1, 2, 3]:
        dist.all_reduce(tensor, group=workers)
    return tensor
```

## References
- [torch.distributed.new_group](https://docs.pytorch.org/docs/stable/distributed.html#torch.distributed.new_group)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import (
    Attribute,
    Compare,
    Confidence,
    Name,
    Place,
    Report,
    Rule,
    dotted_name,
    expressions,
    statement_fix,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import libcst as cst

    from collectivelint.api import Anchored, ApiCall, Expr, Findings, FixBuilder, Symbol


RULE: Final = Rule(
    "CL107", "outsider-call", "a collective on a group that ranks outside the group reach as well", holds="of groups"
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such call, and for each test for None that cannot be true."""
    yield from _asked_for_none(findings)
    for call in findings.analysis.calls():
        if call.api.category != "collective" or call.group is None or call.guards or call.alone:
            continue
        ranks = [part.constant for part in call.group.reference.parts]
        numbers = [rank for rank in ranks if isinstance(rank, int)]
        if not call.group.reference.partial or not numbers or len(numbers) != len(ranks):
            continue
        if set(numbers) == set(range(len(numbers))):
            # Perhaps these are all the ranks there are.
            continue
        if not all(_is_about_data(call, condition) for condition in call.conditions):
            continue
        yield Report.at(
            call,
            message=f"`{call.api.op}` runs on the group of ranks {sorted(numbers)}, but the other ranks reach it as well",
            severity="error",
            trail=(Place(call.function.path, call.span, "collective", f"{call.api.op}, ranks {sorted(numbers)}"),),
            help="call it only on the members of the group",
            fix=_guarded(call, sorted(numbers)),
        )


def _asked_for_none(findings: Findings) -> Iterator[Report]:
    """One finding for each test that a group which was just made is None."""
    for facts, note in findings.analysis.notes("never none"):
        if any(_asks_for_members(expr) for expr in expressions(facts.function.body)):
            continue
        yield Report.at(
            note,
            message="the group is never None here: on ranks outside of it `new_group` returns GroupMember.NON_GROUP_MEMBER",
            severity="error",
            trail=(Place(facts.function.path, note.span, "condition", "true on no rank"),),
            help="test whether this rank is in the list, or compare with dist.GroupMember.NON_GROUP_MEMBER",
            confidence=Confidence.MEDIUM,
        )


def _asks_for_members(expr: Expr) -> bool:
    """Whether an expression names what ranks outside get, or looks for a rank in a list."""
    return (isinstance(expr, (Attribute, Name)) and (dotted_name(expr) or "").endswith("NON_GROUP_MEMBER")) or (
        isinstance(expr, Compare) and expr.op in ("in", "not in")
    )


def _is_about_data(call: ApiCall, condition: Symbol) -> bool:
    """Whether a condition asks about what is communicated, or whether there are other ranks: not which rank this is."""
    if condition.positive.kind == "launched":
        return True
    given = [value.symbol.parameters for name, value in call.values.items() if name != call.api.roles.get("group")]
    return bool(condition.parameters) and condition.parameters <= frozenset().union(*given) and not condition.has_place


def _guarded(call: ApiCall, ranks: list[int]) -> FixBuilder | None:
    """Builds the fix that puts the statement under a condition which the members alone meet."""
    module = call.call.function.value if isinstance(call.call.function, Attribute) else None
    name = dotted_name(module) if module is not None else None
    if name is None:
        return None

    def rewrite(anchored: Anchored) -> cst.If | None:
        import libcst as cst

        line = anchored.statement
        if not isinstance(line, cst.SimpleStatementLine):
            return None
        body = cst.IndentedBlock([line.with_changes(leading_lines=[])])
        return cst.If(cst.parse_expression(f"{name}.get_rank() in {ranks}"), body, leading_lines=line.leading_lines)

    return statement_fix(call.statement, "display", "Let only the members reach it", rewrite)
