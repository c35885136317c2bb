"""How the default group can be written where a call stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..analysis.facts import ApiCall
    from ..analysis.program import Analysis


def world_expression(analysis: Analysis, call: ApiCall) -> str | None:
    """`dist.group.WORLD` with the names this file has for it; None if it imports nothing that leads there.

    Where a framework has a function of its own for it, and nothing else is at hand, that one is called.
    """
    from ..analysis.names import plain
    from ..analysis.values import WORLD

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
            is_public = api.axis == WORLD and not api.params and not api.op.startswith("_")
            if is_public and meant(f"{prefix}.{api.op}") == api.name:
                return f"{prefix}.{api.op}()"
    return None


def prefixes(analysis: Analysis, path: str) -> Iterator[str]:
    """Names under which a module that has the default group may be known in a file."""
    yield ""
    imports = analysis.program.indexes[path].imports
    for name in imports:
        if name.isidentifier():
            # What a star brings has no name of its own.
            yield name
        if any(target.partition(".")[0] == "torch" for target in imports[name]) and name == "torch":
            yield "torch.distributed"
