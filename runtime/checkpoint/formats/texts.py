"""JSON files beside weights, read with limits on their size and on the memory they expand to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Bytes; the manifest of 600,000 chunks has half of it.
_LARGEST: Final = 1 << 27
#: Each comma or bracket takes up to 64 bytes when it is read.
_MOST_ITEMS: Final = 1 << 23


def parsed(file: Path, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """The content of a JSON file; `pairs` creates its objects. Raises OSError; ValueError if invalid or too large."""
    if file.stat().st_size > _LARGEST:
        raise ValueError(f"larger than {_LARGEST >> 20} MB")
    data = file.read_bytes()
    check_size(data)
    # As bytes, json would look for an encoding, and take those that nobody writes.
    text = data.decode("utf-8-sig")
    del data
    try:
        return json.loads(text, object_pairs_hook=pairs)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def check_size(data: bytes) -> None:
    """Raise ValueError for JSON that would expand to too much memory."""
    if sum(map(data.count, (b",", b"[", b"{"))) > _MOST_ITEMS:
        raise ValueError(f"holds more than {_MOST_ITEMS} items")
