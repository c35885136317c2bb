"""Reports a root that is a rank of the group where a rank of the whole job is expected.

## What it does
`src` and `dst` of collectives are global ranks, whatever the group. Reported is, together with a group that is surely not
all ranks (one dimension of a mesh or of a known parallelism, a written list of ranks), a literal number, a default of 0
that is left alone, or a rank inside that very group (`dist.get_rank(group)`). Numbers in tests are silent: a test starts
as many ranks as suits it.
Likewise a call of the program's own that leaves out a root which its caller was given and hands to other collectives.

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

With torch 2.6 or newer `group_src=0` says the same.

## Fix safety
Unsafe: another rank becomes the root, the one that has this number inside the group.

## References
- [torch.distributed.broadcast](https://docs.pytorch.org/docs/stable/distributed.html#torch.distributed.broadcast)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from collectivelint.api import (
    GLOBAL_ROOTS,
    WORLD,
    Attribute,
    Constant,
    Place,
    Report,
    Rule,
    call_fix,
    dotted_name,
    is_test,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import libcst as cst

    from collectivelint.api import ApiCall, Findings, FixBuilder


RULE: Final = Rule(
    "CL103",
    "wrong-rank-space",
    "a root inside the group where a rank of the whole job is expected",
    fix="unsafe",
    holds="of groups",
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such root."""
    yield from _dropped_roots(findings)
    for call in findings.analysis.calls():
        if call.api.category not in ("collective", "point_to_point") or not _is_part(findings, call):
            continue
        for role in GLOBAL_ROOTS:
            wrong = _wrong(call, role)
            if wrong is None or (wrong.fixed and (is_test(call.function.path) or _prepares_on_a_rank(findings, call))):
                # A test starts as many ranks as suits it; often they are one group.
                continue
            yield Report.at(
                call,
                message=f"`{role}` of `{call.api.op}` is a rank of the whole job, but {wrong.text}",
                severity="error",
                trail=(Place(call.function.path, call.span, "collective", f"{call.api.op}, group of some ranks"),),
                help=f"write `{role}=dist.get_global_rank(group, n)`, or `group_{role}=n` with torch 2.6 or newer",
                fix=_translated(call, role),
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
                    message=f"`{helper.callee.qualname}` takes rank 0 for its `{root}` here, but the caller was told"
                    f" another `{root}` and gives it to its other collectives",
                    severity="error",
                    trail=(Place(helper.function.path, helper.span, "call", f"calls {helper.callee.qualname}"),),
                    help=f"pass it on: `{root}={root}`",
                )


def _is_part(findings: Findings, call: ApiCall) -> bool:
    """Whether the group is known not to be all ranks: one dimension of the parallelism, or listed ranks."""
    group = call.group
    if group is None or group.constant is None or group.symbol is WORLD or group.reference.everyone:
        return False
    if group.reference.optional or group.reference.meaning != "group":
        return False
    if group.reference.given or group.given_as is not None:
        # The caller knows which ranks it holds.
        return False
    if group.reference.partial:
        return any(isinstance(part.constant, int) for part in group.reference.parts)
    return findings.analysis.dimension(call) is not None


class _Wrong(NamedTuple):
    """What a message says about a wrong root, and whether it is a `fixed` number."""

    text: str
    fixed: bool


def _wrong(call: ApiCall, role: str) -> _Wrong | None:
    """Why the root of this role is wrong; None where it is not."""
    if role not in call.api.roles:
        return None
    if call.group is not None and call.group.reference.partial:
        members = [part.constant for part in call.group.reference.parts]
        root = call.values.get(call.api.roles[role])
        if (0 if root is None else root.constant) in members:
            return None
    other = call.api.roles.get(f"group_{role}")
    if other in call.values:
        return None
    value = call.values.get(call.api.roles[role])
    if value is None:
        if call.api.category != "collective" or call.call.spread:
            return None
        return _Wrong("it is left at its default, global rank 0, which need not be in the group", fixed=True)
    if isinstance(value.constant, int) and not isinstance(value.constant, bool):
        return _Wrong(f"{value.constant} is written here, and that rank need not be in the group", fixed=True)
    assert call.group is not None
    if value.reference.kind == "rank" and value.uniformity.varies == {call.group.group_key}:
        return _Wrong("this is a rank inside the group", fixed=False)
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

    return call_fix(call, "unsafe", f"Take the group's rank {number}", rewrite)
