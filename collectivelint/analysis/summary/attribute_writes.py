"""The attributes that the functions of a file set on objects other than `self`, read from their source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.names import plain
from ...ir.nodes import Attribute, Call, Constant, Name, Subscript, assignments, expressions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...ir.nodes import Block, Expr, Function


def changed_by(functions: Iterable[Function]) -> frozenset[str]:
    """The names of the attributes that functions set on objects other than their own.

    An entry `load()` is a function that sets attributes with computed names on an argument, `Options.*` a class that
    does so on its own objects.
    """
    found: set[str] = set()
    for function in functions:
        _changed(function, found)
    return frozenset(found)


def _changed(function: Function, found: set[str]) -> None:
    own = function.params[0].name if function.owner is not None and function.params else None
    for statement in assignments(function.body):
        for target in statement.targets:
            if isinstance(target, Attribute) and (own is None or target.value != Name(own)):
                found.add(target.name)
    for owner, name in _set(function.body):
        if name is not None and owner != own:
            found.add(name)
        elif owner == own:
            found.add(f"{function.owner}.*")
        elif any(parameter.name == owner for parameter in function.params):
            found.add(f"{function.qualname.rpartition('.')[2]}()")


def sets_computed(block: Block, owner: str) -> bool:
    """Whether a block sets attributes with computed names on the object `owner`."""
    return any(name is None and found == owner for found, name in _set(block))


def _set(block: Block) -> list[tuple[str | None, str | None]]:
    """Pairs (object, attribute name) set by calls such as `setattr`; the name is None where it is computed."""
    found: list[tuple[str | None, str | None]] = []
    for expr in expressions(block):
        if not isinstance(expr, Call):
            continue
        function = expr.function
        if isinstance(function, Name) and function.id == "setattr" and len(expr.args) == 3:
            name = expr.args[1]
            written = name.value if isinstance(name, Constant) else None
            found.append((plain(expr.args[0]), written if isinstance(written, str) else None))
        elif isinstance(function, Attribute) and function.name in ("update", "setdefault"):
            found.append((_whose(function.value), None))
        else:
            # Of `parse_args`.
            found += [(plain(value), None) for word, value in expr.keywords if word == "namespace"]
    for statement in assignments(block):
        for target in statement.targets:
            if isinstance(target, Subscript):
                found.append((_whose(target.value), None))
    return found


def _whose(table: Expr) -> str | None:
    """The object `o` whose attributes `vars(o)` or `o.__dict__` holds."""
    match table:
        case Call(function=Name(id="vars"), args=(owner,)):
            return plain(owner)
        case Attribute(value=owner, name="__dict__"):
            return plain(owner)
        case _:
            return None
