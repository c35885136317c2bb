"""The group that a function or a class works on: it is passed one, and nothing there runs on another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...catalog.operations import agreed_roles
from ...ir.names import plain
from ...ir.nodes import (
    Attribute,
    Branch,
    Call,
    Compare,
    Conditional,
    Constant,
    Logical,
    Name,
    Not,
    assignments,
    blocks,
    walk,
)
from ..domain.symbol import WORLD

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...ir.nodes import Block, Expr, Function
    from ...program.resolver import Program
    from ..summary.model import ApiCall, GroupInReach

#: Methods whose parameters are what an object is given.
_CONSTRUCTORS: Final = ("__init__", "__post_init__", "setup")


def group_made_for(
    program: Program, call: ApiCall, in_function: Sequence[ApiCall], in_class: Sequence[ApiCall]
) -> GroupInReach | None:
    """The one sub-group passed to the function that contains a call without a group, or kept by the method's object.

    None where other calls of the function (of the class) use another group or all ranks, where most of them use none,
    and where the call is in a branch for a group that is None: all ranks may be meant then.
    """
    items = [item for item in call.in_reach if item.is_subgroup]
    given = [item for item in items if item.origin == "parameter"]
    around = in_function
    if not given and len(items) == 1:
        fields = _given_fields(program, call.function)
        given = [item for item in items if any(f"{_root(item)}.".startswith(f"{field}.") for field in fields)]
        # What the constructor does with its parameter, it does with the attribute.
        around = [other for other in in_class if other.function.qualname.rpartition(".")[2] not in _CONSTRUCTORS]
    if len(given) != 1:
        return None
    item = given[0]
    if _is_absent(call.function.body, call, _root(item)) or _is_chosen(call.group_expr, _root(item)):
        return None
    if _is_from_rank_zero(call):
        # Of the groups of a job only that of all ranks has it for sure.
        return None
    others = [other for other in around if other.group is not None and other.group.constant is not None]
    if not all(_runs_on(other, item) for other in others):
        return None
    without = sum(other.group is None and other.api.category == "collective" for other in around)
    return item if without <= max(len(others), 1) else None


def _root(item: GroupInReach) -> str:
    """The expression of the group, or of the mesh that it belongs to."""
    return item.owner or item.text


def _runs_on(call: ApiCall, item: GroupInReach) -> bool:
    """Whether the group of a call is, or is made from, what was given."""
    if call.group is None or call.group.symbol is WORLD:
        return False
    root = _root(item)
    if any(symbol.parameter == root for symbol in call.group.symbol.walk()):
        return True
    written = [call.group_expr] if call.group_expr is not None else []
    written += [made.value for made in assignments(call.function.body) if any(expr in made.targets for expr in written)]
    return any(plain(part) in (root, root.removesuffix(".group")) for expr in written for part in walk(expr))


def _given_fields(program: Program, function: Function) -> frozenset[str]:
    """The attributes, as `self.name`, that the constructor of a method's class sets to one of its parameters."""
    if function.owner is None or not function.params:
        return frozenset()
    functions = program.functions(function.path)
    found = set()
    for name in _CONSTRUCTORS:
        made = functions.get(f"{function.owner}.{name}")
        if made is None or not made.params:
            continue
        own, *rest = [parameter.name for parameter in made.params]
        for assign in assignments(made.body):
            names = {part.id for part in walk(assign.value) if isinstance(part, Name)}
            for target in assign.targets:
                if isinstance(target, Attribute) and target.value == Name(own) and names.intersection(rest):
                    found.add(f"{function.params[0].name}.{target.name}")
    return frozenset(found)


def _is_absent(block: Block, call: ApiCall, root: str) -> bool:
    """Whether a branch around a call is for a group that is None."""
    return any(
        _says_none(branch.test, root, holds=any(inner.span.contains(call.statement) for inner in branch.then))
        for branch in _branches_around(block, call)
    )


def _is_chosen(group: Expr | None, root: str) -> bool:
    """Whether a group expression has a fall-back for None: `mesh.get_group() if mesh else None`."""
    return isinstance(group, Conditional) and any(_says_none(group.test, root, holds=holds) for holds in (True, False))


def _is_from_rank_zero(call: ApiCall) -> bool:
    """Whether a call names the first rank of the job by its number."""
    return any(
        call.exprs.get(call.api.roles.get(role, "")) == Constant(0) for role in agreed_roles(call.api.operation, "root")
    )


def _branches_around(block: Block, call: ApiCall) -> Iterator[Branch]:
    for statement in block:
        if statement.span.contains(call.statement):
            if isinstance(statement, Branch):
                yield statement
            for inner in blocks(statement):
                yield from _branches_around(inner, call)


def _says_none(test: Expr, root: str, *, holds: bool) -> bool:
    """Whether a condition that holds, or does not, says that something is None."""
    match test:
        case Not(value=value):
            return _says_none(value, root, holds=not holds)
        case Logical(op=op, values=values):
            return (op == "and") == holds and any(_says_none(value, root, holds=holds) for value in values)
        case Compare(left=left, op="is" | "==" | "is not" | "!=" as op, right=Constant(value=None)):
            return plain(left) == root and (op in ("is", "==")) == holds
        case Call():
            return False
        case _:
            return not holds and plain(test) == root
