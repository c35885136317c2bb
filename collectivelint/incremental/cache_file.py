"""The file of the cache. It lies in the project and is not trusted: a crafted database can delete, loop or grow.

So it is only read, as an immutable file, and only after its schema has been compared with the expected one: no journal
beside it is played back, no view or trigger runs, no link is followed, and queries are limited. A change is made in a
copy, which then replaces the file. Files that are not a collectivelint cache are left alone.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .. import atomic
from ..reading import read_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

NAME: Final = "cache.sqlite"
#: Bytes of the file and of one answer, of one text, and rows. The 64,000 lines of accelerate in 197 files take 0.7 MB, their
#: longest text 15 kB, and there are up to eight programs.
LARGEST: Final = 250_000_000
_LONGEST_TEXT: Final = 20_000_000
_MOST_ROWS: Final = 1_000_000
#: Seconds for one question.
_LONGEST_S: Final = 10.0
_STEPS: Final = 20_000
#: "clnt": with our schema, or without it when a later version has another one.
_APPLICATION: Final = 0x636C6E74
_VERSION: Final = 4
_PROGRAMS: Final = "CREATE TABLE programs (key TEXT PRIMARY KEY, generation INTEGER, used REAL, answers TEXT)"
_FILES: Final = """CREATE TABLE files (
    key TEXT, path TEXT, mtime INTEGER, size INTEGER, digest TEXT,
    findings TEXT, looked TEXT, made TEXT, contents TEXT, shape TEXT, reads TEXT, asked TEXT,
    PRIMARY KEY (key, path)
) WITHOUT ROWID"""
_SCHEMA: Final = {
    ("table", "programs", "programs", _PROGRAMS),
    ("index", "sqlite_autoindex_programs_1", "programs", None),
    ("table", "files", "files", _FILES),
}
#: The schemas of versions 1 and 2, which caches had before there were numbers.
_EARLIER: Final = tuple(
    {(*row[:3], row[3] and row[3].replace(more, "").replace(", answers TEXT", "")) for row in _SCHEMA}
    for more in (" reads TEXT, asked TEXT,", " asked TEXT,")
)
_TAG: Final = (
    "Signature: 8a477f597d28d172789f06886806bc55\n# Made by collectivelint; see https://bford.info/cachedir/\n"
)
_MARKS: Final = {".gitignore": "*\n", "CACHEDIR.TAG": _TAG}


class ForeignError(Exception):
    """The file in the cache's place is not a collectivelint cache; the message says so, and what to do."""


def connect(folder: Path) -> sqlite3.Connection | None:
    """The database of a folder, opened read-only, or None. Raise ForeignError, OSError or sqlite3.Error."""
    if not _is_there(folder):
        return None
    file = folder / NAME
    return _checked(_open(file, "mode=ro&immutable=1"), file)


def change(folder: Path, write: Callable[[sqlite3.Connection], bool]) -> None:
    """Let `write` change a copy of the database, which replaces the original if `write` returns True.

    Raise ForeignError, OSError or sqlite3.Error.
    """
    import tempfile

    _prepare(folder)
    with tempfile.TemporaryDirectory(prefix="collectivelint-") as private:
        copy = Path(private) / NAME
        is_new = not _is_there(folder)
        copy.write_bytes(b"" if is_new else read_bytes(folder / NAME, LARGEST))
        database = _open(copy, "mode=rw")
        with closing(database):
            database.execute("PRAGMA journal_mode = OFF")
            database.execute("PRAGMA synchronous = OFF")
            if is_new:
                database.execute(_PROGRAMS)
                database.execute(_FILES)
            else:
                _checked(database, folder / NAME)
            database.execute(f"PRAGMA application_id = {_APPLICATION}")
            database.execute(f"PRAGMA user_version = {_VERSION}")
            database.execute("BEGIN")
            wanted = write(database)
            database.execute("COMMIT")
        if wanted:
            atomic.write(folder / NAME, copy.read_bytes(), follow=False)


def ask(database: sqlite3.Connection, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
    """The rows of a query; raise sqlite3.DatabaseError if there is more data than in any genuine cache."""
    _limit_time(database)
    rows: list[tuple[Any, ...]] = []
    size = 0
    for row in database.execute(query, values):
        rows.append(row)
        lengths = [len(value) for value in row if isinstance(value, (str, bytes))]
        size += sum(lengths)
        if len(rows) > _MOST_ROWS or size > LARGEST or max(lengths, default=0) > _LONGEST_TEXT:
            raise sqlite3.DatabaseError("more rows than a cache has")
    return rows


def remove(folder: Path) -> None:
    """Remove a collectivelint database that cannot be read."""
    with suppress(OSError, ForeignError):
        if _is_there(folder):
            (folder / NAME).unlink()


def _is_there(folder: Path) -> bool:
    """Whether there is a database that may be a cache. Raise ForeignError for anything else of that name."""
    if folder.is_symlink():
        raise ForeignError(f"{folder}: is a symbolic link; nothing is cached (--cache-dir names another folder)")
    file = folder / NAME
    try:
        found = file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not stat.S_ISREG(found.st_mode):
        raise _foreign(file, "is not a regular file")
    if found.st_size > LARGEST:
        raise _foreign(file, f"has more than {LARGEST // 1_000_000} MB")
    # A disk that was full, or a machine that went down, leaves an empty file.
    return found.st_size > 0


def _foreign(file: Path, why: str) -> ForeignError:
    return ForeignError(
        f"{file}: {why}, so it is not a cache of collectivelint; nothing is cached (remove it, or use --no-cache)"
    )


def _open(file: Path, how: str) -> sqlite3.Connection:
    database = sqlite3.connect(f"{Path(os.path.abspath(file)).as_uri()}?{how}", uri=True, isolation_level=None)
    _limit_time(database)
    # What a hostile file could do: https://www.sqlite.org/security.html
    for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
        database.execute(f"PRAGMA {pragma}")
    return database


def _checked(database: sqlite3.Connection, file: Path) -> sqlite3.Connection:
    """The database, if it has exactly the expected tables; closed otherwise. Raise ForeignError or sqlite3.Error."""
    try:
        ((application,),) = database.execute("PRAGMA application_id")
        ((version,),) = database.execute("PRAGMA user_version")
        rows = database.execute("SELECT type, name, tbl_name, sql FROM sqlite_master LIMIT 9").fetchall()
    except sqlite3.DatabaseError as error:
        database.close()
        if _is_marked(file):
            raise
        raise _foreign(file, f"cannot be read as a database ({error})") from None
    except BaseException:
        database.close()
        raise
    if len(rows) == len(_SCHEMA) and set(rows) == _SCHEMA and (application, version) in _KNOWN:
        return database
    database.close()
    if application == _APPLICATION or set(rows) in _EARLIER:
        raise sqlite3.DatabaseError("a cache of another version")
    raise _foreign(file, "has other tables")


#: What the caches of this version have, with and without numbers.
_KNOWN: Final = ((_APPLICATION, _VERSION), (0, 0))


def _is_marked(file: Path) -> bool:
    """Whether the header of the file has collectivelint's marks. The format: https://www.sqlite.org/fileformat2.html"""
    with suppress(OSError), file.open("rb") as stream:
        head = stream.read(100)
        return head.startswith(b"SQLite format 3\0") and head[68:72] == _APPLICATION.to_bytes(4, "big")
    return False


def _limit_time(database: sqlite3.Connection) -> None:
    end = time.monotonic() + _LONGEST_S
    database.set_progress_handler(lambda: time.monotonic() > end, _STEPS)


def _prepare(folder: Path) -> None:
    """Create the folder; if it has only the cache in it, add files that keep it out of repositories and backups."""
    if not folder.is_symlink():
        folder.mkdir(parents=True, exist_ok=True)
        names = {item.name for item in folder.iterdir()}
        if names <= {NAME, *_MARKS}:
            for name in _MARKS.keys() - names:
                atomic.write(folder / name, _MARKS[name], follow=False)
