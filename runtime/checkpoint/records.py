"""What the audit of a traced job has left in the trace directory: one JSON file for each save and load."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from ..explain import ranks_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def read(folder: Path) -> list[dict[str, Any]]:
    """All of them, the oldest first; files that are no such record are left out."""
    found: list[tuple[float, dict[str, Any]]] = []
    for file in folder.glob("checkpoint-*.json"):
        try:
            data = json.loads(file.read_bytes())
            found.append((file.stat().st_mtime, data))
        except (OSError, ValueError):
            continue
    records = [data for _, data in sorted(found, key=lambda item: item[0]) if isinstance(data, dict)]
    return [*records, *_of_several(records)]


def _of_several(records: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What only the files of all ranks together tell: one file for several ranks, and parts that only one rank has written."""
    by_path: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        if record.get("kind") == "file":
            by_path[str(record.get("path"))].append(record)
    writers: defaultdict[str, set[object]] = defaultdict(set)
    for some in by_path.values():
        for record in some:
            for name in record.get("parts") or ():
                writers[name].add(record.get("rank"))
    for some in by_path.values():
        ranks = sorted({int(record.get("rank", 0)) for record in some})
        alone = [name for name in some[0].get("parts") or () if len(writers[name]) == 1]
        first = {**some[0], "wrong": True}
        if len(ranks) > 1:
            yield {
                **first,
                "errors": [f"{ranks_text(ranks)} write the same file; whoever is last wins, or the bytes mix (CL403)"],
            }
        elif alone:
            more = f" and {len(alone) - 3} more" if len(alone) > 3 else ""
            text = f"holds rank {ranks[0]}'s part only of {', '.join(alone[:3])}{more}, and no other rank has written its own (CL401)"
            yield {**first, "errors": [text]}


def text(records: list[dict[str, Any]]) -> Iterator[str]:
    """A line for each save that lost something, or a word that none did."""
    saves = [record for record in records if record.get("kind") == "save"]
    wrong = [record for record in records if record.get("wrong")]
    for record in wrong:
        site = record.get("site") or {}
        where = f"{site.get('path')}:{site.get('line')}" if site.get("path") else "an unknown place"
        losses = len(record.get("losses") or ())
        what = "; ".join(record.get("errors") or [f"{losses} names hold one rank's values only"])
        yield f"CHECKPOINT: {record.get('path')}, {record.get('kind')} at {where}: {what}"
    if saves and not wrong:
        yield f"collectivelint: {len(saves)} checkpoint{'s' * (len(saves) > 1)} audited, nothing lost"
