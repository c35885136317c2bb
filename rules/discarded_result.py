"""Reports a collective whose result is written into a tensor that nobody keeps.

## What it does
Finds an in-place collective whose buffer is computed in the call itself (`all_reduce(total / world_size)`), and a list of
results that repeats one tensor (`[torch.zeros(1)] * n`), so that each result overwrites the one before.

## Why is this bad
The reduced values are gone as soon as the call returns. Every rank goes on with its local value, which looks right in a log
and is not.

## Example
```python
import torch.distributed as dist


def average(total, group: dist.ProcessGroup):
    dist.all_reduce(total / dist.get_world_size(group), group=group)  # CL110
    return total
```

## Use instead
```python
import torch.distributed as dist


def average(total, group: dist.ProcessGroup):
    mean = total / dist.get_world_size(group)
    dist.all_reduce(mean, group=group)
    return mean
```

## References
- [torch.distributed.all_reduce](https://docs.pytorch.org/docs/stable/distributed.html#torch.distributed.all_reduce)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.finding import Fix
from collectivelint.ir.nodes import Call, Compound
from collectivelint.rule import Findings, FixContext, Place, Report, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.analysis.summary.model import ApiCall
    from collectivelint.ir.nodes import Expr
    from collectivelint.rule import FixBuilder

RULE: Final = Rule("CL110", "discarded-result", "a collective whose result is written into a tensor that nobody keeps")


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such buffer."""
    for call in findings.analysis.calls():
        if call.api.category != "collective":
            continue
        for name in (*call.api.uniform, *call.api.receives):
            expr = call.exprs.get(name)
            if expr is None or name == "return":
                continue
            lost = _lost(expr)
            if lost is None:
                continue
            yield Report.at(
                call,
                message=f"`{call.api.op}` writes its result into {lost}",
                severity="error",
                trail=(Place(call.function.path, call.span, "collective", call.api.op),),
                help="give the buffer a name, and use it afterwards",
                fix=_builder(call, name),
            )


def _builder(call: ApiCall, name: str) -> FixBuilder:
    def build(context: FixContext) -> Fix | None:
        import libcst as cst

        anchored = context.anchor(call.statement)
        node = anchored.find(cst.Call, call.span) if anchored is not None else None
        position = call.api.params.index(name) - (call.api.params[:1] == ("self",))
        if anchored is None or node is None:
            return None
        given = next(
            (
                arg
                for index, arg in enumerate(node.args)
                if (index == position if arg.keyword is None else arg.keyword.value == name)
            ),
            None,
        )
        if given is None:
            return None
        code = cst.Module([]).code_for_node
        match given.value:
            case cst.BinaryOperation(left=cst.List(elements=[cst.Element(value=item)]), right=count):
                new = cst.parse_expression(f"[{code(item)} for _ in range({code(count)})]")
                edits = anchored.replace(given.value, new)
                return Fix("display", "Make a tensor for each entry", edits) if edits else None
        line = anchored.statement
        if not anchored.alone or not isinstance(line, cst.SimpleStatementLine) or "result" in call.local_names:
            return None
        first = cst.parse_statement(f"result = {code(given.value)}").with_changes(leading_lines=line.leading_lines)
        rest = line.with_deep_changes(given, value=cst.Name("result")).with_changes(leading_lines=[])
        edits = anchored.replace(line, cst.FlattenSentinel([first, rest]))
        return Fix("display", "Keep the result under a name", edits) if edits else None

    return build


#: Arithmetic makes a new tensor.
_ARITHMETIC: Final = frozenset({"Add", "Sub", "Div", "FloorDiv", "Mod", "Pow", "MatMult", "USub"})


def _lost(expr: Expr) -> str | None:
    match expr:
        case Compound(kind="Mult", parts=(Compound(kind="List", parts=(Call(),)), _)):
            return "one tensor that the list repeats, so that each entry overwrites the others"
        case Compound(kind="Mult", parts=(Compound(kind="List"), _)):
            return None
        case Compound(kind=kind) if kind in _ARITHMETIC or kind == "Mult":
            return "the value of an expression that nobody keeps"
        case _:
            return None
