"""Rows of many groups as one for each kind of group, as `tp` is that of `tp_0`, `tp_1` and so on."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..group_usage import Use
    from ..statistics import Row

#: As many rows are shown one by one.
SINGLE: Final = 24
#: What numbers a group within its kind; calls.js has the same.
_NUMBER: Final = re.compile(r"[\d_:-]+$")


@dataclass(frozen=True, slots=True)
class Used:
    """A group, or several of a kind that were used alike. `kind`: the description of one of them."""

    group: str
    kind: str
    calls: int
    by: str


def rows(given: Sequence[Row], kinds: dict[str, str]) -> list[Row]:
    """The rows, those of one operation, site and kind of group together where there are more than 24; `kinds` gets the new names.

    `kinds`: descriptions by the names of groups.
    """
    if len(given) <= SINGLE:
        return list(given)
    sums: dict[tuple[str, str, str], list[Row]] = {}
    for row in given:
        sums.setdefault((row.op, row.site, _kind(kinds.get(row.group, ""), row.group)), []).append(row)
    merged = []
    for alike in sums.values():
        if len(alike) == 1:
            merged += alike
            continue
        name = _several(len(alike), kinds.get(alike[0].group, ""))
        kinds[name] = kinds.get(alike[0].group, "")
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


def groups(given: Sequence[Use]) -> list[Used]:
    """The groups with the ranks that used them, those of a kind that were used alike together where there are more than 24."""
    single = [Used(str(use.group), use.group.description, use.calls, str(use)) for use in given]
    if len(single) <= SINGLE:
        return single
    sums: dict[tuple[str, str], list[Used]] = {}
    for used in single:
        sums.setdefault((_kind(used.kind, used.group), used.by), []).append(used)
    return [_together(alike) for alike in sums.values()]


def _together(alike: Sequence[Used]) -> Used:
    if len(alike) == 1:
        return alike[0]
    calls = sum(used.calls for used in alike)
    return replace(alike[0], group=_several(len(alike), alike[0].kind), calls=calls)


def _kind(description: str, group: str) -> str:
    """Groups without a name may be anything: each is a kind of its own."""
    return _NUMBER.sub("", description) if description not in ("", "undefined", "default_pg") else group


def _several(count: int, description: str) -> str:
    return f"{count:,} groups `{_NUMBER.sub('', description)}`"


def descriptions(uses: Iterable[Use]) -> dict[str, str]:
    """Descriptions by the names of groups."""
    return {str(use.group): use.group.description for use in uses}
