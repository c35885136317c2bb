"""Reports a group rank that is passed as root where a global rank is expected.

## What it does
`src` and `dst` of collectives are global ranks, whatever the group. With a group that cannot be all ranks (one
dimension of a mesh or of a known parallelism, a literal list of ranks), it reports a literal number, an omitted root
whose default is 0, and a rank inside that group (`dist.get_rank(group)`). Numbers in tests are not reported, since a
test chooses its number of ranks; neither is rank 0 if only ranks that are rank 0 in the other dimensions reach the
call.

With any group that may have fewer than all ranks, it reports numbers inside that group: a loop variable (`for src in
range(dist.get_world_size(group))`), a neighbour in a ring (`(rank + 1) % size`), a parameter that is also compared
with `dist.get_rank(group)`, also if a function of the program passes root and group on; a root that is passed to an
object whose rank is the one inside its group, or a number that the function compares with `dist.get_rank(group)`.

It also reports a call of a function of the program that omits a root which the caller has as a parameter and passes
to other collectives.

## Why is this bad
With data-parallel groups {0, 2} and {1, 3} the ranks of the second group broadcast from rank 0, which is not among them:
an error at best, a hang or the wrong weights otherwise. On a single group it works, so tests do not find it.

## Example
```python
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh


def share(weights, mesh: DeviceMesh):
    dp_group = mesh.get_group("dp")
    dist.broadcast(weights, src=0, group=dp_group)  # CL103
```

## Use instead
```python
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh


def share(weights, mesh: DeviceMesh):
    dp_group = mesh.get_group("dp")
    dist.broadcast(weights, src=dist.get_global_rank(dp_group, 0), group=dp_group)
```

With torch 2.6 or newer, `group_src=0` is equivalent.

## Confidence
High if the ranks of the group are written in the program. Medium for a literal root, or one that is left out, with a group that
the program makes for one dimension. Low otherwise: most programs that take no care of this run with one such group, which
has all ranks.

## Fix safety
Unsafe: another rank becomes the root, the one that has this number inside the group.

## References
- [torch.distributed.broadcast](https://docs.pytorch.org/docs/stable/distributed.html#torch.distributed.broadcast)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from collectivelint.api import (
    GLOBAL_ROOTS,
    UNKNOWN,
    WORLD,
    Attribute,
    Confidence,
    Constant,
    Name,
    Place,
    Report,
    Rule,
    call_fix,
    dotted_name,
    has_rank_zero,
    is_compared_inside,
    is_inside_group,
    is_test,
    speaks_of_group,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import libcst as cst

    from collectivelint.api import ApiCall, Findings, FixBuilder, Value


RULE: Final = Rule(
    "CL103",
    "wrong-rank-space",
    "a group rank passed as root where a global rank is expected",
    fix="unsafe",
    holds="of groups",
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such root."""
    yield from _dropped_roots(findings)
    yield from _passed_roots(findings)
    for call in findings.analysis.calls():
        if call.api.category not in ("collective", "point_to_point") or not _may_be_part(call.group):
            continue
        for role in GLOBAL_ROOTS:
            wrong = _wrong(findings, call, role)
            if wrong is None or (wrong.fixed and (is_test(call.function.path) or _prepares_on_a_rank(findings, call))):
                # A test starts as many ranks as suits it; often they are one group.
                continue
            yield Report.at(
                call,
                message=f"`{call.api.roles[role]}` of `{call.api.op}` has to be a global rank, but {wrong.text}",
                severity="error",
                trail=(Place(call.function.path, call.span, "collective", f"{call.api.op}, group of some ranks"),),
                help=f"write `{call.api.roles[role]}=dist.get_global_rank(group, n)`, or `{call.api.roles.get(f'group_{role}', f'group_{role}')}=n` with torch 2.6 or newer",
                confidence=_confidence(findings, call, wrong),
                fix=_translated(call, role),
            )


def _passed_roots(findings: Findings) -> Iterator[Report]:
    """Calls of functions that hand a root on to a collective, with a rank inside the group that they hand on as well."""
    for facts in findings.analysis.functions:
        for helper in facts.helpers:
            groups = [helper.given[name] for name in helper.groups if name in helper.given]
            if len(groups) != 1 or not _may_be_part(groups[0]):
                continue
            for root in helper.roots:
                value = helper.given.get(root)
                if value is None or not is_inside_group(value, groups[0].group_key):
                    continue
                yield Report.at(
                    helper,
                    message=f"`{root}` of `{helper.callee.qualname}` is used as a global rank, but this is a rank inside"
                    " the group",
                    severity="error",
                    trail=(Place(helper.function.path, helper.span, "call", f"calls {helper.callee.qualname}"),),
                    help=f"pass `{root}=dist.get_global_rank(group, n)`",
                    confidence=Confidence.LOW,
                )


def _prepares_on_a_rank(findings: Findings, call: ApiCall) -> bool:
    """Whether the function prepares what it sends on one rank of the whole job, which is then meant for the root."""
    return any(
        WORLD in sent.uniformity.varies
        for facts in findings.analysis.functions
        if facts.function is call.function
        for other in facts.calls
        if other.group is not None and call.group is not None and other.group.symbol is call.group.symbol
        for name in other.api.uniform
        if (sent := other.values.get(name)) is not None
    )


def _dropped_roots(findings: Findings) -> Iterator[Report]:
    """Calls that leave out the root which the caller has as a parameter and passes to its other collectives."""
    for facts in findings.analysis.functions:
        own = {item.name for item in facts.function.params} & set(facts.roots)
        for helper in facts.helpers:
            by_name = {item.name: item for item in helper.callee.params}
            for root in helper.roots:
                own_default = by_name[root].default if root in by_name else None
                left_out = root not in helper.given and own_default == Constant(0)
                if not left_out or root not in own:
                    continue
                yield Report.at(
                    helper,
                    message=f"`{helper.callee.qualname}` uses rank 0 as its `{root}` here, but the caller has a parameter"
                    f" `{root}` and passes it to its other collectives",
                    severity="error",
                    trail=(Place(helper.function.path, helper.span, "call", f"calls {helper.callee.qualname}"),),
                    help=f"pass `{root}={root}`",
                )


def _may_be_part(group: Value | None) -> bool:
    """Whether a group is given that is not known to be that of all ranks."""
    return (
        group is not None
        and group.constant is not None
        and group.symbol is not WORLD
        and not group.reference.everyone
        and (group.reference.meaning == "group" or group.given_as is not None)
    )


def _is_listed(call: ApiCall) -> bool:
    """Whether the ranks of the group are written in the program, so that it is known not to be all."""
    group = call.group
    return (
        group is not None
        and group.reference.partial
        and any(isinstance(part.constant, int) for part in group.reference.parts)
    )


def _confidence(findings: Findings, call: ApiCall, wrong: _Wrong) -> Confidence:
    """High where the ranks of the group are written; else most programs have one such group, which is all ranks."""
    if _is_listed(call):
        return Confidence.HIGH
    return Confidence.MEDIUM if wrong.fixed and _part(findings, call) == "known" else Confidence.LOW


def _part(findings: Findings, call: ApiCall) -> Literal["known", "given"] | None:
    """What says that the group is not all ranks: listed ranks, or one dimension of the parallelism; None where nothing does.

    What is given may have all ranks in programs without another dimension.
    """
    group = call.group
    if group is None or group.reference.optional or group.reference.meaning != "group":
        return None
    if group.reference.partial:
        return "known" if _is_listed(call) else None
    if findings.analysis.dimension(call) is None:
        return None
    return "given" if group.reference.given or group.given_as is not None else "known"


class _Wrong(NamedTuple):
    """What a message says about a wrong root, and whether it is a `fixed` number."""

    text: str
    fixed: bool


def _wrong(findings: Findings, call: ApiCall, role: str) -> _Wrong | None:
    """Why the root of this role is wrong; None where it is not."""
    if role not in call.api.roles or call.api.roles.get(f"group_{role}") in call.values:
        return None
    assert call.group is not None
    value, key = call.values.get(call.api.roles[role]), call.group.group_key
    part = _part(findings, call)
    if value is not None and value.constant is UNKNOWN:
        itself = value.reference.kind == "rank" and value.uniformity.varies == {key}
        if (itself and (part == "known" or call.conditional)) or (not itself and is_inside_group(value, key)):
            return _Wrong("this is a rank inside the group", fixed=False)
        if value.given_as is not None and speaks_of_group(findings.analysis, call, key):
            text = "this object counts ranks inside its group"
            return _Wrong(text, fixed=False)
        if value.given_as is not None and is_compared_inside(findings.analysis, call, Name(value.given_as), key):
            return _Wrong("it is compared with this rank's number inside the group as well", fixed=False)
        return None
    number = 0 if value is None else value.constant
    if part is None and isinstance(number, int) and call.api.category == "collective" and not call.call.spread:
        if not is_compared_inside(findings.analysis, call, Constant(number), key):
            return None
        text = f"{number} is compared with this rank's number inside the group"
        return _Wrong(text, fixed=True)
    if part is None:
        return None
    if call.group.reference.partial:
        members = [item.constant for item in call.group.reference.parts]
        if (0 if value is None else value.constant) in members:
            return None
    elif (value is None or value.constant == 0) and has_rank_zero(findings.analysis, call):
        return None
    if value is None:
        if call.api.category != "collective" or call.call.spread:
            return None
        text = "it is left at its default, global rank 0, which need not be in the group"
        return _Wrong(text, fixed=True)
    if isinstance(value.constant, int) and not isinstance(value.constant, bool):
        text = f"it is {value.constant} here, and global rank {value.constant} need not be in the group"
        return _Wrong(text, fixed=True)
    return None


def _translated(call: ApiCall, role: str) -> FixBuilder | None:
    """Builds the fix that takes the rank of the job with the root's number in the group."""
    group = dotted_name(call.group_expr) if call.group_expr is not None else None
    name, module = call.api.roles[role], call.call.function
    value = call.values.get(name)
    number = 0 if value is None else value.constant
    if group is None or not isinstance(module, Attribute) or not isinstance(number, int):
        return None
    text = f"{dotted_name(module.value)}.get_global_rank({group}, {number})"
    position = call.api.params.index(name) - (1 if call.api.params[:1] == ("self",) else 0)

    def rewrite(node: cst.Call) -> cst.Call:
        import libcst as cst

        from collectivelint.api import with_argument

        return with_argument(node, name, position, cst.parse_expression(text))

    return call_fix(call, "unsafe", f"Pass the group's rank {number}", rewrite)
