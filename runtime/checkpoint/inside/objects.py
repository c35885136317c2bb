"""Digests of Python objects that are equal for equal values on two ranks, unlike pickles.

No code of the objects' classes runs. For a class with its own way of pickling only the name is digested.
"""

from __future__ import annotations

import marshal
import sys
from typing import TYPE_CHECKING, Any, Final

from ..formats.crc import crc32

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

#: Deeper values are not compared; those of more items have no digest: C pickles them, Python would take seconds.
_DEEPEST: Final = 16
_MOST: Final = 200_000
_SCALARS: Final = frozenset({int, float, complex, bool, type(None), str, bytes})
#: Classes whose text says all of their value.
_SHOWN: Final = frozenset({
    "datetime.date", "datetime.datetime", "datetime.time", "datetime.timedelta", "datetime.timezone", "decimal.Decimal",
    "fractions.Fraction", "uuid.UUID", "builtins.range", "builtins.type", "torch.dtype", "torch.device",
})  # fmt: skip
#: Generators of random numbers -> the method that returns their state.
_GENERATORS: Final = {
    "random.Random": "getstate",
    "numpy.random.mtrand.RandomState": "get_state",
    "torch._C.Generator": "get_state",
}


class _TooLargeError(Exception):
    pass


def digest(value: object, crc_of: Callable[[Any], int]) -> int | None:
    """The CRC-32 of the value; None if it has too many items. `crc_of` digests tensors inside it."""
    try:
        return crc32(_Walk(crc_of).text(value, 0).encode("utf-8", "surrogatepass"))
    except _TooLargeError:
        return None


class _Walk:
    """Serialises one value as text, with a limit on the number of items."""

    def __init__(self, crc_of: Callable[[Any], int]) -> None:
        self._crc_of, self._left = crc_of, _MOST

    def text(self, value: Any, depth: int) -> str:
        self._left -= 1
        if self._left < 0:
            raise _TooLargeError
        kind = type(value)
        name = f"{kind.__module__}.{kind.__qualname__}"
        if kind in (str, bytes, bytearray):
            data = value.encode("utf-8", "surrogatepass") if kind is str else value
            return f"{kind.__name__}#{len(data)}#{crc32(data):08x}"
        if kind in _SCALARS:
            return repr(value)
        if depth > _DEEPEST:
            return name
        if isinstance(value, list):
            return f"{name}({self._sequence(list.__getitem__(value, slice(None)), depth)})"
        if isinstance(value, tuple):
            return f"{name}({self._sequence(tuple.__getitem__(value, slice(None)), depth)})"
        if isinstance(value, set):
            return f"{name}({self._unordered(set.copy(value), depth)})"
        if isinstance(value, frozenset):
            return f"{name}({self._unordered(frozenset.copy(value), depth)})"
        if isinstance(value, dict):
            pairs = (f"{self.text(key, depth + 1)}:{self.text(item, depth + 1)}" for key, item in dict.items(value))
            return f"{name}({','.join(sorted(pairs))})"
        return f"{name}({self._other(value, kind, name, depth)})"

    def _sequence(self, items: Any, depth: int) -> str:
        # In C, as the lists of a data loader may be long. Version 2 has no references between equal items.
        if len(items) > 100 and set(map(type, items)) <= _SCALARS:
            return f"{len(items)}#{crc32(marshal.dumps(tuple(items), 2)):08x}"
        return ",".join(self.text(item, depth + 1) for item in items)

    def _unordered(self, items: Collection[Any], depth: int) -> str:
        kinds = set(map(type, items))
        if len(kinds) == 1 and kinds <= {int, str, bytes}:
            return self._sequence(sorted(items), depth)
        return ",".join(sorted(self.text(item, depth + 1) for item in items))

    def _other(self, value: Any, kind: type, name: str, depth: int) -> str:
        if name in _SHOWN or name.startswith("pathlib."):
            return repr(value)
        if name in _GENERATORS:
            return self.text(getattr(value, _GENERATORS[name])(), depth + 1)
        if name == "numpy.random._generator.Generator":
            return self.text(value.bit_generator.state, depth + 1)
        if _is_of("numpy", "ndarray", kind) or _is_of("numpy", "generic", kind):
            return "" if value.dtype.hasobject else f"{value.dtype}{value.shape}#{crc32(value.tobytes()):08x}"
        if _is_of("torch", "Tensor", kind):
            try:
                return f"{value.dtype}{tuple(value.shape)}#{self._crc_of(value):08x}"
            except (TypeError, NotImplementedError, RuntimeError):
                return ""
        if _is_of("enum", "Enum", kind):
            return str(value.name)
        return self._instance(value, kind, depth)

    def _instance(self, value: Any, kind: Any, depth: int) -> str:
        """An object as the text of its attributes if it is pickled by them, else ""."""
        is_default = (
            kind.__reduce_ex__ is object.__reduce_ex__
            and kind.__reduce__ is object.__reduce__
            # Python 3.11 has one for all.
            and getattr(kind, "__getstate__", None) is getattr(object, "__getstate__", None)
            and not any(vars(base).get("__slots__") for base in kind.__mro__)
        )
        return self.text(vars(value), depth + 1) if is_default and kind.__dictoffset__ else ""


def _is_of(module: str, name: str, kind: type) -> bool:
    """Whether `kind` is a subclass of a module's class, without importing the module."""
    base = getattr(sys.modules.get(module), name, None)
    return base is not None and issubclass(kind, base)
