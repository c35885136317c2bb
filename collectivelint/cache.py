"""What an earlier run knew: findings by file, and what each file's analysis has looked at.

Everything is keyed on content. A file whose text has not changed, and which looked at no file that has, keeps its
findings. The cache is JSON, because it lies in the project and may come from anybody: nothing in it is executed. It is
replaced as a whole; runs at the same time each write their own, the last one stays. One that is damaged, or from another
version, is as good as none.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from functools import cache
from hashlib import blake2b
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .finding import Edit, Finding, Fix, Location, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .settings import Settings

FOLDER: Final = ".collectivelint_cache"
#: Entries of other settings and other selections of files that are kept beside this one.
_MOST_ENTRIES: Final = 12
_TAG: Final = (
    "Signature: 8a477f597d28d172789f06886806bc55\n# Made by collectivelint; see https://bford.info/cachedir/\n"
)


@dataclass(slots=True)
class Entry:
    """One run. `stamps` are (mtime in ns, size, digest) of each file of the program.

    `findings` are by file, before those of one cause are thinned out; `edges` say which other files the analysis of a
    file has looked at, `made` where the files make groups. `shapes` are the classes of each
    file as others see them.
    """

    stamps: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    findings: dict[str, list[Finding]] = field(default_factory=dict)
    edges: dict[str, list[str]] = field(default_factory=dict)
    made: dict[str, list[list[Any]]] = field(default_factory=dict)
    shapes: dict[str, list[list[str]]] = field(default_factory=dict)


class Cache:
    """The entry of one selection of files under one configuration, in a folder."""

    def __init__(self, folder: Path, key: str) -> None:
        """`key` identifies settings, paths and the linter itself."""
        self._folder = folder
        self._file = folder / f"{key}.json"

    def load(self) -> Entry | None:
        """What the last run left; None if there is nothing that can be used."""
        try:
            data = json.loads(self._file.read_bytes())
            return Entry(
                stamps={path: (stamp[0], stamp[1], stamp[2]) for path, stamp in data["stamps"].items()},
                asked=data["asked"],
                findings={path: [_finding(item) for item in some] for path, some in data["findings"].items()},
                edges=data["edges"],
                made=data["made"],
                shapes=data["shapes"],
            )
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            return None

    def save(self, entry: Entry) -> None:
        """Keep an entry; a folder that cannot be written is no reason to complain."""
        data = {
            "stamps": entry.stamps,
            "asked": entry.asked,
            "findings": {path: [asdict(finding) for finding in some] for path, some in entry.findings.items() if some},
            "edges": entry.edges,
            "made": entry.made,
            "shapes": entry.shapes,
        }
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for name, text in ((".gitignore", "*\n"), ("CACHEDIR.TAG", _TAG)):
                if not (self._folder / name).exists():
                    (self._folder / name).write_text(text, encoding="utf-8")
            handle, temporary = tempfile.mkstemp(dir=self._folder, suffix=".tmp")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(data, file, separators=(",", ":"))
                Path(temporary).replace(self._file)
            except BaseException:
                Path(temporary).unlink()
                raise
            self._prune()
        except OSError:
            return

    def _prune(self) -> None:
        entries = sorted(self._folder.glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
        for old in entries[_MOST_ENTRIES:]:
            old.unlink(missing_ok=True)


def key(paths: Iterable[str], settings: Iterable[tuple[str, Settings]]) -> str:
    """The name of an entry: the linter, the interpreter, where it runs, what it is asked and under which settings."""
    digest = blake2b(digest_size=16)
    parts = [_linter(), sys.version, os.getcwd(), *paths, *(f"{where} {some!r}" for where, some in settings)]
    for part in parts:
        digest.update(part.encode(errors="surrogateescape") + b"\0")
    return digest.hexdigest()


@cache
def _linter() -> str:
    """A digest of our own files: whoever changes a rule or the catalogue starts anew."""
    digest = blake2b(digest_size=16)
    for package in (
        "collectivelint",
        "collectivelint.analysis",
        "collectivelint.rules",
        "collectivelint.rules.catalog",
    ):
        for item in sorted(Path(str(resources.files(package))).iterdir()):
            if item.suffix in (".py", ".toml"):
                stat = item.stat()
                digest.update(f"{item.name} {stat.st_size} {stat.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def stamp(path: str, known: tuple[int, int, str] | None) -> tuple[int, int, str]:
    """(mtime, size, digest) of a file; not read where the first two are as they were. No digest: it cannot be read."""
    try:
        stat = Path(path).stat()
        if known is not None and known[2] and (stat.st_mtime_ns, stat.st_size) == (known[0], known[1]):
            return known
        digest = blake2b(Path(path).read_bytes(), digest_size=16).hexdigest()
    except OSError:
        return (0, 0, "")
    return (stat.st_mtime_ns, stat.st_size, digest)


def affected(changed: set[str], edges: Mapping[str, Iterable[str]]) -> set[str]:
    """The changed files and all whose analysis has looked at one of them, directly or through others."""
    looked_at_by: dict[str, list[str]] = {}
    for path, others in edges.items():
        for other in others:
            looked_at_by.setdefault(other, []).append(path)
    found = set(changed)
    pending = list(changed)
    while pending:
        for path in looked_at_by.get(pending.pop(), ()):
            if path not in found:
                found.add(path)
                pending.append(path)
    return found


def _finding(data: dict[str, Any]) -> Finding:
    fix = data["fix"]
    edits = tuple(
        Edit(
            item["start"], item["end"], item["content"], Location(**item["location"]), Location(**item["end_location"])
        )
        for item in (fix["edits"] if fix else ())
    )
    return Finding(
        **{
            **data,
            "location": Location(**data["location"]),
            "end_location": Location(**data["end_location"]),
            "trail": tuple(Step(**step) for step in data["trail"]),
            "fix": Fix(fix["applicability"], fix["message"], edits) if fix else None,
        }
    )
