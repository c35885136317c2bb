"""Kinds of groups: groups such as `tp_0`, `tp_1` that share a colour, and a row of a long table."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from .named import compact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ...traces.model import Group
    from ..group_usage import Use
    from ..statistics import Row

#: As many rows are shown one by one.
SINGLE: Final = 24
#: As many groups without a name are a kind each: there are colours for them.
_UNNAMED: Final = 4
#: What numbers a group within its kind.
_NUMBER: Final = re.compile(r"[\d_:-]+$")


@dataclass(frozen=True, slots=True)
class Used:
    """A row of the table: a group, or several of one kind that were used by ranks alike."""

    group: str
    kind: str
    calls: int
    by: str


def kinds_of(groups: Iterable[Group]) -> dict[str, str]:
    """The kind of each group by its name: its description without the number, its members if it has no description.

    Many groups without a description are grouped by size and distance between ranks.
    """
    some = {str(group): group for group in groups}
    unnamed = [name for name, group in some.items() if group.description in ("", "undefined")]
    found = {}
    for name, group in some.items():
        if group.description == "default_pg":
            found[name] = "default group"
        elif name not in unnamed:
            found[name] = _NUMBER.sub("", group.description) or group.description
        else:
            found[name] = compact(name) if len(unnamed) <= _UNNAMED else _shape(group.ranks)
    return found


def _shape(ranks: Sequence[int]) -> str:
    apart = {second - first for first, second in pairwise(ranks)}
    every = f", every {min(apart)} ranks" if len(apart) == 1 and apart != {1} else ""
    return f"groups of {len(ranks)} rank{'s' * (len(ranks) > 1)}{every}"


def rows(given: Sequence[Row], kinds: dict[str, str]) -> list[Row]:
    """The rows; more than 24 are merged by operation, site and kind of group.

    `kinds`: by the names of groups; the names of merged groups are added to it.
    """
    if len(given) <= SINGLE:
        return list(given)
    sums: dict[tuple[str, str, str], list[Row]] = {}
    for row in given:
        sums.setdefault((row.op, row.site, kinds.get(row.group, row.group)), []).append(row)
    merged = []
    for (_, _, kind), alike in sums.items():
        if len(alike) == 1:
            merged += alike
            continue
        name = _several(len(alike), kind)
        kinds[name] = kind
        merged.append(
            replace(
                alike[0],
                group=name,
                ranks=set().union(*(row.ranks for row in alike)),
                calls=sum(row.calls for row in alike),
                bytes=sum(row.bytes for row in alike),
                seconds=sum(row.seconds for row in alike),
                waited=sum(row.waited for row in alike),
                skew=max(row.skew for row in alike),
            )
        )
    return sorted(merged, key=lambda row: -row.seconds)


def groups(given: Sequence[Use], kinds: Mapping[str, str]) -> list[Used]:
    """The groups with the ranks that used them; more than 24 are merged if of one kind and used alike."""
    single = [Used(str(use.group), kinds[str(use.group)], use.calls, str(use)) for use in given]
    if len(single) <= SINGLE:
        return single
    sums: dict[tuple[str, str], list[Used]] = {}
    for used in single:
        sums.setdefault((used.kind, used.by), []).append(used)
    return [_together(alike) for alike in sums.values()]


def _together(alike: Sequence[Used]) -> Used:
    if len(alike) == 1:
        return alike[0]
    return replace(alike[0], group=_several(len(alike), alike[0].kind), calls=sum(used.calls for used in alike))


def _several(count: int, kind: str) -> str:
    return f"{count:,} {kind}" if kind.startswith("groups of ") else f"{count:,} groups `{kind}`"
