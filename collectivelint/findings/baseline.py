"""Known findings, kept in a file, so that only new ones are shown.

A finding is identified by its rule, file, function and the text of its line, not by the line number; identical findings
are counted. The confidence is written for people who read the file, and is never compared.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from .. import atomic
from ..finding import UNREADABLE
from ..reading import read_text
from .confidence import CONFIDENCES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from ..finding import Finding

#: Where `--write-baseline` writes without a configured or named baseline.
DEFAULT: Final = "collectivelint-baseline.json"
_VERSION: Final = 1
#: A finding takes about 200 bytes.
_LARGEST: Final = 100_000_000
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")

#: Rule, file, function, text of the line.
Key: TypeAlias = tuple[str, str, str, str]


class BaselineError(Exception):
    """A baseline that cannot be read or written; the message names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Compared:
    """`new` findings, in order; `known` is how many were left out, `unused` the entries of the baseline that no finding matches."""

    new: list[Finding]
    known: int
    unused: list[tuple[Key, int]]


def key(finding: Finding, line: Callable[[str, int], str], base: str) -> Key:
    """The key that identifies a finding; `base` is the folder that paths are relative to."""
    text = " ".join(line(finding.path, finding.location.row).split())
    return finding.code, relative(finding.path, base), finding.function, text


def fingerprints(findings: Sequence[Finding], line: Callable[[str, int], str]) -> Iterator[str]:
    """A text for each finding that stays the same when lines around it move; equal findings are numbered."""
    seen: Counter[Key] = Counter()
    for finding in findings:
        found = key(finding, line, os.getcwd())
        seen[found] += 1
        yield sha256("\0".join((*found, str(seen[found]))).encode(errors="surrogatepass")).hexdigest()


def read(file: Path) -> Counter[Key]:
    """The findings recorded in a file, with their counts; raise BaselineError if it cannot be used."""
    known: Counter[Key] = Counter()
    for found, entry in _entries(file):
        # What an unreadable file has in it is not known, also where an earlier version wrote that it is.
        if found[0] != UNREADABLE:
            known[found] += entry.get("count", 1)
    return known


def _entries(file: Path) -> list[tuple[Key, dict[str, Any]]]:
    """The entries of a file with their keys; raise BaselineError if it cannot be used."""
    try:
        data = json.loads(read_text(file, _LARGEST))
    except OSError as error:
        raise BaselineError(f"{file}: {error.strerror or error}; --write-baseline makes one") from None
    except (ValueError, RecursionError) as error:
        raise BaselineError(f"{file}: is not a baseline: {error}") from None
    if not isinstance(data, dict) or not isinstance(data.get("findings"), list):
        raise BaselineError(f"{file}: is not a baseline: it has no list `findings`")
    if data.get("version") != _VERSION:
        raise BaselineError(
            f"{file}: is of version {data.get('version')!r}, not {_VERSION}; --write-baseline makes a new one"
        )
    return [(_entry(file, entry), entry) for entry in data["findings"]]


def _known_confidences(file: Path) -> dict[Key, str]:
    """The confidence recorded for each finding of a baseline; empty if it cannot be read."""
    try:
        entries = _entries(file)
    except BaselineError:
        return {}
    return {found: word for found, entry in entries if (word := entry.get("confidence")) in CONFIDENCES}


def _entry(file: Path, entry: Any) -> Key:
    names = ("code", "path", "function", "text")
    whole = isinstance(entry, dict) and all(isinstance(entry.get(name), str) for name in names)
    if not whole or not isinstance(entry.get("count", 1), int):
        raise BaselineError(f"{file}: is not a baseline: an entry needs {', '.join(names)}")
    return entry["code"], entry["path"], entry["function"], entry["text"]


def compare(findings: Iterable[Finding], known: Counter[Key], line: Callable[[str, int], str], base: str) -> Compared:
    """Split findings into new ones and those that the baseline contains."""
    left = Counter(known)
    new: list[Finding] = []
    silenced = 0
    for finding in findings:
        found = key(finding, line, base)
        if left[found] > 0:
            left[found] -= 1
            silenced += 1
        else:
            new.append(finding)
    unused = [(entry, count) for entry, count in left.items() if count > 0]
    return Compared(new, silenced, unused)


def write(
    file: Path,
    findings: Iterable[Finding],
    line: Callable[[str, int], str],
    kept: Counter[Key] | None = None,
    *,
    follow: bool = True,
) -> int:
    """Write the findings and the entries to keep atomically; returns their number. Raise BaselineError on failure.

    Findings about files that could not be read are never written.

    `follow`: the user named the file. Otherwise a symbolic link of that name is replaced, and never written through.
    """
    if _is_foreign(file):
        raise BaselineError(f"{file}: is not a baseline, and is not overwritten; name another file, or remove it")
    base = str(file.parent.resolve())
    found = [(key(finding, line, base), finding.confidence) for finding in findings if finding.code != UNREADABLE]
    counted = Counter(entry for entry, _ in found) + (kept or Counter())
    # The last one of a name counts: the surest.
    words = _known_confidences(file) | {entry: degree.word for entry, degree in sorted(found, key=itemgetter(1))}
    entries = [
        {
            "path": entry[1],
            "code": entry[0],
            "function": entry[2],
            "text": entry[3],
            **({"confidence": words[entry]} if entry in words else {}),
            **({"count": count} if count > 1 else {}),
        }
        for entry, count in sorted(counted.items(), key=lambda item: (item[0][1], item[0]))
    ]
    text = json.dumps({"version": _VERSION, "findings": entries}, indent=1, ensure_ascii=False) + "\n"
    # Bytes of a file name that are no UTF-8 are halves of surrogate pairs here, which JSON can express and UTF-8 cannot.
    text = _SURROGATE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)
    try:
        atomic.write(file, text, follow=follow)
    except OSError as error:
        raise BaselineError(f"{file}: cannot be written: {error.strerror or error}") from None
    return sum(counted.values())


def _is_foreign(file: Path) -> bool:
    """Whether the file is not a baseline, or contains the conflict markers of an unfinished merge."""
    try:
        text = read_text(file, _LARGEST, errors="replace").strip()
    except OSError:
        # Not there, or writing to it will say what is wrong.
        return False
    return bool(text) and not (text.startswith("{") and '"findings"' in text)


def relative(path: str, base: str) -> str:
    """A path with slashes, relative to a folder, so that a baseline is the same on every machine."""
    found = os.path.relpath(os.path.abspath(path), base)
    if found.startswith(os.pardir):
        # Reached through a link to the project.
        found = os.path.relpath(os.path.realpath(path), base)
    return found.replace(os.sep, "/")
