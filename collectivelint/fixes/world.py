"""How the default group, and that of a mesh, can be written where a call stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..analysis.program import Analysis
    from ..analysis.summary.model import ApiCall, GroupInReach


def world_expression(analysis: Analysis, call: ApiCall) -> str | None:
    """`dist.group.WORLD` with this file's names for it; None if nothing it imports provides that.

    If only a framework's own accessor for the default group is available, a call of it is returned.
    """
    from ..ir.names import plain

    program, catalog = analysis.program, analysis.catalog
    path = call.function.path
    local = dict(call.function.imports)
    # A parameter or variable of that name hides the import.
    taken = set(call.local_names)
    callee = plain(call.call.function)
    own = [callee.rpartition(".")[0]] if callee is not None and "." in callee else []

    def meant(name: str) -> str | None:
        head, _, rest = name.partition(".")
        if head in taken and head not in local:
            return None
        target = program.absolute(path, f"{local[head]}.{rest}") if head in local else program.resolve(path, name)
        return target.name if target is not None else None

    for prefix in (*own, *prefixes(analysis, path)):
        for world in sorted(catalog.world):
            # torch.distributed.group.WORLD: the last two parts are the class and its attribute.
            *_, holder, attribute = world.split(".")
            name = f"{prefix}.{holder}.{attribute}" if prefix else f"{holder}.{attribute}"
            if holder == "group" and meant(name) in catalog.world:
                return name
    for prefix in own:
        for api in catalog.of("group_accessor"):
            is_public = api.axis == "world" and not api.params and not api.op.startswith("_")
            if is_public and meant(f"{prefix}.{api.op}") == api.name:
                return f"{prefix}.{api.op}()"
    return None


def prefixes(analysis: Analysis, path: str) -> Iterator[str]:
    """Names under which a file may know a module that provides the default group."""
    yield ""
    imports = analysis.program.indexes[path].imports
    for name in imports:
        if name.isidentifier():
            # What a star brings has no name of its own.
            yield name
        if any(target.partition(".")[0] == "torch" for target in imports[name]) and name == "torch":
            yield "torch.distributed"


def which_dimension(group: GroupInReach) -> str:
    """The ways to write the group of one dimension of a mesh."""
    if group.dims is None:
        return f"`{group.owner}.get_group(name)`"
    names = [f'"{name}"' if name else str(number) for number, name in enumerate(group.dims)]
    return " or ".join(f"`{group.owner}.get_group({name})`" for name in names)


def caution(groups: Iterable[GroupInReach], expression: str) -> str:
    """What is wrong with a user's expression for a group: `get_group()` fails for a mesh of several dimensions."""
    for group in groups:
        if group.dims is not None and len(group.dims) > 1 and expression == f"{group.owner}.get_group()":
            dims = f"`{group.owner}` has {len(group.dims)} dimensions"
            return f"{dims}, and `{expression}` fails there: write {which_dimension(group)}"
    return ""
