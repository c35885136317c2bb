"""CK103 and CK205 between files of one family: one is missing, one is too many, or one is of another step.

The expected number comes from a file name (`world_size_2`), from a file's content (`dp_world_size`), or from related
files: where one rank has an optimizer file, it has a model file.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..formats import dcp
from ..formats.names import folder_of, is_of_rank, is_per_process
from ..model import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ..model import Checkpoint, Family, Scalar

#: What files say of their own number: the key -> the word before the number in their names.
_INSIDE: Final = {
    "partition_count": ("pp_rank", "dp_rank"), "dp_world_size": ("pp_rank", "dp_rank"), "mp_world_size": ("mp_rank", "model"),
    "tensor_model_parallel_size": ("mp_rank",), "pipeline_model_parallel_size": ("mp_rank.1",),
    "expert_model_parallel_size": ("mp_rank.2",), "world_size": ("rank",),
}  # fmt: skip
#: Nothing has more files; a larger number is no count.
MOST_FILES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class _Count:
    """How many numbers a label has, and the source of that count; "" if it is the files themselves."""

    number: int
    said: str


def check(units: Sequence[Checkpoint]) -> Iterator[Problem]:
    """Report missing, surplus and duplicate files in all families of a checkpoint."""
    missing: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for unit in units:
        for family in unit.families:
            counts = {label: _count(label, family, units) for label in family.labels}
            yield from _too_many(family, counts)
            yield from _twice(family, unit, units)
            for lacks in _missing(family, counts):
                missing[(folder_of(family), lacks)].append(family.form)
    for (_, lacks), forms in missing.items():
        yield Problem("CK103", " and ".join(sorted(forms)), lacks)


def _count(label: str, family: Family, units: Sequence[Checkpoint]) -> _Count:
    if label in family.counts:
        return _Count(family.counts[label], "by its name")
    kin = [
        (other, other.labels.index(label))
        for unit in units
        for other in unit.families
        if label in other.labels and folder_of(other) == folder_of(family)
    ]
    inside = [
        _Count(value, f"{key} in {item.file}")
        for unit in units
        if any(folder_of(other) == folder_of(family) for other in unit.families)
        for item in unit.objects.values()
        if (key := _key(item.name)) in _INSIDE
        and label in _INSIDE[key]
        and isinstance(value := item.value, int)
        and 0 < value < MOST_FILES
    ]
    if inside:
        return max(inside, key=lambda count: count.number)
    there = max((members[n] for other, n in kin for members in other.members), default=0) + 1
    if is_per_process(label):
        there = max(there, _processes(folder_of(family), units))
    return _Count(there, "")


def _key(name: str) -> str:
    return name.partition("@")[0].rpartition(".")[2]


def _processes(folder: str, units: Sequence[Checkpoint]) -> int:
    """How many processes have written into a folder and below, at least."""
    numbers = [0]
    for unit in units:
        numbers += [int(shard[1]) + 1 for name in unit.files if (shard := dcp.SHARD.fullmatch(name.rpartition("/")[2]))]
        for other in unit.families:
            inside = other.form.startswith(f"{folder}/" if folder else "")
            if inside and all(map(is_of_rank, other.labels)):
                numbers.append(
                    math.prod(max(members[n] for members in other.members) + 1 for n in range(len(other.labels)))
                )
    return max(numbers)


def _expected(family: Family, counts: dict[str, _Count]) -> list[range]:
    found = []
    for n, label in enumerate(family.labels):
        values = {members[n] for members in family.members}
        # Files that are counted from one: `model-00001-of-00002`.
        first = 0 if 0 in values or is_of_rank(label) else 1
        count = counts[label]
        is_own = not count.said and first
        found.append(range(first, max(values) + 1 if is_own else first + count.number))
    return found


def _missing(family: Family, counts: dict[str, _Count]) -> Iterator[str]:
    spans = _expected(family, counts)
    if (wanted := math.prod(map(len, spans))) > MOST_FILES:
        # Too many to name; nothing writes so many.
        yield f"there are {len(family.members)} files, and by their numbers there should be {wanted}"
        return
    absent = [numbers for numbers in itertools.product(*spans) if numbers not in family.members]
    if not absent:
        return
    for n, label in enumerate(family.labels):
        # Where all files of a number are missing that is the cause; else each file is named by all its numbers.
        gone = sorted({numbers[n] for numbers in absent} - {members[n] for members in family.members})
        if gone:
            count = counts[label]
            said = (
                f"of {count.number} ({count.said})"
                if count.said
                else f"though there is one of {_words(label)} {spans[n][-1]}"
            )
            if not count.said and gone[-1] == spans[n][-1]:
                said = "though other files are of that one"
            yield f"no file of {_words(label)} {few(gone)}{',' if not count.said else ''} {said}"
            absent = [numbers for numbers in absent if numbers[n] not in gone]
    if absent:
        first = ", ".join(f"{_words(label)} {number}" for label, number in zip(family.labels, absent[0], strict=True))
        yield f"no file of {first}" + (f" and {len(absent) - 1} more" if len(absent) > 1 else "")


def _too_many(family: Family, counts: dict[str, _Count]) -> Iterator[Problem]:
    for n, (label, span) in enumerate(zip(family.labels, _expected(family, counts), strict=True)):
        beyond = sorted({members[n] for members in family.members if members[n] not in span})
        if beyond and counts[label].said:
            text = f"there is a file of {_words(label)} {few(beyond)}, of {counts[label].number} ({counts[label].said})"
            yield Problem("CK205", family.form, f"{text}: left over from another save")


def _twice(family: Family, unit: Checkpoint, units: Sequence[Checkpoint]) -> Iterator[Problem]:
    """Report two files of one rank: its number spelt differently, or a link to another rank's file."""
    form = re.compile(re.escape(family.form).replace(r"\*", r"(\d{1,9})"))
    members = set(family.members.values())
    for other in (file for part in units if part.folder == unit.folder for file in part.files):
        found = form.fullmatch(other) if other not in members else None
        known = family.members.get(tuple(map(int, found.groups()))) if found is not None else None
        if known is not None:
            yield Problem("CK205", other, f"is of the same rank as {known}: one of them is left over from another save")
    places: dict[Path, str] = {}
    for file in sorted(members, key=lambda file: (unit.folder / file).is_symlink()):
        place = (unit.folder / file).resolve() if (unit.folder / file).is_symlink() else unit.folder / file
        if place in places:
            yield Problem("CK103", file, f"is a link to the file of another rank, {places[place]}", "note")
        places[place] = file


def _words(label: str) -> str:
    """A label in words: `mp_rank.1` is the second number of mp_rank."""
    word, _, more = label.partition(".")
    return f"{'second' if more == '1' else 'third'} number of {word}" if more else word or "number"


def few(numbers: list[int]) -> str:
    """`0, 1, 2, 3, ... (7 in all)`."""
    shown = ", ".join(map(str, numbers[:4]))
    return f"{shown}, ... ({len(numbers)} in all)" if len(numbers) > 4 else shown


def scalars(unit: Checkpoint) -> Iterator[tuple[str, str, Scalar]]:
    """Key, file and value of the plain values of a unit."""
    for item in unit.objects.values():
        if item.value is not None and not isinstance(item.value, tuple):
            yield _key(item.name), item.file, item.value
