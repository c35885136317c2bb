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

from collectivelint.api import Call, Compound, Place, Report, Rule, call_fix, statement_fix

if TYPE_CHECKING:
    from collections.abc import Iterator

    import libcst as cst

    from collectivelint.api import Anchored, ApiCall, Expr, Findings, FixBuilder


RULE: Final = Rule(
    "CL110",
    "discarded-result",
    "a collective whose result is written into a tensor that nobody keeps",
    holds="of groups",
)

#: Arithmetic makes a new tensor.
_ARITHMETIC: Final = frozenset({"Add", "Sub", "Div", "FloorDiv", "Mod", "Pow", "MatMult", "USub"})


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
                fix=_kept(call, name, expr),
            )


def _kept(call: ApiCall, name: str, expr: Expr) -> FixBuilder | None:
    """Builds the fix that keeps the result: a tensor for each entry of the list, or a name for the tensor."""
    position = call.api.params.index(name) - (call.api.params[:1] == ("self",))
    if _is_repeated(expr):

        def rewrite(node: cst.Call) -> cst.Call | None:
            import libcst as cst

            from collectivelint.api import argument

            given, code = argument(node, name, position), cst.Module([]).code_for_node
            if given is None:
                return None
            match given.value:
                case cst.BinaryOperation(left=cst.List(elements=[cst.Element(value=item)]), right=count):
                    new = cst.parse_expression(f"[{code(item)} for _ in range({code(count)})]")
                    return node.with_deep_changes(given, value=new)
            return None

        return call_fix(call, "display", "Make a tensor for each entry", rewrite)
    if "result" in call.local_names:
        return None

    def named(anchored: Anchored) -> list[cst.BaseStatement] | None:
        import libcst as cst

        from collectivelint.api import argument

        line, node = anchored.statement, anchored.find(cst.Call, call.span)
        given = argument(node, name, position) if node is not None else None
        if given is None or not isinstance(line, cst.SimpleStatementLine):
            return None
        text = cst.Module([]).code_for_node(given.value)
        first = cst.parse_statement(f"result = {text}").with_changes(leading_lines=line.leading_lines)
        return [first, line.with_deep_changes(given, value=cst.Name("result")).with_changes(leading_lines=[])]

    return statement_fix(call.statement, "display", "Keep the result under a name", named)


def _is_repeated(expr: Expr) -> bool:
    """Whether it is a list of one call, repeated: `[torch.empty(1)] * n`."""
    match expr:
        case Compound(kind="Mult", parts=(Compound(kind="List", parts=(Call(),)), _)):
            return True
        case _:
            return False


def _lost(expr: Expr) -> str | None:
    """What a result is written into where nothing keeps it; None where something may."""
    match expr:
        case _ if _is_repeated(expr):
            return "one tensor that the list repeats, so that each entry overwrites the others"
        case Compound(kind="Mult", parts=(Compound(kind="List"), _)):
            return None
        case Compound(kind=kind) if kind in _ARITHMETIC or kind == "Mult":
            return "the value of an expression that nobody keeps"
        case _:
            return None
