"""Groups whose ranks work on the same data: what one of them finds in its batch, the others find too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ...catalog.model import Catalog
    from .divergence import Divergence

_OF_DATA: Final = frozenset({"own data", "own inputs", "gradient"})


def is_same_data(catalog: Catalog, divergence: Divergence) -> bool:
    """Whether only own data decide a divergence, and its group's name shows that its ranks share a batch.

    The names that a rank records depend on its part of the model, and ranks of other groups have the same part.
    """
    kinds = divergence.kinds
    if not (kinds and kinds <= _OF_DATA) and kinds != {"recorded"}:
        return False
    words = {
        word
        for symbol in divergence.event.group.walk()
        for part in symbol.head
        if isinstance(part, str)
        for word in part.lower().replace(".", "_").split("_")
    }
    if kinds == {"recorded"}:
        return words.isdisjoint(catalog.stage_words)
    if divergence.event.group.kind == "mesh" or not words.isdisjoint(catalog.data_words):
        return False
    return not words.isdisjoint(catalog.replica_words)
