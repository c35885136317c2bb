"""The cache of earlier runs: the findings of each file, its index, and the files that its analysis has read.

Everything is keyed on content. A file whose text has not changed, and whose analysis read no file that has, keeps its
findings. The cache is a database that contains only text: it lies in the project and is not trusted, so what is read
back is only ever parsed. A damaged cache, or one that another run has changed meanwhile, is treated as missing.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..plugins import fingerprint
from ..reading import read_bytes
from . import cache_file
from .cache_file import ForeignError
from .cache_rows import (
    WRONG,
    Asked,
    Reads,
    Row,
    Shape,
    answers_of,
    answers_text,
    asked_of,
    asked_text,
    bases_in,
    findings_of,
    findings_text,
    index_of,
    places_of,
    reads_of,
    shape,
    shape_of,
    stamp_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence
    from pathlib import Path

    from ..finding import Finding
    from ..program.index import FileIndex
    from ..reach.answers import Answers
    from ..settings.model import Settings

__all__ = ["FOLDER", "Asked", "Cache", "Reads", "Row", "Shape", "bases_in", "key", "shape", "stamp"]

FOLDER: Final = ".collectivelint_cache"
#: Programs and settings that are kept beside this one.
_MOST_KEYS: Final = 8
#: What findings come from: source, catalogue, and the machine code of a compiled wheel.
_CODE: Final = (".py", ".toml", ".so", ".pyd")
_T = TypeVar("_T")


class Cache:
    """The rows of one program under one configuration."""

    def __init__(self, folder: Path, key: str) -> None:
        """`key` identifies the program, the settings and the linter itself; no cache is created if there is none."""
        self._folder, self._key = folder, key
        #: Changed with the rows: two runs that have read the same number have read the same rows.
        self._generation = 0
        self._process = os.getpid()
        self._database: sqlite3.Connection | None = None
        #: Why what lies there is neither used nor replaced, if it is not ours.
        self.foreign = ""
        try:
            self._database = cache_file.connect(folder)
        except ForeignError as error:
            self.foreign = str(error)
        except sqlite3.DatabaseError:
            self._forget()
        except OSError:
            pass  # not ours to read
        for (generation,) in self._ask("SELECT generation FROM programs WHERE key = ?"):
            self._generation = generation if isinstance(generation, int) else 0

    # ------------------------------------------------------------------------------------------------------ reading

    def stamps(self) -> dict[str, tuple[int, int, str]]:
        """(mtime, size, digest) by path."""
        rows = self._ask("SELECT path, mtime, size, digest FROM files WHERE key = ?")
        try:
            return {row[0]: stamp_of(row[1:]) for row in rows}
        except WRONG:
            self._forget()
            return {}

    def findings(self, program: Container[str]) -> dict[str, list[Finding]]:
        """The cached findings by file; their paths are files of the program only."""
        return self._texts("findings", lambda path, data: findings_of(path, data, program))

    def looked(self) -> dict[str, int]:
        """By path: the files that its findings depend on."""
        return self._texts("looked", lambda _, text: int(text, 16))

    def reads(self) -> dict[str, Reads]:
        """By path: the facts of other files that its findings depend on."""
        return self._texts("reads", lambda _, data: reads_of(data))

    def asked(self) -> dict[str, Asked]:
        """By path: the names it looked up in other files."""
        return self._texts("asked", lambda _, data: asked_of(data))

    def made(self) -> dict[str, list[list[Any]]]:
        """By path: where it creates groups."""
        return self._texts("made", lambda _, data: places_of(data))

    def shapes(self) -> dict[str, Shape]:
        """By path: its classes as other files see them."""
        return self._texts("shape", lambda _, data: shape_of(data))

    def shape(self, path: str) -> Shape:
        """The classes of one file as other files see them."""
        for (text,) in self._ask("SELECT shape FROM files WHERE key = ? AND path = ?", path):
            with suppress(*WRONG):
                return shape_of(json.loads(text))
        return []

    def index(self, path: str) -> FileIndex | None:
        """The index of one file."""
        for (text,) in self._ask("SELECT contents FROM files WHERE key = ? AND path = ?", path):
            with suppress(*WRONG):
                return index_of(path, json.loads(text))
        return None

    def answers(self) -> Answers | None:
        """Cached answers about the functions that contain findings."""
        for (text,) in self._ask("SELECT answers FROM programs WHERE key = ? AND answers IS NOT NULL"):
            with suppress(*WRONG):
                return answers_of(json.loads(text))
        return None

    def _texts(self, column: str, read: Callable[[str, Any], _T]) -> dict[str, _T]:
        found: dict[str, _T] = {}
        for path, text in self._ask(f"SELECT path, {column} FROM files WHERE key = ? AND {column} IS NOT NULL"):
            try:
                found[path] = read(path, json.loads(text))
            except WRONG:
                # Not ours: nothing is known then.
                self._forget()
                return {}
        return found

    def _ask(self, query: str, *more: object) -> list[tuple[Any, ...]]:
        # A connection must not be used by a process that has inherited it.
        if self._database is None or os.getpid() != self._process:
            return []
        try:
            return cache_file.ask(self._database, query, (self._key, *more))
        except sqlite3.Error:
            self._forget()
            return []

    def _forget(self) -> None:
        """Remove the database, which cannot be read."""
        self.close()
        cache_file.remove(self._folder)

    def close(self) -> None:
        """Close the database."""
        if self._database is not None:
            self._database.close()
            self._database = None

    # ------------------------------------------------------------------------------------------------------ writing

    def save(
        self,
        rows: Mapping[str, Row],
        answers: Answers | None = None,
        *,
        only: bool,
        findings: Mapping[str, Sequence[Finding]] = MappingProxyType({}),
        asked: Mapping[str, Asked] = MappingProxyType({}),
    ) -> None:
        """Store rows and answers; with `only` all other rows are dropped. An unwritable folder is silently skipped.

        `findings` and `asked` replace those columns of rows that are otherwise kept.
        """
        self.close()
        if self.foreign:
            return
        try:
            texts: list[tuple[str, str, str | None]] = [
                ("findings", path, findings_text(some)) for path, some in findings.items()
            ]
            texts += [("asked", path, asked_text(some)) for path, some in asked.items()]
            known = None if answers is None else answers_text(answers)
            cache_file.change(self._folder, lambda database: self._write(database, rows, texts, known, only=only))
        except ForeignError as error:
            self.foreign = str(error)
        except sqlite3.DatabaseError:
            self._forget()
        except (OSError, UnicodeEncodeError):
            return  # not ours to write; or a file name that is no text, which the database cannot hold

    def _write(
        self,
        database: sqlite3.Connection,
        rows: Mapping[str, Row],
        texts: Iterable[tuple[str, str, str | None]],
        answers: str | None,
        *,
        only: bool,
    ) -> bool:
        key = self._key
        stored = database.execute("SELECT generation FROM programs WHERE key = ?", (key,)).fetchone()
        if not only and (stored is None or stored[0] != self._generation):
            # What we have kept rests on rows that another run has replaced.
            return False
        if only:
            database.execute("DELETE FROM files WHERE key = ?", (key,))
        database.executemany(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(key, path, *row.stamp, *row.columns()) for path, row in rows.items()],
        )
        for column, path, text in texts:
            database.execute(f"UPDATE files SET {column} = ? WHERE key = ? AND path = ?", (text, key, path))
        # Not the next number: another run may be at it too, and the last one to finish replaces the file.
        generation = int.from_bytes(os.urandom(7), "big") + 1
        database.execute("INSERT OR REPLACE INTO programs VALUES (?, ?, ?, ?)", (key, generation, time.time(), answers))
        known = database.execute("SELECT key FROM programs ORDER BY used DESC").fetchall()
        for (old,) in known[_MOST_KEYS:]:
            database.execute("DELETE FROM files WHERE key = ?", (old,))
            database.execute("DELETE FROM programs WHERE key = ?", (old,))
        return True


def key(program: Iterable[str], settings: Iterable[tuple[str, Settings]], alias: tuple[str, str] = ("", "")) -> str:
    """The key of a cache entry: a digest of the linter, interpreter, current folder, program and settings.

    `alias`: a temporary folder that contains the program, and the text that replaces its name in the key.
    """
    digest = blake2b(digest_size=16)
    parts = [_linter(), sys.version, os.getcwd(), *program, *(f"{where} {some!r}" for where, some in settings)]
    temporary, name = alias
    for part in parts if not temporary else [part.replace(temporary, name) for part in parts]:
        digest.update(part.encode(errors="surrogateescape") + b"\0")
    return digest.hexdigest()


@cache
def _linter() -> str:
    """A digest of all code that findings and fixes come from: collectivelint, the version of libcst, and plugins."""
    from importlib.metadata import version

    digest = blake2b(digest_size=16)
    for text in (version("libcst"), *fingerprint()):
        digest.update(f"{text}\0".encode(errors="surrogateescape"))
    for package in ("collectivelint", "collectivelint.rules"):
        # os.walk: this is done in every run, and pathlib takes ten times as long.
        for folder, _, names in sorted(os.walk(str(resources.files(package)))):
            for name in sorted(name for name in names if name.endswith(_CODE)):
                stat = os.stat(os.path.join(folder, name))  # noqa: PTH116
                digest.update(f"{package} {name} {stat.st_size} {stat.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def stamp(path: str, known: tuple[int, int, str] | None, text: bytes | None = None) -> tuple[int, int, str]:
    """(mtime, size, digest) of a file; it is not read if the first two are unchanged. "" as digest: it cannot be read.

    `text` is its content if it differs from the file on the disk.
    """
    if text is not None:
        return (0, len(text), blake2b(text, digest_size=16).hexdigest())
    try:
        stat = os.stat(path)  # noqa: PTH116  # thousands of files: a Path for each takes longer than the call
        if known is not None and known[2] and (stat.st_mtime_ns, stat.st_size) == (known[0], known[1]):
            return known
        digest = blake2b(read_bytes(path), digest_size=16).hexdigest()
    except OSError:
        return (0, 0, "")
    return (stat.st_mtime_ns, stat.st_size, digest)
