"""What the catalogue files say about a name, for people and editors; the analysis does not use it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from .. import toml_text
from .places import Places
from .schema import CATEGORIES, LISTS, OTHER_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a catalogue file, or one name of a list in it."""

    name: str
    table: str
    row: Mapping[str, Any]
    framework: str
    #: Where the row is from, and the version it was compared with.
    source: str
    version: str
    #: `file:line`.
    place: str


def shipped() -> list[tuple[str, str]]:
    """The catalogue files of collectivelint as (name, text)."""
    # By name, not by import: nothing in this package depends on the rules statically.
    folder = resources.files("collectivelint.rules.catalog")
    found = sorted((item for item in folder.iterdir() if item.name.endswith(".toml")), key=lambda item: item.name)
    return [(item.name, item.read_text(encoding="utf-8")) for item in found]


def entries(files: Iterable[tuple[str, str]]) -> Iterator[Entry]:
    """All rows of files that are well formed."""
    for where, text in files:
        data = toml_text.parse(where, text)
        places = Places(where, text)
        for number, section in enumerate(data.get("section", [])):
            for table, rows in section.items():
                if table not in (*CATEGORIES, *OTHER_ROWS, *LISTS, "world"):
                    continue
                for item in rows:
                    row = item if isinstance(item, dict) else {"name": item}
                    for name in _names(section, table, row):
                        source = str(row["source"]) if table in CATEGORIES and "source" in row else section["source"]
                        yield Entry(
                            name,
                            table,
                            row,
                            data.get("framework", ""),
                            source,
                            section.get("version", ""),
                            places.place(number, table, row if isinstance(item, dict) else None),
                        )


def _names(section: Mapping[str, Any], table: str, row: Mapping[str, Any]) -> list[str]:
    """The dotted names that a row describes."""
    if table in (*CATEGORIES, "classes", "world"):
        return [f"{module}.{row['name']}" for module in (section["module"], *section.get("also", []))]
    if table == "file_uses":
        return str(row["names"]).split()
    return [str(row.get("name", row.get("prefix")))]


def about(every: Iterable[Entry], name: str) -> list[Entry]:
    """The rows for exactly this name; if there are none, those below it, else those of the framework with this name."""
    known = list(every)
    if exact := [entry for entry in known if entry.name == name]:
        return exact
    below = [entry for entry in known if entry.name.startswith(f"{name}.")]
    return below or [entry for entry in known if entry.framework == name]
