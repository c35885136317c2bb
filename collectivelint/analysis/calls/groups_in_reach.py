"""The groups that have a name at a call site, and the expression for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.names import plain
from ...ir.nodes import Attribute, Call, Constant, Subscript, expressions
from ..domain.symbol import WORLD, compare
from ..domain.value import NONE
from ..summary.model import GroupInReach
from ..transfer.group_names import is_otherwise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...ir.nodes import Expr
    from ..domain.value import Value
    from ..transfer.state import Frame


def in_reach(frame: Frame) -> tuple[GroupInReach, ...]:
    """The groups and meshes that have a name at the current statement."""
    found: dict[str, GroupInReach] = {}

    def consider(text: str, value: Value, origin: str) -> None:
        if value.constant is None or value.symbol is WORLD:
            return
        group: GroupInReach | None = None
        if value.reference.meaning == "group":
            if value.reference.kind is not None or origin == "parameter" or not is_otherwise(frame, text):
                group = GroupInReach(text, origin, optional=value.reference.optional, everyone=value.reference.everyone)
        elif value.reference.meaning == "ops":
            group = GroupInReach(f"{text}.group", origin)
        elif value.reference.meaning == "mesh":
            group = _of_mesh(frame, text, value, origin)
        if group is not None and not _is_missing(frame, value):
            found.setdefault(group.text, group)

    params = {parameter.name: parameter for parameter in frame.function.params}
    for name, value in frame.variables.items():
        # Annotations made for attributes of attributes are not names a fix may rely on.
        if name.count(".") <= 1:
            origin = "parameter" if name in params else "attribute" if "." in name else "local variable"
            given = origin == "parameter" and value.symbol.parameter == name and params[name].default == Constant(None)
            consider(name, value.referring(optional=True) if given else value, origin)
    owner = frame.function.owner
    if owner is not None and frame.function.params:
        own = frame.function.params[0].name
        instance = frame.variables.get(own)
        if instance is not None and instance.reference.instance is not None:
            for name in frame.context.attributes(instance.reference.instance):
                value_ = frame.context.attribute(instance.reference.instance, name)
                if value_ is not None:
                    consider(f"{own}.{name}", value_, "attribute")
    return tuple(found.values())


def _is_missing(frame: Frame, value: Value) -> bool:
    """Whether it is known to be None here: `assert group is None`, `if group is not None: raise`, `if not group:`."""
    symbol = value.symbol
    return bool(frame.conditions) and (
        compare("is", symbol, NONE.symbol) in frame.conditions or symbol.negate() in frame.conditions
    )


def _of_mesh(frame: Frame, text: str, value: Value, origin: str) -> GroupInReach:
    """The group of a mesh: that of its only dimension, or of the only one that the function names elsewhere."""
    if value.reference.dims is not None and len(value.reference.dims) == 1:
        return GroupInReach(f"{text}.get_group()", origin, text, value.reference.dims)
    named = dict.fromkeys(_named(frame, text))
    dimension = next(iter(named), None)
    if len(named) == 1 and isinstance(dimension, (str, int)):
        return GroupInReach(f"{text}.get_group({_quoted(dimension)})", origin, text, value.reference.dims)
    return GroupInReach(f"{text}.get_group(...)", origin, text, value.reference.dims, certain=False)


def _quoted(dimension: str | int) -> str:
    return f'"{dimension}"' if isinstance(dimension, str) else repr(dimension)


def _named(frame: Frame, text: str) -> Iterator[object]:
    """The dimensions of a mesh that the function names: `mesh.get_group("dp")`, `mesh["dp"]`, `mesh["dp", "tp"]`."""
    for expr in expressions(frame.function.body):
        match expr:
            case Call(function=Attribute(value=owner, name="get_group"), args=args, keywords=keywords):
                yield from _constants(owner, text, (*args, *(value for _, value in keywords)))
            case Subscript(value=owner, index=index):
                yield from _constants(owner, text, (index,))
            case _:
                pass


def _constants(owner: Expr, text: str, names: tuple[Expr, ...]) -> Iterator[object]:
    if plain(owner) == text:
        for name in names:
            yield name.value if isinstance(name, Constant) else name
