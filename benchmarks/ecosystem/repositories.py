"""The repositories of the check: which, at which commit, and their files."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: What the linter reads of a program.
SUFFIXES = (".py", ".ipynb", ".toml", ".cfg")


class UnavailableError(Exception):
    """A repository that is not there and cannot be cloned, or lacks its commit."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A repository at one commit."""

    name: str
    commit: str


def pins(file: Path) -> list[Pin]:
    """The repositories that `file` lists."""
    listed: dict[str, str] = tomllib.loads(file.read_text(encoding="utf-8"))["repositories"]
    return [Pin(name, commit) for name, commit in listed.items()]


def _git(folder: Path, *arguments: str, stdin: bytes | None = None) -> bytes:
    done = subprocess.run(["git", "-C", str(folder), *arguments], input=stdin, capture_output=True)
    if done.returncode:
        raise UnavailableError(done.stderr.decode(errors="replace").strip().splitlines()[-1:] or "git failed")
    return done.stdout


def find_or_clone(pin: Pin, folder: Path, clone_from: str) -> Path:
    """The clone of a repository below `folder`; made there if there is none."""
    joined = pin.name.replace("/", "+")
    for candidate in (folder / joined / "repo", folder / joined, folder / pin.name):
        if (candidate / "HEAD").is_file() or (candidate / ".git").exists():
            return candidate
    target = folder / pin.name
    target.mkdir(parents=True)
    _git(target, "init", "--quiet", "--bare")
    _git(target, "fetch", "--quiet", "--depth", "1", f"{clone_from}{pin.name}", pin.commit)
    return target


def export(git: Path, pin: Pin, tree: Path) -> None:
    """Write the commit's files that the linter reads below `tree`; symbolic links are left out."""
    wanted: list[tuple[str, str]] = []
    for entry in _git(git, "ls-tree", "-r", "-z", pin.commit).decode("utf-8", "surrogateescape").split("\0"):
        meta, _, path = entry.partition("\t")
        if meta.startswith("100") and path.endswith(SUFFIXES):
            wanted.append((meta.split()[2], path))
    names = "".join(f"{name}\n" for name, _ in wanted).encode()
    rest = memoryview(_git(git, "cat-file", "--batch", stdin=names))
    for _, path in wanted:
        header, rest = _line(rest)
        if header.endswith(" missing"):
            continue
        size = int(header.split()[2])
        file = tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(rest[:size])
        rest = rest[size + 1 :]


def _line(stream: memoryview) -> tuple[str, memoryview]:
    """The first line, and what follows it."""
    length = bytes(stream[:200]).index(b"\n")
    return bytes(stream[:length]).decode(), stream[length + 1 :]
