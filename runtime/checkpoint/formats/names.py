"""The numbers in file names: ranks, steps, and file counts.

Files that differ only in such numbers form a family, whatever the framework. The words before a number give its
meaning.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from ..model import Family

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NUMBER: Final = re.compile(r"\d+")
#: Longer ones are hashes and dates.
_DIGITS: Final = 10
_WORDS: Final = re.compile(r"[a-z]+")
#: Numbers that say how many there are.
_COUNT: Final = re.compile(r"(?:^|_)(?:of|size|count|total|num|nprocs?|ws)$")
#: Numbers that say when: files that differ in them are checkpoints of their own. Layers are numbered with gaps.
_TIME: Final = re.compile(
    r"(?:^|_)(?:steps?|epochs?|iter|iters|iteration|checkpoint|ckpt|version|v|update|tokens|seed|layers?|fp|bf|int)$"
)
_RANK: Final = re.compile(r"(?:^|_)rank")
_RANDOM: Final = re.compile(r"(?:^|_)(?:rng|rng_states?|random_states?)$")
#: Ranks along one dimension of several.
_DIMENSION: Final = re.compile(r"(?:^|_)(?:[mptdecs]p|expp|edp|etp|tensor|pipeline|data|expert|context)_rank")


def is_of_time(name: str) -> bool:
    """Whether a folder's name says when it was saved: `checkpoint-500`, `global_step10`, `iter_0000100`."""
    fields = _fields(name)
    return bool(fields) and any(
        re.search(r"(?:step|epoch|iter|iteration|checkpoint|ckpt)s?$", label) for label, _, _ in fields
    )


def is_of_rank(label: str) -> bool:
    """Whether the label is that of a rank, in the whole job or along a dimension of it."""
    return _RANK.search(label) is not None or _RANDOM.search(label) is not None


def is_per_process(label: str) -> bool:
    """Whether each process of a job writes a file with that word and its own number."""
    return is_of_rank(label) and _DIMENSION.search(label) is None


def _fields(path: str) -> list[tuple[str, int, re.Match[str]]]:
    """Each number of a path: its label (the two words before it), its value, and its position.

    `zero_pp_rank_0_mp_rank_00` -> pp_rank 0, mp_rank 0; `mp_rank_02_001` -> mp_rank 2, mp_rank.1 1.
    """
    found: list[tuple[str, int, re.Match[str]]] = []
    end = 0
    for match in _NUMBER.finditer(path):
        between = path[max(end, path.rfind("/", 0, match.start()) + 1) : match.start()]
        words = _WORDS.findall(between.lower())[-2:]
        end = match.end()
        label = "_".join(words)
        if not words and found:
            base, _, number = found[-1][0].partition(".")
            label = f"{base}.{int(number or 0) + 1}"
        found.append((label, int(match[0]) if len(match[0]) <= _DIGITS else -1, match))
    return found


def families(paths: Iterable[str]) -> list[Family]:
    """The families among relative paths. A single file is one if it has rank 0, or its name gives a count."""
    kin: defaultdict[tuple[object, ...], list[tuple[str, list[tuple[str, int, re.Match[str]]]]]] = defaultdict(list)
    for path in sorted(paths):
        fields = _fields(path)
        # Steps and counts tell families apart; so does a number that nothing has a use for.
        fixed = tuple(
            value if _TIME.search(label) or _COUNT.search(label) or value < 0 else None for label, value, _ in fields
        )
        kin[(_NUMBER.sub("*", path), fixed)].append((path, fields))
    found = [family for members in kin.values() if (family := _family(members)) is not None]
    known = {path for family in found for path in family.members.values()}
    labels = {(folder_of(family), label) for family in found for label in family.labels}
    # A file alone, of another rank than 0, beside others of ranks.
    for members in kin.values():
        family = _family(members, is_sure=True) if len(members) == 1 and members[0][0] not in known else None
        if family is not None and any((folder_of(family), label) in labels for label in family.labels):
            found.append(family)
    return found


def folder_of(family: Family) -> str:
    """The folder in which the numbers of a family begin."""
    return family.form.partition("*")[0].rpartition("/")[0]


def _family(members: list[tuple[str, list[tuple[str, int, re.Match[str]]]]], *, is_sure: bool = False) -> Family | None:
    path, first = members[0]
    ours = []
    for n, (label, value, _) in enumerate(first):
        values = {fields[n][1] for _, fields in members}
        if _TIME.search(label) or _COUNT.search(label) or value < 0:
            continue
        counted = n + 1 < len(first) and first[n + 1][0] == "of"
        # `lora_rank_8` and `lora_rank_64` speak of another rank.
        begins = 0 in values if is_of_rank(label) else min(values) <= 1
        dense = 2 * len(values) > max(values) and (begins or is_of_rank(label))
        if (is_of_rank(label) and begins) or counted or (len(values) > 1 and dense):
            ours.append(n)
        elif len(values) > 1:
            return None
        elif is_of_rank(label):
            ours.append(n)
    counts: dict[str, int] = {}
    for n, (label, value, _) in enumerate(first):
        before = (
            [other for other in ours if other == n - 1]
            if label == "of"
            else [n for n in ours if _RANK.search(first[n][0])]
        )
        if _COUNT.search(label) and (before or ours):
            counts[first[(before or ours)[-1]][0]] = value
    found = {tuple(fields[n][1] for n in ours): path for path, fields in members}
    # One file of another rank than 0 is no family: `lora_rank_8`. Random states are numbered by processes only.
    is_sure = is_sure or bool(counts) or len(found) > 1 or any(_RANDOM.search(first[n][0]) for n in ours)
    # Ranks along several dimensions are those of a process.
    is_sure = is_sure or sum(_DIMENSION.search(first[n][0]) is not None for n in ours) > 1
    if not ours or not (is_sure or not any(next(iter(found)))):
        return None
    form, end = "", 0
    for n in ours:
        form, end = form + path[end : first[n][2].start()] + "*", first[n][2].end()
    return Family(form + path[end:], tuple(first[n][0] for n in ours), found, counts)


def numbers(family: Family) -> Mapping[str, int]:
    """The files of a family with their rank: the number in the name, or the sorted position if it has several."""
    if len(family.labels) == 1:
        return {path: coordinates[0] for coordinates, path in family.members.items()}
    return {path: n for n, (_, path) in enumerate(sorted(family.members.items()))}
