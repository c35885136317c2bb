"""Calls of builtins that ask whether something is sharded: `isinstance(x, DTensor)`, `hasattr(x, "full_tensor")`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..domain.sharding import is_sharded, sharding_test
from ..domain.symbol import name

_TYPE: Final = name("type")

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..domain.symbol import Symbol
    from ..domain.value import Value
    from ..transfer.state import Frame


def asked_of(frame: Frame, function: str, values: Sequence[Value]) -> Symbol | None:
    """The sharding test that a call performs on its first argument; None if it is no sharding test.

    None also if the argument is known to be sharded: then it is an ordinary condition.
    """
    if len(values) != 2 or is_sharded(values[0]) or _is_of_sharded_class(frame, values[0]):
        return None
    if function == "builtins.isinstance":
        classes = values[1].reference.parts or values[1:]
        asked = any(_is_sharded_class(frame, known) for known in classes)
    else:
        wanted = values[1].constant
        asked = function == "builtins.hasattr" and any(
            f"{known}.{wanted}" in frame.context.catalog.apis for known in frame.context.catalog.sharded
        )
    return sharding_test((values[0].symbol,), frame.elements) if asked else None


def class_asked_of(frame: Frame, kind: Value, known: Value) -> Symbol | None:
    """The condition that `type(x) is DTensor` asks for, where `x` is not known to be sharded."""
    if kind.symbol.kind != "call" or kind.symbol.args[:1] != (_TYPE,) or len(kind.symbol.args) != 2:
        return None
    asked = _is_sharded_class(frame, known) and not is_sharded(kind)
    return sharding_test((kind.symbol.args[1],), frame.elements) if asked else None


def _is_sharded_class(frame: Frame, known: Value) -> bool:
    """Whether it is a class of sharded tensors or models, or a subclass in the program."""
    target = known.reference.target
    if target is None:
        return False
    if target.kind == "external":
        return target.name in frame.context.catalog.sharded
    return target.kind == "class" and any(
        name in frame.context.catalog.sharded for name in frame.context.program.outside(target)
    )


def _is_of_sharded_class(frame: Frame, value: Value) -> bool:
    if value.reference.kind in frame.context.catalog.sharded:
        return True
    instance = value.reference.instance
    return instance is not None and any(
        name in frame.context.catalog.sharded for name in frame.context.program.outside(instance)
    )
