"""Draft catalogue rows, derived from the analysis of a framework's source, for a person to review."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from ..analysis.domain.symbol import WORLD
from ..analysis.effects import Choice, Event, parts
from ..analysis.transfer.binding import GUARD
from ..ir.nodes import Constant
from .operations import NO_DATA, OF_OBJECTS, OF_TENSORS
from .rows import GIVEN
from .schema import ROLES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from ..analysis.domain.symbol import Symbol
    from ..analysis.domain.value import Value
    from ..analysis.effects import Item, Term
    from .candidates import Candidate

#: Operations that leave the same on all ranks of the group.
_SHARING: Final = frozenset(
    {"broadcast", "all_reduce", "all_gather", "broadcast_object", "all_reduce_object", "all_gather_object"}
)
_COLLECTIVES: Final = frozenset({*NO_DATA, *OF_TENSORS, *OF_OBJECTS})
#: A function of more statements does more than one operation of the catalogue.
_SHORT: Final = 12
_WHY: Final[Mapping[str, str]] = {
    "barrier": "it waits for all ranks",
    "broadcast": "it broadcasts from one rank",
    "broadcast_object": "it broadcasts from one rank",
    "all_reduce": "it reduces over all ranks",
    "all_gather": "it gathers from all ranks",
    "all_gather_object": "it gathers from all ranks",
}
_LITERALS: Final = {True: "true", False: "false"}


def row_of(found: Candidate) -> tuple[str, dict[str, Any]] | None:
    """The table and row for a function; None if it neither runs collectives nor returns something rank-dependent."""
    function = found.facts.function
    name = found.name.removeprefix(f"{found.module}.")
    params = [parameter.name for parameter in function.params if parameter.kind not in ("args", "kwargs")]
    if params[:1] == ["cls"] or function.qualname.endswith(".__init__"):
        params = params[1:]
    row: dict[str, Any] = {"name": name, "params": " ".join(params)}
    returned = found.facts.returns
    if not found.events:
        return None if returned is None else _of_value(row, returned)
    events = [event for event in found.events if event.kind != "init"]
    if not events:
        return "lifecycle", row | {"operation": "init"}
    if returned is not None and returned.reference.meaning == "group" and events[0].kind == "create":
        return "group_constructors", row | {"returns": returned.reference.kind or "torch.distributed.ProcessGroup"}
    row |= _group(events, params) | _needed(found, params)
    shared = [name for name in params if name in found.facts.uniform]
    is_filled = returned is not None and returned.origin.origins and not returned.uniformity.varies
    if is_filled and all(event.operation in _SHARING for event in events):
        shared.append("return")
    kinds = {event.operation for event in events}
    is_short = sum(1 for _ in function.body) <= _SHORT and all(event.kind == "collective" for event in events)
    # One that neither waits for all ranks nor gives back what they agreed on is a part of something else.
    is_operation = len(kinds) == 1 and kinds <= _COLLECTIVES and (bool(shared) or kinds <= {*NO_DATA})
    if is_short and is_operation:
        row = {"name": row.pop("name"), "operation": events[0].operation, **row}
        return "collectives", row | ({"uniform": " ".join(shared)} if shared else {})
    why = dict.fromkeys(_why(event) for event in events)
    return "implicit", row | ({"uniform": " ".join(shared)} if shared else {}) | {"why": ", and ".join(list(why)[:2])}


def _why(event: Event) -> str:
    """The reason a message gives for a collective inside the function."""
    if event.kind == "create":
        return "it makes process groups"
    return event.why or _WHY.get(event.operation or "", f"it runs {event.op}")


def _of_value(row: dict[str, Any], value: Value) -> tuple[str, dict[str, Any]] | None:
    """The table and row of a function without collectives, chosen by the value it returns; None if no table fits."""
    own = [axis for axis in value.uniformity.varies if axis is not WORLD]
    axis = str(own[0].head[0]) if own and own[0].kind == "name" else "world"
    if value.reference.kind == "rank":
        return "rank_sources", row | {"axis": axis}
    if value.reference.kind == GUARD or (value.uniformity.varies and value.uniformity.one):
        return "guards", row | {"axis": axis, "one": True}
    if value.reference.meaning == "group":
        return "group_accessors", row | {"returns": value.reference.kind or "torch.distributed.ProcessGroup"}
    return None


def _group(events: Iterable[Event], params: list[str]) -> dict[str, str]:
    """The parameter that holds the group of all collectives, unless its name is standard; else the group's axis."""
    groups = {event.group for event in events}
    if len(groups) == 1 and next(iter(groups)) is not WORLD and next(iter(groups)).kind == "name":
        return {"axis": str(next(iter(groups)).head[0])}
    given = {group.parameter for group in groups if group is not WORLD}
    named = given.pop() if len(given) == 1 else None
    return {"group": named} if named in params and named not in ROLES else {}


def _needed(found: Candidate, params: list[str]) -> dict[str, str]:
    """The `when` or `unless` entry: the flag or argument without which the function runs no collectives."""
    places = {event.place for event in found.events}
    defaults = {parameter.name: parameter.default for parameter in found.facts.function.params}
    for name, wanted in sorted(_flags(found.facts.summary, places) or ()):
        if name in params:
            default = defaults.get(name)
            is_on = getattr(default, "value", None)
            if isinstance(default, Constant) and is_on is None and wanted:
                return {"when": f"{name}={GIVEN}"}
            key, value = ("when", wanted) if is_on is not wanted else ("unless", not wanted)
            return {key: f"{name}={_LITERALS[value]}"} if isinstance(is_on, bool) or is_on is None else {}
    return {}


def _flags(term: Term, places: Collection[object]) -> frozenset[tuple[str, bool]] | None:
    """The (parameter, value) pairs that hold wherever these collectives run; None if none of them runs in `term`."""
    found: frozenset[tuple[str, bool]] | None = None
    for item in term:
        inner = _of_item(item, places)
        if inner is not None:
            found = inner if found is None else found & inner
    return found


def _of_item(item: Item, places: Collection[object]) -> frozenset[tuple[str, bool]] | None:
    if isinstance(item, Event):
        return frozenset() if item.place in places else None
    found: frozenset[tuple[str, bool]] | None = None
    for number, term in enumerate(parts(item)):
        inner = _flags(term, places)
        if inner is not None and isinstance(item, Choice):
            inner |= _told(item.guard.symbol, number == 0)
        if inner is not None:
            found = inner if found is None else found & inner
    return found


def _told(symbol: Symbol, holds: bool) -> frozenset[tuple[str, bool]]:
    """The (parameter, value) pair that a condition implies: `flag`, `group is None`; empty if it implies none."""
    if symbol.parameter is not None:
        return frozenset({(symbol.parameter, holds)})
    is_none = symbol.kind == "compare" and symbol.head == ("is",) and symbol.args[1].head == ("NoneType", None)
    name = symbol.args[0].parameter if is_none else None
    return frozenset({(name, not holds)}) if name is not None else frozenset()


def toml(found: Iterable[Candidate], framework: str, version: str) -> str:
    """A draft catalogue file with rows for the functions that the catalogue does not contain yet."""
    tables: defaultdict[str, defaultdict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for candidate in found:
        made = row_of(candidate) if candidate.known is None else None
        if made is not None:
            tables[candidate.module][made[0]].append(made[1])
    lines = [f"# {framework} {version}: a draft, made of its source. Check each row.".replace("  ", " "), ""]
    lines += [f"framework = {json.dumps(framework)}"]
    for module, rows in tables.items():
        lines += ["", "[[section]]", f"module = {json.dumps(module)}"]
        place = f"{module.replace('.', '/')}.py"
        lines.append(f"source = {json.dumps(f'{framework}, {place}')}")
        lines += [f"version = {json.dumps(version)}"] if version else []
        owners = dict.fromkeys(
            row["name"].rpartition(".")[0] for some in rows.values() for row in some if "." in row["name"]
        )
        classes = [{"name": owner, "meaning": "object"} for owner in owners]
        for table, some in {"classes": classes, **rows}.items():
            if some:
                lines += [f"{table} = [", *(f"  {{ {_inline(row)} }}," for row in some), "]"]
    return "\n".join(lines) + "\n"


def _inline(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {json.dumps(value)}" for key, value in row.items())
