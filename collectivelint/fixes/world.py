"""How the default group can be written where a call stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..analysis.facts import ApiCall
    from ..analysis.program import Analysis


def world_expression(analysis: Analysis, call: ApiCall) -> str | None:
    """`dist.group.WORLD` with the names this file has for it; None if it imports nothing that leads there."""
    from ..analysis.names import plain

    program, catalog = analysis.program, analysis.catalog
    path = call.function.path
    local = dict(call.function.imports)
    # A parameter or variable of that name hides the import.
    taken = set(call.local_names)
    callee = plain(call.call.function)
    own = [callee.rpartition(".")[0]] if callee is not None and "." in callee else []
    for prefix in (*own, *prefixes(analysis, path)):
        for world in sorted(catalog.world):
            # torch.distributed.group.WORLD: the last two parts are the class and its attribute.
            *_, holder, attribute = world.split(".")
            name = f"{prefix}.{holder}.{attribute}" if prefix else f"{holder}.{attribute}"
            head, _, rest = name.partition(".")
            if head in taken and head not in local:
                continue
            target = program.absolute(path, f"{local[head]}.{rest}") if head in local else program.resolve(path, name)
            if target is not None and target.name in catalog.world and holder == "group":
                return name
    return None


def prefixes(analysis: Analysis, path: str) -> Iterator[str]:
    """Names under which a module that has the default group may be known in a file."""
    yield ""
    imports = analysis.program.indexes[path].imports
    for name in imports:
        yield name
        if any(target.partition(".")[0] == "torch" for target in imports[name]) and name == "torch":
            yield "torch.distributed"
