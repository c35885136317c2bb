"""Which attributes of other objects the functions of a file set, as they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.names import plain
from ...ir.nodes import Attribute, Call, Constant, Name, Subscript, assignments, expressions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ...ir.nodes import Block, Expr, Function


def changed_by(functions: Iterable[Function]) -> frozenset[str]:
    """The names of the attributes that functions set on other objects than their own.

    `load()` is a function that sets attributes of computed names on what it is passed, `Options.*` a class that does so
    on its own objects.
    """
    return frozenset(name for function in functions for name in _changed(function))


def _changed(function: Function) -> Iterator[str]:
    own = function.params[0].name if function.owner is not None and function.params else None
    for statement in assignments(function.body):
        for target in statement.targets:
            if isinstance(target, Attribute) and (own is None or target.value != Name(own)):
                yield target.name
    for owner, name in _set(function.body):
        if name is not None and owner != own:
            yield name
        elif owner == own:
            yield f"{function.owner}.*"
        elif any(parameter.name == owner for parameter in function.params):
            yield f"{function.qualname.rpartition('.')[2]}()"


def sets_computed(block: Block, owner: str) -> bool:
    """Whether a block sets attributes of computed names on what it calls `owner`."""
    return any(name is None and found == owner for found, name in _set(block))


def _set(block: Block) -> Iterator[tuple[str | None, str | None]]:
    """What attributes are set on other than by assignment, with the name if that is written."""
    for expr in expressions(block):
        match expr:
            case Call(function=Name(id="setattr"), args=(owner, Constant(value=str(name)), _)):
                yield plain(owner), name
            case Call(function=Name(id="setattr"), args=(owner, _, _)):
                yield plain(owner), None
            case Call(function=Attribute(value=table, name=("update" | "setdefault"))):
                yield _whose(table), None
            case Call(keywords=keywords):
                # Of `parse_args`.
                yield from ((plain(value), None) for word, value in keywords if word == "namespace")
    for statement in assignments(block):
        for target in statement.targets:
            if isinstance(target, Subscript):
                yield _whose(target.value), None


def _whose(table: Expr) -> str | None:
    """The object that `vars(o)` or `o.__dict__` has the attributes of."""
    match table:
        case Call(function=Name(id="vars"), args=(owner,)):
            return plain(owner)
        case Attribute(value=owner, name="__dict__"):
            return plain(owner)
        case _:
            return None
