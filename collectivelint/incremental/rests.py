"""What the findings of files depend on: the files that were read, and the facts of other files, with their digests."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..analysis.program import Analysis
    from ..ir.nodes import Span
    from .plan import CacheView
    from .shard import Shard


def note_rests(shard: Shard, analysis: Analysis, view: CacheView, text: Callable[[str, Span], str]) -> None:
    """Record in `shard` what the files of an analysis depend on, and the current digests of facts that others read.

    `text` gives the source of a span of a file.
    """
    from ..analysis.summary.digest import Digests

    digests = Digests(text, lambda path: view.lines(path, analysis.program.indexes))
    cut = frozenset(view.asked)
    known: dict[tuple[str, ...], str] = {}

    def digest(kind: str, path: str, name: str) -> str:
        if (kind, path, name) not in known:
            known[kind, path, name] = analysis.digest(kind, path, name, digests)
        return known[kind, path, name]

    shard.asked = analysis.program.asked()
    for path in analysis.paths:
        shard.looked[path], read = analysis.rests_on(path, cut)
        found: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for kind, other, name in sorted(read):
            found[other][f"{kind} {name}"] = digest(kind, other, name)
        shard.reads[path] = dict(found)
        watched = view.watched(path)
        if watched:
            shard.digests[path] = {name: digest(name.split(" ")[0], path, name.split(" ")[1]) for name in watched}
