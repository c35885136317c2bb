"""The leaves of an unpickled object: tensors and plain values, by their path through mappings, lists and objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..model import CheckpointError
from .limits import MOST_NAMES
from .made import Class, Made, number
from .stand_ins import Stored

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Python's own stack ends not far behind this.
_DEEPEST: Final = 200
_CONTAINERS: Final = (Stored, Made, dict, list, tuple)
#: Keys that stand in names as they are: the text of others may be longer than memory.
_KEYS: Final = (str, int, float, bytes, type(None))
#: Attributes of a torch.nn.Module whose names are left out of the paths of what is below them, as `state_dict()` does.
_OF_MODULES: Final = frozenset({"_parameters", "_buffers", "_modules"})


class Leaves:
    """The leaves of nested dicts and lists, named as torch.distributed.checkpoint names them."""

    def __init__(self, size: int) -> None:
        """`size` of the pickle in bytes; it limits the leaves, since shared references can multiply a few bytes."""
        self._left = max(100_000, 4 * size)
        self._names = size + MOST_NAMES
        #: Classes whose contents were not read.
        self.opaque: dict[str, None] = {}

    @property
    def unread(self) -> list[str]:
        """A message for each kind of content that was not read."""
        return [f"{what}: its contents were not read" for what in self.opaque]

    def of(self, value: Any, path: str = "", above: tuple[int, ...] = ()) -> Iterator[tuple[str, Any]]:
        """Path and value of each leaf. Raises CheckpointError if there are too many. Cycles are not followed."""
        self._left -= 1
        self._names -= len(path)
        if self._left < 0 or self._names < 0:
            raise CheckpointError("its lists and dicts refer to each other without end")
        if id(value) in above:
            return
        if len(above) > _DEEPEST:
            self.opaque["what is nested deeper than 200 levels"] = None
            return
        inside = (*above, id(value))
        match value:
            case Made() if value.is_opaque:
                self.opaque[f"class {value.path}"] = None
                yield path, None
            case Made():
                yield from self._object(value, path, inside)
            case dict():
                for key, item in value.items():
                    name = str(key) if isinstance(key, _KEYS) else f"<{type(key).__name__}>"
                    yield from self.of(item, f"{path}.{name}" if path else name, inside)
            case list() | tuple() if any(isinstance(item, _CONTAINERS) for item in value):
                for index, item in enumerate(value):
                    yield from self.of(item, f"{path}.{index}" if path else str(index), inside)
            case Class():
                yield path, value.path
            case _:
                yield path, value

    def _object(self, made: Made, path: str, inside: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
        """The leaves of an object: constructor arguments, attributes, and items added to it."""
        found = number(made)
        attributes = made.attributes
        if found is not None:
            yield path, found
        elif "_local_tensor" in attributes:
            # A DTensor: this rank's part. Where it belongs is not part of the values.
            yield from self.of(attributes["_local_tensor"], path, inside)
        elif not attributes and not made.items and not made.elements and made.state is None:
            plain = made.args[0] if len(made.args) == 1 else list(made.args)
            yield from self.of(plain if made.args else str(made), path, inside)
        else:
            if any(isinstance(item, _CONTAINERS) for item in made.args):
                yield from self.of(list(made.args), path, inside)
            if isinstance(made.state, (list, tuple)) and not attributes:
                yield from self.of(made.state, path, inside)
            for name, item in attributes.items():
                below = path if name in _OF_MODULES else f"{path}.{name}" if path else str(name)
                yield from self.of(item, below, inside)
            yield from self.of(made.items, path, inside)
            if made.elements:
                yield from self.of(made.elements, path, inside)
