"""Stand-ins for objects of classes that are not imported: they store what a pickle passes to them and run nothing."""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from typing_extensions import Self

#: Forms of numpy's scalars, as its dtypes name them.
_NUMBERS: Final = {
    "i8": "<q",
    "i4": "<i",
    "i2": "<h",
    "i1": "<b",
    "u1": "<B",
    "u8": "<Q",
    "f8": "<d",
    "f4": "<f",
    "b1": "<?",
}


class Class(type):
    """Stand-in for a class that a pickle names. Calls are added to `calls`; None if the class is allowed."""

    path: str
    calls: list[tuple[str, tuple[Any, ...]]] | None

    def __call__(cls, *args: Any) -> Any:
        """Record the call, which an unpickler would run, and create a stand-in object."""
        cls.note(args)
        kind: Any = cls
        return kind.__new__(kind, *args)

    def note(cls, args: tuple[Any, ...]) -> None:
        """Record that the class is called."""
        if cls.calls is not None:
            cls.calls.append((cls.path, args))


class Made(metaclass=Class):
    """Stand-in for an object: its constructor arguments, its state, and items added as to a mapping or a list."""

    __slots__ = ("args", "elements", "items", "state")
    path = ""
    calls = None
    args: tuple[Any, ...]
    state: Any
    items: dict[Any, Any]
    elements: list[Any]

    def __new__(cls, *args: Any, **_: Any) -> Self:
        """Create it without running anything. Records the call for classes of the standard library only."""
        if cls.path.partition(".")[0] in sys.stdlib_module_names:
            cls.note(args)
        made = object.__new__(cls)
        made.args, made.state, made.items, made.elements = args, None, {}, []
        return made

    def __setstate__(self, state: object) -> None:
        """Store the state: usually the attributes, or (attributes or None, attributes in slots)."""
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        """Store an item, as in a mapping."""
        self.items[key] = value

    def append(self, item: Any) -> None:
        """Store an element, as in a list or a set."""
        self.elements.append(item)

    add = append

    def extend(self, items: list[Any]) -> None:
        """Store several elements, as in a list."""
        self.elements += items

    def __str__(self) -> str:
        """The object as it appears in a path: `ZeroStageEnum(3)`."""
        return f"{self.path.rpartition('.')[2]}({', '.join(str(a) for a in self.args if isinstance(a, (str, int, float)))})"

    @property
    def attributes(self) -> dict[Any, Any]:
        """The attributes in the state; {} if it has none."""
        parts = self.state if isinstance(self.state, tuple) else (self.state,)
        return {key: value for part in parts if isinstance(part, dict) for key, value in part.items()}

    @property
    def is_opaque(self) -> bool:
        """Whether its content has an encoding of its own: bytes as state, or a class known for it."""
        return self.path in OPAQUE or (
            isinstance(self.state, (bytes, bytearray, str)) and not self.path.startswith("numpy.")
        )


#: Classes and functions of the list whose contents are read by code of their own.
OPAQUE: Final = frozenset({"torch.storage._load_from_bytes"})


def class_of(path: str, calls: list[tuple[str, tuple[Any, ...]]] | None) -> type[Made]:
    """Create the stand-in for the class of that path; its calls are added to `calls`, or allowed if that is None."""
    made: Any = Class("Made", (Made,), {"__slots__": (), "__module__": __name__, "path": path, "calls": calls})
    return cast("type[Made]", made)


def number(made: Made) -> float | None:
    """The value of a numpy scalar; None for any other object."""
    match made.args:
        case (Made(args=(str(kind), *_)), bytes(data)) if made.path.endswith("multiarray.scalar") and kind in _NUMBERS:
            form = struct.Struct(_NUMBERS[kind])
            return None if len(data) != form.size else float(form.unpack(data)[0])
    return None
