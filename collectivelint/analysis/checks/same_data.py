"""Groups whose ranks work on the same data: what one of them finds in its batch, the others find too."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...catalog.model import Catalog
    from .divergence import Divergence


def is_same_data(catalog: Catalog, divergence: Divergence) -> bool:
    """Whether only own data decide a divergence, and its group is one of ranks that share a batch, as its name says."""
    if divergence.kinds != {"own data"} or divergence.event.group.kind == "mesh":
        return False
    words = {
        word
        for symbol in divergence.event.group.walk()
        for part in symbol.head
        if isinstance(part, str)
        for word in part.lower().replace(".", "_").split("_")
    }
    return not words.isdisjoint(catalog.replica_words) and words.isdisjoint({"data", "dp", "expert", "ep"})
