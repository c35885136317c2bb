"""What earlier runs knew: the findings of each file, its index, and which files its analysis has looked at.

Everything is keyed on content. A file whose text has not changed, and which looked at no file that has, keeps its
findings. The cache is a database with nothing but text in it: it lies in the project and may come from anybody, so what
is read back is only ever parsed. One that is damaged, or that another run has changed meanwhile, is as good as none.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from hashlib import blake2b
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .finding import Edit, Finding, Fix, Location, Step
from .index import ClassIndex, FileIndex, class_table
from .plugins import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .settings import Settings

FOLDER: Final = ".collectivelint_cache"
_FILE: Final = "cache.sqlite"
#: Programs and settings that are kept beside this one.
_MOST_KEYS: Final = 8
_PATIENCE_S: Final = 2.0
_TAG: Final = (
    "Signature: 8a477f597d28d172789f06886806bc55\n# Made by collectivelint; see https://bford.info/cachedir/\n"
)
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS programs (key TEXT PRIMARY KEY, generation INTEGER, used REAL);
CREATE TABLE IF NOT EXISTS files (
    key TEXT, path TEXT, mtime INTEGER, size INTEGER, digest TEXT,
    findings TEXT, looked TEXT, made TEXT, contents TEXT, shape TEXT,
    PRIMARY KEY (key, path)
) WITHOUT ROWID;
"""

#: What reading a text that is not ours may raise.
_WRONG: Final = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)

#: (class, base as written, the base's own name), and (class, its methods): what other files rest on without a look.
Shape = list[list[str]]


@dataclass(slots=True)
class Row:
    """What is known of one file. `findings` is None where it has not been analysed itself.

    `stamp` is (mtime in ns, size, digest); `looked` is the sum of the bits of the files that its findings rest on, as `Program.bits` numbers them;
    `made` is where it makes groups.
    """

    stamp: tuple[int, int, str]
    findings: list[Finding] | None = None
    looked: int = 0
    made: list[list[Any]] = field(default_factory=list)
    index: FileIndex | None = None


class Cache:
    """The rows of one program under one configuration."""

    def __init__(self, folder: Path, key: str) -> None:
        """`key` identifies the program, the settings and the linter itself; nothing is opened if there is no cache."""
        self._folder, self._key = folder, key
        self._generation = 0
        self._process = os.getpid()
        self._database: sqlite3.Connection | None = None
        if (folder / _FILE).is_file():
            self._open()
        for (generation,) in self._ask("SELECT generation FROM programs WHERE key = ?"):
            self._generation = int(generation)

    # ------------------------------------------------------------------------------------------------------ reading

    def stamps(self) -> dict[str, tuple[int, int, str]]:
        """(mtime, size, digest) by path."""
        rows = self._ask("SELECT path, mtime, size, digest FROM files WHERE key = ?")
        return {str(path): (mtime, size, digest) for path, mtime, size, digest in rows}

    def findings(self) -> dict[str, list[Finding]]:
        """The findings of each file that has been analysed."""
        return self._texts("findings", lambda some: [_finding(item) for item in some])

    def looked(self) -> dict[str, int]:
        """By path: the files that its findings rest on."""
        return self._texts("looked", lambda text: int(text, 16))

    def made(self) -> dict[str, list[list[Any]]]:
        """By path: where groups are made."""
        return self._texts("made", _places)

    def shapes(self) -> dict[str, Shape]:
        """By path: its classes as others see them."""
        return self._texts("shape", _rows)

    def shape(self, path: str) -> Shape:
        """The classes of one file as others see them."""
        for (text,) in self._ask("SELECT shape FROM files WHERE key = ? AND path = ?", path):
            with suppress(*_WRONG):
                return _rows(json.loads(text))
        return []

    def index(self, path: str) -> FileIndex | None:
        """The index of one file."""
        for (text,) in self._ask("SELECT contents FROM files WHERE key = ? AND path = ?", path):
            with suppress(*_WRONG):
                return _index(path, json.loads(text))
        return None

    def _texts(self, column: str, read: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for path, text in self._ask(f"SELECT path, {column} FROM files WHERE key = ? AND {column} IS NOT NULL"):
            try:
                found[path] = read(json.loads(text))
            except _WRONG:
                # Not ours: nothing is known then.
                self._forget()
                return {}
        return found

    def _ask(self, query: str, *more: object) -> list[tuple[Any, ...]]:
        # A connection must not be used by a process that has inherited it.
        if self._database is None or os.getpid() != self._process:
            return []
        try:
            return self._database.execute(query, (self._key, *more)).fetchall()
        except sqlite3.Error:
            self._forget()
            return []

    def _forget(self) -> None:
        """Start anew: this one cannot be read."""
        self.close()
        with suppress(OSError):
            (self._folder / _FILE).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the database."""
        if self._database is not None:
            self._database.close()
            self._database = None

    # ------------------------------------------------------------------------------------------------------ writing

    def save(self, rows: Mapping[str, Row], *, only: bool) -> None:
        """Keep rows; with `only` nothing else is kept. A folder that cannot be written is no reason to complain."""
        try:
            if self._database is None:
                self._prepare()
                self._open()
            database = self._database
            if database is None:
                return
            database.execute("BEGIN IMMEDIATE")
            try:
                self._write(database, rows, only=only)
                database.execute("COMMIT")
            except BaseException:
                database.execute("ROLLBACK")
                raise
        except (OSError, sqlite3.Error):
            return
        finally:
            self.close()

    def _write(self, database: sqlite3.Connection, rows: Mapping[str, Row], *, only: bool) -> None:
        key = self._key
        stored = database.execute("SELECT generation FROM programs WHERE key = ?", (key,)).fetchone()
        if not only and (stored is None or stored[0] != self._generation):
            # What we have kept rests on rows that another run has replaced.
            return
        if only:
            database.execute("DELETE FROM files WHERE key = ?", (key,))
        database.executemany(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(key, path, *row.stamp, *_columns(row)) for path, row in rows.items()],
        )
        generation = (stored[0] if stored is not None else 0) + 1
        database.execute("INSERT OR REPLACE INTO programs VALUES (?, ?, ?)", (key, generation, time.time()))
        known = database.execute("SELECT key FROM programs ORDER BY used DESC").fetchall()
        for (old,) in known[_MOST_KEYS:]:
            database.execute("DELETE FROM files WHERE key = ?", (old,))
            database.execute("DELETE FROM programs WHERE key = ?", (old,))

    def _prepare(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, text in ((".gitignore", "*\n"), ("CACHEDIR.TAG", _TAG)):
            if not (self._folder / name).exists():
                (self._folder / name).write_text(text, encoding="utf-8")

    def _open(self) -> None:
        try:
            self._database = sqlite3.connect(self._folder / _FILE, timeout=_PATIENCE_S, isolation_level=None)
            # Losing the cache in a power failure is fine, waiting for the disk is not.
            self._database.execute("PRAGMA synchronous = OFF")
            self._database.executescript(_TABLES)
        except sqlite3.OperationalError:
            # In use, or not ours to write.
            self.close()
        except sqlite3.Error:
            self._forget()


def _names(data: Any) -> list[str]:
    if not isinstance(data, list) or not all(isinstance(item, str) for item in data):
        raise TypeError
    return data


def _rows(data: Any) -> Shape:
    if not isinstance(data, list):
        raise TypeError
    return [_names(row) for row in data]


def _places(data: Any) -> list[list[Any]]:
    kinds = (str, int, int, int, int, bool)
    if not isinstance(data, list) or any([type(part) for part in item] != [*kinds] for item in data):
        raise TypeError
    return data


def _columns(row: Row) -> tuple[str | None, ...]:
    def text(value: object) -> str | None:
        return json.dumps(value, separators=(",", ":")) if value else None

    findings = None if row.findings is None else json.dumps([asdict(finding) for finding in row.findings])
    looked = text(f"{row.looked:x}")
    index = row.index
    if index is None or index.problem is not None:
        return (findings, looked, text(row.made), None, None)
    contents = {
        "imports": dict(index.imports),
        "functions": sorted(index.functions),
        "classes": [[class_.qualname, class_.bases, class_.methods] for class_ in index.classes.values()],
        "aliases": dict(index.aliases),
        "variables": sorted(index.variables),
        "rebound": sorted(index.rebound),
        "annotated": index.annotated,
    }
    return (findings, looked, text(row.made), text(contents), text(shape(index)))


def _index(path: str, data: dict[str, Any]) -> FileIndex:
    classes = [ClassIndex(name, tuple(bases), tuple(methods)) for name, bases, methods in data["classes"]]
    return FileIndex(
        path=path,
        imports={name: tuple(targets) for name, targets in data["imports"].items()},
        functions=frozenset(data["functions"]),
        classes={class_.qualname: class_ for class_ in classes},
        aliases=data["aliases"],
        variables=frozenset(data["variables"]),
        rebound=frozenset(data["rebound"]),
        annotated=bool(data["annotated"]),
    )


def shape(index: FileIndex) -> Shape:
    """The classes of a file: rows of a class, a base as written and its own name; then rows of a class and its methods."""
    bases = [[name, base, own] for name, base, own in class_table(index)]
    return [*bases, *(["", name, *class_.methods] for name, class_ in index.classes.items())]


def bases_in(some: Shape) -> list[tuple[str, str, str]]:
    """`class_table` of a file, from its shape."""
    return [(row[0], row[1], row[2]) for row in some if row[0]]


def key(program: Iterable[str], settings: Iterable[tuple[str, Settings]]) -> str:
    """The name of an entry: the linter, the interpreter, where it runs, what the program is and under which settings."""
    digest = blake2b(digest_size=16)
    parts = [_linter(), sys.version, os.getcwd(), *program, *(f"{where} {some!r}" for where, some in settings)]
    for part in parts:
        digest.update(part.encode(errors="surrogateescape") + b"\0")
    return digest.hexdigest()


@cache
def _linter() -> str:
    """A digest of all code that findings and fixes come from: ours, libcst's version, and the rules of others."""
    from importlib.metadata import version

    digest = blake2b(digest_size=16)
    for text in (version("libcst"), *fingerprint()):
        digest.update(f"{text}\0".encode(errors="surrogateescape"))
    for package in (
        "collectivelint",
        "collectivelint.analysis",
        "collectivelint.fixes",
        "collectivelint.rules",
        "collectivelint.rules.catalog",
    ):
        for item in sorted(Path(str(resources.files(package))).iterdir()):
            if item.suffix in (".py", ".toml"):
                stat = item.stat()
                digest.update(f"{item.name} {stat.st_size} {stat.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def stamp(path: str, known: tuple[int, int, str] | None, text: bytes | None = None) -> tuple[int, int, str]:
    """(mtime, size, digest) of a file; not read where the first two are as they were. No digest: it cannot be read.

    `text` is its content if that is not what lies on the disk.
    """
    if text is not None:
        return (0, len(text), blake2b(text, digest_size=16).hexdigest())
    try:
        stat = os.stat(path)  # noqa: PTH116  # thousands of files: a Path for each takes longer than the call
        if known is not None and known[2] and (stat.st_mtime_ns, stat.st_size) == (known[0], known[1]):
            return known
        digest = blake2b(Path(path).read_bytes(), digest_size=16).hexdigest()
    except OSError:
        return (0, 0, "")
    return (stat.st_mtime_ns, stat.st_size, digest)


def _finding(data: dict[str, Any]) -> Finding:
    fix = data["fix"]
    edits = tuple(
        Edit(
            item["start"], item["end"], item["content"], Location(**item["location"]), Location(**item["end_location"])
        )
        for item in (fix["edits"] if fix else ())
    )
    if not all(isinstance(data[name], str) for name in ("code", "name", "message", "severity", "path", "help")):
        raise TypeError
    return Finding(
        **{
            **data,
            "location": Location(**data["location"]),
            "end_location": Location(**data["end_location"]),
            "trail": tuple(Step(**step) for step in data["trail"]),
            "fix": Fix(fix["applicability"], fix["message"], edits) if fix else None,
        }
    )
