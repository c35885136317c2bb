"""Records: immutable objects that are compared, hashed, pickled and shown by their constructor arguments.

In compiled modules they replace frozen dataclasses: one with a field of type `object` cannot be imported once compiled,
and its constructor stays interpreted.
"""

from __future__ import annotations


class Record:
    """Equal if type and fields are equal; each subclass defines its fields."""

    __slots__ = ()

    def _fields(self) -> tuple[object, ...]:
        """The arguments of the constructor."""
        raise NotImplementedError

    def _compared(self) -> tuple[object, ...]:
        """The fields that equality depends on."""
        return self._fields()

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Record):
            return NotImplemented
        return type(self) is type(other) and self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash(self._compared())

    def __reduce__(self) -> tuple[type[Record], tuple[object, ...]]:
        """Through the constructor: compiled, there is no state that `pickle` can read."""
        return type(self), self._fields()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._fields()))})"
