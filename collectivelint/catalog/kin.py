"""Catalogue classes that take the rows of another class (`same_as`): `trl.SFTTrainer` is a `transformers.Trainer`."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ..spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .model import Api

#: Lists whose names may be classes.
_OF_CLASSES: Final = ("starters", "every_rank", "data_parameters", "sharded", "wrapped_parameters")


def join_classes(
    same: Mapping[str, tuple[str, str]], classes: Mapping[str, str], apis: dict[str, Api], lists: Mapping[str, set[str]]
) -> Iterator[str]:
    """Add to each class of `same` the rows of the class it refers to, keeping its own; yields a message per error.

    `same` maps a class to (the other class, the place of the entry). Chains are followed; a cycle is an error.
    """
    rows: defaultdict[str, list[str]] = defaultdict(list)
    for name in apis:
        owner, _, last = name.rpartition(".")
        rows[owner].append(last)
    for name, (other, place) in same.items():
        seen = [name]
        while other not in seen:
            seen.append(other)
            if other not in classes:
                yield f"{place}: {name}: `same_as` is {other!r}, which is not a class of the catalogue{nearest(other, classes)}"
                break
            for last in rows[other]:
                apis.setdefault(f"{name}.{last}", replace(apis[f"{other}.{last}"], name=f"{name}.{last}"))
            passes = apis.get(f"backward.{other}")
            if passes is not None:
                apis.setdefault(f"backward.{name}", replace(passes, name=f"backward.{name}"))
            for table in _OF_CLASSES:
                found = {item for item in lists[table] if item == other or item.startswith(f"{other}.")}
                lists[table].update(f"{name}{item.removeprefix(other)}" for item in found)
            if other not in same:
                break
            other = same[other][0]
