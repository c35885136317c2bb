"""The meaning of a name at a place: a variable, a global of some file, or something outside the program."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Final

from ...program.target import Target
from ..domain import symbol as symbols
from ..domain.causes import Cause
from ..domain.symbol import WORLD, global_name
from ..domain.value import Value
from .containers import is_empty_table
from .group_names import is_other_variable

if TYPE_CHECKING:
    from .state import Frame

_BUILTINS: Final = frozenset(dir(builtins))


def look_up(frame: Frame, name: str) -> Value:
    """The value of a variable: local, enclosing, global or builtin."""
    known = frame.variables.get(name)
    # `except ImportError: dist = None` beside an import: where it matters, the import has worked.
    if known is not None and (
        known.constant is not None or name not in frame.context.program.indexes[frame.path].imports
    ):
        return known
    if name in frame.imports:
        return refer(frame, frame.context.program.absolute(frame.path, frame.imports[name]))
    if name in frame.closure:
        return frame.closure[name]
    found = frame.globals.get(name)
    if found is not None:
        return found
    target = frame.context.program.resolve(frame.path, name)
    if target is not None:
        found = frame.globals[name] = refer(frame, target)
        return found
    if name in _BUILTINS:
        return Value(symbols.name(name)).referring(target=Target("external", "", f"builtins.{name}"))
    known_type = frame.context.catalog.convention(name, "object")
    return Value(global_name(frame.path, name)).referring(kind=known_type.type if known_type is not None else None)


def refer(frame: Frame, target: Target) -> Value:
    """The value of something that a name refers to."""
    symbol = global_name(target.path, target.name) if target.path else symbols.name(target.name)
    annotation = frame.context.annotation(target)
    if annotation is not None and annotation.kind == "axis" and target.kind != "function":
        return Value(symbols.name(annotation.axis) if annotation.axis else symbol).referring(
            target=target, meaning="group"
        )
    if target.kind == "variable":
        module = Target("function", target.path, "<module>")
        named = frame.context.catalog.convention(target.name.lstrip("_").lower(), "group")
        if named is not None and is_other_variable(frame, target):
            named = None
        placeholder = Value(symbol).referring(meaning="group" if named else None)
        if target.name in frame.context.program.indexes[target.path].rebound:
            return placeholder
        inside = frame.function.qualname == "<module>" and target.path == frame.path
        facts = None if inside else frame.context.facts(module)
        found = facts.variables.get(target.name) if facts is not None else None
        # `GROUP = None` at the top of a module is a place for something that another module puts there.
        if found is not None and is_empty_table(found):
            span = frame.context.recorded_in(target.path).get(target.name)
            found = found if span is None else found.sized(uneven=(Cause("recorded", target.path, span),))
        return placeholder if found is None or found.constant is None else found
    if target.name in frame.context.catalog.world:
        return Value(WORLD).referring(target=target, meaning="group")
    return Value(symbol).referring(target=target)
