"""The tables of a run: their columns, and which folders have them (docs/tables.md)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from collectivelint import reading

if TYPE_CHECKING:
    from pathlib import Path

#: Goes up when a table or a column is added, goes, or changes its meaning.
VERSION: Final = 2
#: The key of the version, in the metadata of each file and in the marker.
KEY: Final = "collectivelint.tables"
MARKER: Final = "collectivelint-tables.json"
_LARGEST_MARKER: Final = 1 << 12
#: Column -> Arrow type; "?" marks columns that may be null, "[]" lists.
TABLES: Final[dict[str, dict[str, str]]] = {
    "jobs": {"job": "int32", "store": "string", "world_size": "int32", "attempt": "int32", "started": "float64"},
    "ranks": {
        "job": "int32", "rank": "int32", "world_size": "int32", "pid": "int32", "host": "string", "started": "float64",
        "end": "string", "error": "string?", "events": "int64", "lost": "int64",
    },
    "groups": {"job": "int32", "group": "int32", "description": "string", "ordinal": "int32", "ranks": "int32[]"},
    "members": {"job": "int32", "rank": "int32", "group": "int32", "calls": "int64", "destroyed": "bool"},
    "sites": {"job": "int32", "site": "int32", "path": "string", "line": "int32", "function": "string", "stack": "string[]"},
    "signatures": {"job": "int32", "signature": "int32", "text": "string"},
    "events": {
        "job": "int32", "rank": "int32", "number": "int64", "kind": "string", "op": "string", "group": "int32",
        "sequence": "int64", "peer": "int32?", "signature": "int32", "bytes": "int64", "is_async": "bool",
        "state": "string", "start": "float64", "end": "float64?", "thread": "int64", "site": "int32",
    },
}  # fmt: skip


class TablesError(Exception):
    """Tables cannot be written or read; the message has the reason."""


def marker() -> str:
    """The content of the marker file of a folder."""
    return json.dumps({KEY: VERSION}) + "\n"


def version(folder: Path) -> int | None:
    """The version of the tables in a folder, read from its marker; None if it has no marker of ours."""
    try:
        known = json.loads(reading.read_bytes(folder / MARKER, _LARGEST_MARKER, follow=False))
    except (OSError, ValueError):
        return None
    found = known.get(KEY) if isinstance(known, dict) else None
    return found if isinstance(found, int) else None


def file_of(folder: Path, table: str) -> Path:
    """The path of a table's file."""
    return folder / f"{table}.parquet"


def check_readable(folder: Path) -> None:
    """Raise TablesError if the tables of a folder have another version, or a table is missing."""
    found = version(folder)
    if found != VERSION:
        raise TablesError(f"{folder}: version {found} of the tables, this release reads version {VERSION}")
    missing = [file_of(folder, table).name for table in TABLES if not file_of(folder, table).is_file()]
    if missing:
        raise TablesError(f"{folder}: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")


def check_replaceable(folder: Path) -> None:
    """Raise TablesError if writing tables into a folder could replace files that are not ours.

    A folder that is not empty must have our marker, and each file with the name of a table must have our metadata.
    """
    if any(folder.iterdir()) and version(folder) is None:
        raise TablesError(f"{folder}: has other files, and no tables of collectivelint")
    for table in TABLES:
        file = file_of(folder, table)
        if (file.exists() or file.is_symlink()) and not _is_ours(file):
            raise TablesError(f"{file}: is not a table of collectivelint, and is not replaced")


def _is_ours(file: Path) -> bool:
    """Whether a file is a Parquet file with our metadata."""
    from pyarrow import ArrowException, parquet

    try:
        schema: Any = parquet.read_schema(file)
    except (ArrowException, OSError):
        return False
    return KEY.encode() in (schema.metadata or {})
