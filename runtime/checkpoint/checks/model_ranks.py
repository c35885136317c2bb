"""DeepSpeed with several model-parallel ranks (`mp_rank_00`, `mp_rank_01`), each with its own flat groups.

The files of one of them form a ZeRO checkpoint like that of a job without model parallelism. Nothing records along
which dimension the parameters are cut.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ..files import Side
from ..formats.names import numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..model import Family

LABEL: Final = "mp_rank"


def each(side: Side) -> dict[int, Side]:
    """The checkpoint of each model-parallel rank, by its number; {0: all} if there is only one or none is known."""
    found = sorted({n for part in side.parts for family in part.checkpoint.families for n in _of(family)})
    if len(found) < 2:
        return {0: side}
    made = {}
    for number in found:
        first, *rest = (_cut(part, number) for part in side.parts)
        made[number] = replace(first, beside=tuple(rest))
    return made


def _of(family: Family) -> list[int]:
    """The model-parallel rank of each file; [] if the file names have none."""
    if LABEL not in family.labels:
        return []
    place = family.labels.index(LABEL)
    return [coordinates[place] for coordinates in family.members]


def _cut(part: Side, number: int) -> Side:
    """The files of one model-parallel rank, as if it were the only one; other parts unchanged."""
    checkpoint = part.checkpoint
    if len(checkpoint.families) != 1 or not _of(checkpoint.families[0]):
        return part
    family = checkpoint.families[0]
    place = family.labels.index(LABEL)
    members = {(*at[:place], 0, *at[place + 1 :]): path for at, path in family.members.items() if at[place] == number}
    own = replace(family, members=members)
    if not checkpoint.local:
        return part
    before, after = numbers(family), numbers(own)
    tails = {f"{before[path]}": f"{after[path]}" for path in members.values()}
    names = {name: new for name in (*checkpoint.tensors, *checkpoint.objects) if (new := _renamed(name, tails))}
    return Side(
        replace(
            checkpoint,
            tensors={names[n]: replace(t, name=names[n]) for n, t in checkpoint.tensors.items() if n in names},
            objects={names[n]: replace(o, name=names[n]) for n, o in checkpoint.objects.items() if n in names},
            files={path: size for path, size in checkpoint.files.items() if path in set(members.values())},
            families=(own,),
        ),
        part.files,
        {(names[n], index): values for (n, index), values in part.values.items() if n in names},
    )


def _renamed(name: str, tails: Mapping[str, str]) -> str:
    """A name renumbered among the files of its model-parallel rank; "" if it belongs to another rank."""
    plain, at, tail = name.rpartition("@")
    return f"{plain}{at}{tails[tail]}" if tail in tails else ""
