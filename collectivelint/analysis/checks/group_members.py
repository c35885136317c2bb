"""The ranks of a newly made group, as written in the call and the function around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.names import plain
from ...ir.nodes import (
    Attribute,
    Call,
    Compound,
    Comprehension,
    Conditional,
    Constant,
    Loop,
    Name,
    Subscript,
    assignments,
    blocks,
    expressions,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...catalog.model import Api, Catalog
    from ...ir.nodes import Block, Expr, Function, Span
    from ..summary.making import Members

#: Functions that give back the ranks that they are given.
_SAME: Final = frozenset({"list", "tuple", "sorted", "set"})
#: Assignments in a row that are followed.
_MOST_STEPS: Final = 4


def members_of(api: Api, call: Call, function: Function, catalog: Catalog, *, once: bool) -> Members:
    """The ranks in the groups that a constructor call makes; `once`: the call is in no loop."""
    words = dict(call.keywords)
    if api.params[:1] != ("ranks",):
        return "all" if _has_one_dimension(api, call) else "each"
    ranks = call.args[0] if call.args else words.get("ranks")
    if ranks is None:
        # What `*args` holds is not written.
        return "each" if call.spread else "all"
    members = _members(ranks, function, catalog, _MOST_STEPS)
    local = words.get("use_local_synchronization", Constant(False))
    # A loop goes over all groups of a kind; with local synchronisation each rank makes its own.
    return members if members == "all" or (once and local == Constant(False)) else "each"


def repeated_spans(function: Function) -> tuple[Span, ...]:
    """The spans of the loops and comprehensions of a function."""
    inside = (expr.span for expr in expressions(function.body) if isinstance(expr, Comprehension))
    return (*_loops(function.body), *inside)


def _loops(block: Block) -> Iterator[Span]:
    for statement in block:
        if isinstance(statement, Loop):
            yield statement.span
        for inner in blocks(statement):
            yield from _loops(inner)


def _has_one_dimension(api: Api, call: Call) -> bool:
    """Whether a mesh is written with one dimension; dimensions of size 1 do not count."""
    name = next((name for name in ("mesh_shape", "mesh") if name in api.params), None)
    if name is None:
        return False
    position = api.params.index(name)
    given = dict(call.keywords).get(name) or (call.args[position] if len(call.args) > position else None)
    if not isinstance(given, Compound):
        return False
    if name == "mesh":
        return all(isinstance(part, Constant) for part in given.parts)
    return sum(part != Constant(1) for part in given.parts) <= 1


def _members(ranks: Expr, function: Function, catalog: Catalog, steps: int) -> Members:
    match ranks:
        case Constant(value=None):
            return "all"
        case Call(function=Name(id=name), args=(inner, *_)) if name in _SAME:
            return _members(inner, function, catalog, steps)
        case Call(function=Name(id="range"), args=args):
            last = args[-1] if len(args) == 1 or (args[:1] == (Constant(0),) and len(args) == 2) else None
            return "all" if last is not None and _is_whole(last, function, catalog, steps) else _chosen(args, function)
        case Comprehension(targets=(target,), iterables=(iterable,), filters=(), element=element) if target == element:
            return _members(iterable, function, catalog, steps)
        case Conditional(then=then, orelse=orelse):
            return _least(_members(then, function, catalog, steps), _members(orelse, function, catalog, steps))
        case Name(id=name) if steps and (values := _assigned(name, function)):
            found = [_members(value, function, catalog, steps - 1) for value in values]
            return found[0] if len(set(found)) == 1 else "each"
        case _:
            return "all" if _is_whole(ranks, function, catalog, 0) else _chosen((ranks,), function)


def _least(one: Members, other: Members) -> Members:
    return one if one == other else "each"


def _chosen(parts: tuple[Expr, ...], function: Function) -> Members:
    """The kind of members: "some" if this function chooses the ranks, "each" if parameters alone determine them."""
    params = {parameter.name for parameter in function.params}
    return "each" if all(isinstance(part, Name) and part.id in params for part in parts) else "some"


def _assigned(name: str, function: Function) -> list[Expr]:
    """What is assigned to a local variable."""
    return [found.value for found in assignments(function.body) if found.targets == (Name(name),)]


def _is_whole(expr: Expr, function: Function, catalog: Catalog, steps: int) -> bool:
    """Whether an expression is the number of all ranks, or their list, by its name or by what it was assigned."""
    match expr:
        case Call(function=Name(id="int"), args=(inner,)):
            return _is_whole(inner, function, catalog, steps)
        case Subscript(value=Attribute(name="environ"), index=Constant(value=key)):
            return key == "WORLD_SIZE"
        case Call(function=Attribute(name=("get" | "getenv")), args=(Constant(value=str(key)), *_)):
            return key == "WORLD_SIZE"
        case Call(function=callee, args=(), keywords=()):
            name = plain(callee) or ""
        case Name() | Attribute():
            name = plain(expr) or ""
        case _:
            return False
    owner, _, last = name.lower().rpartition(".")
    is_whole = last.strip("_").removeprefix("get_") in catalog.world_names
    if is_whole and catalog.group_words.isdisjoint(owner.replace(".", "_").split("_")):
        return True
    return (
        isinstance(expr, Name)
        and steps > 0
        and any(_is_whole(value, function, catalog, steps - 1) for value in _assigned(expr.id, function))
    )
