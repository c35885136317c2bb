"""The known words nearest to a misspelt one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def near_words(word: str, known: Iterable[str], count: int = 1, cutoff: float = 0.5) -> list[str]:
    """Up to `count` known words with at least this similarity (0 to 1), the most similar first, ties by name."""
    from difflib import SequenceMatcher, get_close_matches

    words = sorted(set(known))
    found = get_close_matches(word, words, max(len(words), 1), cutoff)
    return sorted(found, key=lambda name: (-SequenceMatcher(None, name, word).ratio(), name))[:count]


def nearest(word: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """`; did you mean ...?` with the nearest of the known words, or nothing."""
    found = near_words(word, known, 1, cutoff)
    return f"; did you mean `{found[0]}`?" if found else ""
