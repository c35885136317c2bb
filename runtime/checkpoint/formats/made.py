"""Objects of classes that are not imported: they keep what a pickle gives them, and do nothing."""

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
    """A class that a pickle names, by its `path`. Its calls go into `calls`; None if the class is on the list of what is allowed."""

    path: str
    calls: list[tuple[str, tuple[Any, ...]]] | None

    def __call__(cls, *args: Any) -> Any:
        """Keep the call: an unpickler would import the class and run its code."""
        cls.note(args)
        kind: Any = cls
        return kind.__new__(kind, *args)

    def note(cls, args: tuple[Any, ...]) -> None:
        """Keep that it is called."""
        if cls.calls is not None:
            cls.calls.append((cls.path, args))


class Made(metaclass=Class):
    """An object: the arguments it was made with, its state, and what was put into it as into a mapping or a list."""

    __slots__ = ("args", "elements", "items", "state")
    path = ""
    calls = None
    args: tuple[Any, ...]
    state: Any
    items: dict[Any, Any]
    elements: list[Any]

    def __new__(cls, *args: Any, **_: Any) -> Self:
        """Without effect, with any arguments. Whole modules are made so, of classes of their own, but nothing of the standard library."""
        if cls.path.partition(".")[0] in sys.stdlib_module_names:
            cls.note(args)
        made = object.__new__(cls)
        made.args, made.state, made.items, made.elements = args, None, {}, []
        return made

    def __setstate__(self, state: object) -> None:
        """Keep it: mostly the attributes, or (attributes or None, those in slots)."""
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        """As a mapping is filled."""
        self.items[key] = value

    def append(self, item: Any) -> None:
        """As a list, or a set, is filled."""
        self.elements.append(item)

    add = append

    def extend(self, items: list[Any]) -> None:
        """As a list is filled with several."""
        self.elements += items

    def __str__(self) -> str:
        """`ZeroStageEnum(3)`, as it stands in the path of what is below it."""
        return f"{self.path.rpartition('.')[2]}({', '.join(str(a) for a in self.args if isinstance(a, (str, int, float)))})"

    @property
    def attributes(self) -> dict[Any, Any]:
        """The state where that is a mapping; {} otherwise."""
        parts = self.state if isinstance(self.state, tuple) else (self.state,)
        return {key: value for part in parts if isinstance(part, dict) for key, value in part.items()}

    @property
    def is_opaque(self) -> bool:
        """Whether what it holds has a form of its own: bytes as state, or a class that is known for it."""
        return self.path in OPAQUE or (
            isinstance(self.state, (bytes, bytearray, str)) and not self.path.startswith("numpy.")
        )


#: Classes and functions of the list whose contents are read by code of their own.
OPAQUE: Final = frozenset({"torch.storage._load_from_bytes"})


def class_of(path: str, calls: list[tuple[str, tuple[Any, ...]]] | None) -> type[Made]:
    """The class of that path; calls go into the list, or are allowed if that is None."""
    made: Any = Class("Made", (Made,), {"__slots__": (), "__module__": __name__, "path": path, "calls": calls})
    return cast("type[Made]", made)


def number(made: Made) -> float | None:
    """The value of one of numpy's scalars; None if it is none."""
    match made.args:
        case (Made(args=(str(kind), *_)), bytes(data)) if made.path.endswith("multiarray.scalar") and kind in _NUMBERS:
            form = struct.Struct(_NUMBERS[kind])
            return None if len(data) != form.size else float(form.unpack(data)[0])
    return None
