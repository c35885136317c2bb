"""Reports buffers whose size does not match the group or the sender.

## What it does
Follows the group whose size determines the length of a list (`[None] * dist.get_world_size()`), and compares it with
the group of the collective that fills it. It reports
- a list of the size of the default group for a collective on a sub-group, or the other way round, and likewise a tensor
  whose first dimension is a multiple of such a size;
- a broadcast whose root sends a list of varying length, while the others receive into a buffer of a fixed size;
- with medium confidence, a gather or a reduction of as many elements as a mask selects of a rank's own data;
- with medium confidence, a sum over a sub-group that is divided by the number of all ranks, before or after the reduction.

## Why is this bad
On some backends `all_gather` checks the length and fails; on others it writes the entries that exist and leaves the
rest unchanged, so the result silently holds empty or stale entries.

## Example
```python
import torch.distributed as dist


def collect(item, group: dist.ProcessGroup):
    parts = [None for _ in range(dist.get_world_size())]
    dist.all_gather_object(parts, item, group=group)  # CL104
    return parts
```

## Use instead
```python
import torch.distributed as dist


def collect(item, group: dist.ProcessGroup):
    parts = [None for _ in range(dist.get_world_size(group))]
    dist.all_gather_object(parts, item, group=group)
    return parts
```

## Fix safety
`dist.get_world_size()` in the list's length gets the group that the collective runs on. Unsafe: the list may have
another use as well.

## References
- [torch.distributed.all_gather_object](https://docs.pytorch.org/docs/stable/distributed.html#torch.distributed.all_gather_object)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import (
    WORLD,
    Call,
    Confidence,
    Fix,
    Name,
    Place,
    Report,
    Rule,
    assignments,
    call_edits,
    dotted_name,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import libcst as cst

    from collectivelint.api import ApiCall, Findings, FixBuilder, FixContext, Value


RULE: Final = Rule(
    "CL104",
    "wrong-group-size",
    "a buffer whose size does not match the group or the sender",
    fix="unsafe",
    holds="of groups",
)


#: What a function gave back, or computed, and what a global variable holds.
_COMPUTED: Final = frozenset(
    {"call", "operation", "rank", "world_size", "compound", "conditional", "and", "or", "global"}
)


def _is_opaque(group: Value) -> bool:
    """Whether nothing is known of the group but that it is the result of a function or a variable of a module."""
    return group.reference.kind is None and not group.reference.partial and group.written.kind in _COMPUTED


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such list, and for each buffer that does not fit what its root sends."""
    making = findings.analysis.making
    # On another backend, or for threads of their own: where a program makes no others, none is smaller than the job.
    only_whole = bool(making) and all(made.members == "all" for made in making)
    if not only_whole:
        yield from _averages(findings)
    for call in findings.analysis.calls():
        if call.api.category != "collective":
            continue
        length = (
            call.values["tensor"].extent.length
            if call.api.operation == "broadcast" and "tensor" in call.values
            else None
        )
        if length is not None and length.kind == "mixed":
            yield Report.at(
                call,
                message="the root broadcasts as many elements as its list has, but the other ranks receive into a"
                " buffer of a fixed size",
                severity="error",
                trail=(
                    Place(length.cause.path, length.cause.span, "source", "the list grows here"),
                    Place(call.function.path, call.span, "collective", "broadcast"),
                ),
                help="pad the list to the size of the buffer, or broadcast its length first",
            )
            continue
        yield from _ragged(call)
        key = WORLD if call.group is None else call.group.group_key
        if call.group is not None and (only_whole or call.group.reference.everyone):
            continue
        for name in _sized(call):
            value = call.values.get(name)
            if value is None or value.extent.size_of is None or value.extent.size_of == key:
                continue
            if WORLD not in (value.extent.size_of, key):
                # Two groups that are not all ranks may well be one under two names.
                continue
            if value.extent.size_of == WORLD and call.group is not None and _is_opaque(call.group):
                # It may well be a group of all ranks, on another backend.
                continue
            have = "the default group" if value.extent.size_of == WORLD else "another group"
            runs = "the default group" if key == WORLD else "its group"
            yield Report.at(
                call,
                message=f"`{name}` of `{call.api.op}` has one entry for each rank of {have}, but the collective runs on"
                f" {runs}",
                severity="error",
                trail=(Place(call.function.path, call.span, "collective", f"{call.api.op}, {runs}"),),
                help="take the size from the group that the collective runs on: `dist.get_world_size(group)`",
                fix=_asking(findings, call, name) if value.extent.size_of == WORLD else None,
            )


#: The parameters with an entry for each rank that an operation sends, and those that it fills, by their names in torch.
_LISTS: Final[Mapping[str, tuple[str, ...]]] = {
    "scatter": ("scatter_list",),
    "scatter_object": ("scatter_object_input_list",),
    "reduce_scatter": ("input_list", "input"),
    "all_to_all": ("input_tensor_list", "output_tensor_list"),
}


def _sized(call: ApiCall) -> tuple[str, ...]:
    """The parameters of a call that have an entry, or an equal part, for each rank."""
    operation = call.api.operation
    if operation in ("all_gather", "all_gather_object", "gather", "gather_object"):
        return (*call.api.uniform, *call.api.receives)
    return _LISTS.get(operation or "", ())


#: Collectives that take equally many elements of each rank, unless buffers of other sizes are made for them, and the parameters
#: with what a rank brings.
_EQUAL: Final = frozenset({"all_gather", "all_reduce", "reduce", "reduce_scatter", "gather"})
_BROUGHT: Final = ("tensor", "input_tensor", "input")


def _ragged(call: ApiCall) -> Iterator[Report]:
    """The finding for a call that brings as many elements as this rank's own data have of something."""
    if call.api.operation not in _EQUAL:
        return
    brought = next((call.values[name] for name in _BROUGHT if name in call.values), None)
    causes = () if brought is None else brought.extent.uneven
    if not causes or any(cause.kind not in ("own data", "no agreement") for cause in causes):
        return
    # Buffers of the sizes that the ranks have told one another before take pieces of any size.
    told = (call.values[name].origin.origins for name in (*call.api.uniform, *call.api.receives) if name in call.values)
    if any(cause.kind == "received" for origins in told for cause in origins):
        return
    yield Report.at(
        call,
        message=f"each rank passes as many elements to `{call.api.op}` as its own data has, and that number can differ between ranks",
        severity="error",
        trail=(
            *(
                Place(cause.path, cause.span, "source", "the number of elements differs between ranks")
                for cause in causes
            ),
            Place(call.function.path, call.span, "collective", call.api.op),
        ),
        help="exchange the lengths first, and pad to the largest one; or reduce to one number before",
        confidence=Confidence.MEDIUM,
    )


def _averages(findings: Findings) -> Iterator[Report]:
    """One finding for each sum over one group that is divided by the size of another."""
    for _, note in findings.analysis.notes("average"):
        other = "a group" if note.callee == "the job" else "the job"
        yield Report.at(
            note,
            message=f"a sum over {other} is divided by the number of ranks in {note.callee}",
            severity="error",
            trail=(
                *(Place(cause.path, cause.span, "collective", f"the sum over {other}") for cause in note.causes),
                Place(note.function.path, note.span, "note", f"divided by the size of {note.callee}"),
            ),
            help="divide by the size of the group that the collective runs on: `dist.get_world_size(group)`",
            confidence=Confidence.MEDIUM,
        )


def _asking(findings: Findings, call: ApiCall, name: str) -> FixBuilder | None:
    """Builds the fix that asks for the size of the group, in the argument or where the list is made in one place."""
    group = dotted_name(call.group_expr) if call.group_expr is not None else None
    expr, statement = call.exprs.get(name), call.statement
    if isinstance(expr, Name):
        made = [item for item in assignments(call.function.body) if expr in item.targets]
        if len(made) != 1:
            return None
        expr, statement = made[0].value, made[0].span
    calls = [part for part in walk(expr) if isinstance(part, Call)] if expr else []
    sizes = [part for part in calls if _is_of_all_ranks(findings, call, part)]
    if group is None or len(sizes) != 1:
        return None

    def rewrite(node: cst.Call) -> cst.Call:
        import libcst as cst

        return node.with_changes(args=[cst.Arg(cst.parse_expression(group))])

    def build(context: FixContext) -> Fix | None:
        edits = call_edits(context, statement, sizes[0].span, rewrite)
        return Fix("unsafe", f"Use the size of `{group}`", edits) if edits else None

    return build


def _is_of_all_ranks(findings: Findings, call: ApiCall, part: Call) -> bool:
    """Whether it is a query that takes a group, without one."""
    if part.args or part.keywords:
        return False
    name = dotted_name(part.function)
    target = findings.analysis.program.resolve(call.function.path, name) if name is not None else None
    api = findings.analysis.catalog.apis.get(target.name) if target is not None else None
    return api is not None and api.category == "uniform_source" and "group" in api.params
