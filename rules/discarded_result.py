"""Reports a collective whose result goes to a temporary tensor.

## What it does
Finds an in-place collective whose buffer is computed in the call itself (`all_reduce(total / world_size)`), moved or
converted there (`all_reduce(total.cuda())`) or created there from a number (`all_reduce(torch.tensor(total))`), and a
list of results that repeats one tensor (`[torch.zeros(1)] * n`), so that each result overwrites the one before. A
reduction that returns its result (`torch.distributed.nn.functional.all_reduce`) is reported if the result is not
used, and so is an in-place collective whose None replaces the tensor (`flag = dist.broadcast(flag, src=0)`).

Confidence is low where a tensor is moved to a device, or converted to a type, that is known only at run time
(`total.to(device)`), unless the function created the tensor on the host: if the tensor is on that device already,
`.to` returns the tensor itself, and the result is kept.

A tensor of constants (a collective on one only synchronises) and one that only the sending rank passes are not reported.

## Why is this bad
The reduced values are lost as soon as the call returns. Every rank continues with its local value, which looks right
in a log but is wrong.

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

from collectivelint.api import (
    Attribute,
    Call,
    Compound,
    Confidence,
    Constant,
    Name,
    Place,
    Report,
    Rule,
    Subscript,
    assignments,
    call_fix,
    dotted_name,
    expressions,
    statement_fix,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import libcst as cst

    from collectivelint.api import Anchored, ApiCall, Expr, Findings, FixBuilder


RULE: Final = Rule(
    "CL110",
    "discarded-result",
    "a collective whose result goes to a temporary tensor",
    holds="of groups",
)

#: Methods of a tensor that give the same data under another name.
_SAME: Final = frozenset({"detach", "flatten", "reshape", "squeeze", "unsqueeze", "view", "requires_grad_"})
#: Methods that give a tensor of the type or on the device of their argument: itself, where it is that already.
_MOVING: Final = frozenset({"to", "type"})
#: The roles of the rank that has what the others get.
_ROOTS: Final = frozenset({"src", "group_src"})
#: Arithmetic makes a new tensor.
_ARITHMETIC: Final = frozenset({"Add", "Sub", "Div", "FloorDiv", "Mod", "Pow", "MatMult", "USub"})


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such buffer."""
    for call in findings.analysis.calls():
        if call.api.category != "collective":
            continue
        if call.api.operation == "all_reduce" and call.api.uniform == ("return",) and not call.used and not call.alone:
            yield Report.at(
                call,
                message=f"`{call.api.op}` returns its result and does not change its argument, but the result is not used",
                severity="error",
                trail=(Place(call.function.path, call.span, "collective", call.api.op),),
                help="assign its result",
            )
        if _replaces(call):
            yield Report.at(
                call,
                message=f"`{call.api.op}` changes its tensor in place and returns None, which replaces the tensor here",
                severity="error",
                trail=(Place(call.function.path, call.span, "collective", call.api.op),),
                help="call it without an assignment",
            )
            continue
        sends = not _ROOTS.isdisjoint(call.api.roles)
        if sends and call.conditional:
            # The sender of a broadcast, which needs no result.
            continue
        for name in (*call.api.uniform, *call.api.receives):
            expr = call.exprs.get(name)
            if expr is None or name == "return":
                continue
            lost = _lost(findings, call, expr)
            if lost is None:
                continue
            is_copy = not isinstance(expr, Call) or _is_copy(findings, call, expr)
            yield Report.at(
                call,
                message=f"`{call.api.op}` writes its result into {lost}",
                severity="error",
                trail=(Place(call.function.path, call.span, "collective", call.api.op),),
                help="assign the buffer to a variable first, and read the result from it",
                confidence=Confidence.HIGH if is_copy else Confidence.LOW,
                fix=_kept(call, name, expr),
            )


def _replaces(call: ApiCall) -> bool:
    """Whether the variable that holds the tensor of a collective in place is bound to what this returns."""
    if "async_op" not in call.api.params or "return" in call.api.uniform or not call.call.args:
        return False
    deferred = call.exprs.get("async_op")
    if deferred is not None and deferred != Constant(False):
        return False
    tensor = call.call.args[0]
    if not isinstance(tensor, (Name, Attribute)):
        return False
    return any(one.value == call.call and one.targets == (tensor,) for one in assignments(call.function.body))


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

        return call_fix(call, "display", "Create a tensor for each entry", rewrite)
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

    return statement_fix(call.statement, "display", "Assign the result to a variable", named)


def _is_repeated(expr: Expr) -> bool:
    """Whether it is a list of one call, repeated: `[torch.empty(1)] * n`."""
    match expr:
        case Compound(kind="Mult", parts=(Compound(kind="List", parts=(Call(),)), _)):
            return True
        case _:
            return False


def _making(findings: Findings, call: ApiCall, expr: Call) -> str | None:
    """The call that makes a tensor of others' data; None where it may be another name for one, or is only there to be sent."""
    catalog, name = findings.analysis.catalog, None
    made: Expr = expr
    while isinstance(made, Call):
        path = dotted_name(made.function)
        target = findings.analysis.program.resolve(call.function.path, path) if path is not None else None
        if target is not None and target.name in catalog.tensors:
            if not _ROOTS.isdisjoint(call.api.roles):
                # Made of what is sent.
                return None
            given = made.args[0] if made.args else None
            return name or f"{path}()" if given is not None and not _is_constant(given) else None
        if not isinstance(made.function, Attribute) or (target is not None and target.kind != "external"):
            return None
        if made.function.name in catalog.copying:
            name = name or f".{made.function.name}()"
        elif made.function.name not in _SAME:
            return None
        made = made.function.value
    return name if isinstance(made, (Name, Attribute, Subscript)) else None


def _is_copy(findings: Findings, call: ApiCall, expr: Call) -> bool:
    """Whether a call surely makes another tensor, as far as it says what it makes.

    `x.to(device)` is `x` itself where that is on the device already, and then the result is kept: it is another tensor where the
    function has made `x` on the host.
    """
    made: Expr = expr
    while isinstance(made, Call) and isinstance(made.function, Attribute):
        given = [*made.args, *(value for name, value in made.keywords if name != "non_blocking")]
        if made.function.name in _MOVING and given and not any(map(_is_written, given)):
            return _is_on_host(findings, call, made.function.value)
        if made.function.name == "clone":
            return True
        if made.function.name == "cuda" and _is_on_device(call, made.function.value):
            return False
        made = made.function.value
    return True


def _is_written(expr: Expr) -> bool:
    """Whether a device or a type is written out: `"cuda"`, `torch.float32`."""
    return isinstance(expr, Constant) or (dotted_name(expr) or "").startswith("torch.")


def _is_on_device(call: ApiCall, tensor: Expr) -> bool:
    """Whether a function makes a tensor on a device that it names, on some way."""
    made = [found.value for found in assignments(call.function.body) if tensor in found.targets]
    return any(isinstance(value, Call) and any(name == "device" for name, _ in value.keywords) for value in made)


def _is_on_host(findings: Findings, call: ApiCall, tensor: Expr) -> bool:
    """Whether all that a function assigns to a tensor is made on the host."""
    made = [found.value for found in assignments(call.function.body) if tensor in found.targets]
    return bool(made) and all(_makes_on_host(findings, call, value) for value in made)


def _makes_on_host(findings: Findings, call: ApiCall, value: Expr) -> bool:
    if not isinstance(value, Call):
        return False
    if isinstance(value.function, Attribute) and value.function.name == "cpu":
        return True
    path = dotted_name(value.function)
    target = findings.analysis.program.resolve(call.function.path, path) if path is not None else None
    is_made = target is not None and target.name in findings.analysis.catalog.tensors
    return is_made and all(name != "device" for name, _ in value.keywords)


def _is_warm_up(call: ApiCall, expr: Call) -> bool:
    """Whether what is reduced is a tensor that is made for that alone: the first collective sets the communicator up."""
    names = {part.id for part in walk(expr) if isinstance(part, Name)}
    body = call.function.body
    for name in names:
        used = sum(part == Name(name) for part in expressions(body))
        made = [found.value for found in assignments(body) if found.targets == (Name(name),)]
        if used == 1 and len(made) == 1 and isinstance(made[0], Call) and all(map(_is_constant, made[0].args)):
            return True
    return False


def _is_constant(expr: Expr) -> bool:
    """Whether it is written with constants only."""
    return all(isinstance(part, (Constant, Compound)) for part in walk(expr))


def _lost(findings: Findings, call: ApiCall, expr: Expr) -> str | None:
    """What a result is written into where nothing keeps it; None where something may."""
    match expr:
        case Call() if (
            not call.alone and not _is_warm_up(call, expr) and (name := _making(findings, call, expr)) is not None
        ):
            return f"the temporary tensor that `{name}` creates here, which nothing reads"
        case _ if _is_repeated(expr):
            return "one tensor that the list repeats, so that each entry overwrites the others"
        case Compound(kind="Mult", parts=(Compound(kind="List"), _)):
            return None
        case Compound(kind=kind) if kind in _ARITHMETIC or kind == "Mult":
            return "a temporary value, which nothing reads"
        case _:
            return None
