"""What git knows of a change: its merge base, the files of that commit, and which files it has renamed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import click

from ..reading import limit_of
from ..source.discover import SUFFIXES
from ..spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A hook has these set for its own repository and index; with the last one, no pattern names a file.
_OF_HOOKS: Final = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR"),
    "GIT_LITERAL_PATHSPECS",
)
#: No hook of the user runs, and nothing is written beside the index that is named.
_QUIET: Final = (
    *("-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false"),
    *("-c", "core.splitIndex=false", "-c", "core.untrackedCache=false"),
)
#: What a run reads: sources, what names the commands of a project, and what hides files.
_READ: Final = (*SUFFIXES, "pyproject.toml", "setup.cfg", "collectivelint.toml", ".gitignore")
_SOURCES: Final = tuple(map(os.fsencode, SUFFIXES))
_LINK, _SUBMODULE, _FILES = "120000", "160000", ("100644", "100755")


@dataclass(frozen=True, slots=True)
class Repository:
    """The working tree of a git repository. Nothing here changes it, or its index."""

    top: Path

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Repository:
        """The repository that all of these files and folders lie in; raise UsageError."""
        folders = {path if os.path.isdir(path) else path.parent for path in paths}
        tops = {os.fsdecode(_git(folder, "rev-parse", "--show-toplevel")).rstrip("\n") for folder in folders}
        if len(tops) > 1:
            raise click.UsageError(f"--diff-base: the paths lie in several git repositories: {', '.join(sorted(tops))}")
        return cls(Path(tops.pop()).resolve())

    def merge_base(self, revision: str) -> str:
        """The merge base of a revision and HEAD, where the change branches off; raise UsageError."""
        commit = self._try("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        found = self._try("merge-base", commit, "HEAD") if commit else ""
        if found:
            return found
        if ".." in revision or revision.startswith("^"):
            # `main..HEAD` and `^main` say where the change begins: that is all that is needed.
            start = revision.removeprefix("^").partition("..")[0] or "HEAD"
            raise click.UsageError(f"--diff-base: `{revision}` is a range; name the commit where it starts: `{start}`")
        what = f"`{revision}` has no commit in common with HEAD" if commit else f"git knows no commit `{revision}`"
        if self._try("rev-parse", "--is-shallow-repository") == "true":
            what += "; the clone is shallow: fetch its history (`git fetch --unshallow`, or `fetch-depth: 0` in CI)"
        elif not self._try("rev-parse", "--verify", "--quiet", "HEAD"):
            what = "the repository has no commit yet"
        elif not commit:
            what += f"; a branch of a remote has to be fetched first{self._near(revision)}"
        raise click.UsageError(f"--diff-base: {what}")

    def _near(self, revision: str) -> str:
        return nearest(revision, self._try("for-each-ref", "--format=%(refname:short)").split("\n"))

    def renamed(self, commit: str) -> dict[str, str]:
        """Old name -> new name of each file that was renamed since a commit, including unstaged files."""
        with tempfile.TemporaryDirectory(prefix="collectivelint-") as folder:
            # `git diff` looks for renames among the files of an index: a copy of it takes those that are not added,
            # under any hash. `git add` would not do: it writes an object, and fails at repositories without commits.
            index = Path(folder) / "index"
            theirs = Path(os.fsdecode(_git(self.top, "rev-parse", "--git-path", "index")).rstrip("\n"))
            if (self.top / theirs).exists():
                shutil.copyfile(self.top / theirs, index)
            others = _git(self.top, "ls-files", "--others", "--exclude-standard", "-z", index=index).split(b"\0")
            entries = [b"100644 %s\t%s\0" % (commit.encode(), name) for name in others if name.endswith(_SOURCES)]
            _git(self.top, "update-index", "--replace", "-z", "--index-info", given=b"".join(entries), index=index)
            options = ("--no-ext-diff", "--no-textconv", "--diff-filter=R", "--find-renames", "--name-status", "-z")
            sources = [f"*{suffix}" for suffix in SUFFIXES]
            words = _git(self.top, "diff", *options, commit, "--", *sources, index=index).split(b"\0")
        return {os.fsdecode(old): os.fsdecode(new) for old, new in zip(words[1::3], words[2::3], strict=False)}

    def write_files(self, commit: str, folder: Path) -> None:
        """Write the files of a commit that a run reads into an empty folder, byte for byte as committed."""
        blobs: list[tuple[str, PurePosixPath]] = []
        links: list[tuple[str, PurePosixPath]] = []
        for entry in _git(self.top, "ls-tree", "-r", "-z", "-l", "--full-tree", commit).split(b"\0")[:-1]:
            about, _, name = entry.partition(b"\t")
            mode, _, blob, size = about.decode().split()
            path = PurePosixPath(os.fsdecode(name))
            if path.is_absolute() or not {"..", ".git"}.isdisjoint(path.parts):
                continue
            if mode == _SUBMODULE:
                # Its commits lie in a repository of its own: its files are taken as they are now.
                _copy(self.top / path, folder / path)
            elif not path.name.endswith(_READ):
                continue
            elif not size.isdigit():
                raise click.UsageError(
                    f"--diff-base: the repository lacks `{path}` of commit {commit[:12]}: `git fsck` lists what is missing"
                )
            elif mode == _LINK:
                links.append((blob, path))
            elif mode in _FILES and int(size) <= limit_of(path.name):
                blobs.append((blob, path))
        contents = self._contents([blob for blob, _ in [*blobs, *links]])
        for (_, path), content in zip(blobs, contents, strict=False):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        # After all files: nothing is written through a link.
        for (_, path), content in zip(links, contents[len(blobs) :], strict=True):
            target = os.path.normpath(folder / path.parent / os.fsdecode(content))
            if Path(folder) in Path(target).parents and not (folder / path).exists():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).symlink_to(os.path.relpath(target, (folder / path).parent))

    def _contents(self, blobs: Sequence[str]) -> list[bytes]:
        """The contents of blobs, without the filters that a checkout runs."""
        data = _git(self.top, "cat-file", "--batch", given="".join(f"{blob}\n" for blob in blobs).encode())
        found: list[bytes] = []
        at = 0
        for _ in blobs:
            end = data.index(b"\n", at)
            size = int(data[at:end].split()[2])
            found.append(data[end + 1 : end + 1 + size])
            at = end + size + 2
        return found

    def _try(self, *args: str) -> str:
        try:
            return os.fsdecode(_git(self.top, *args)).strip()
        except click.UsageError:
            return ""


def _copy(source: Path, target: Path) -> None:
    """The sources of a folder."""
    for parent, folders, names in os.walk(source):
        folders[:] = [name for name in folders if name != ".git"]
        for name in names:
            file = Path(parent) / name
            if name.endswith(_READ) and file.is_file() and not file.is_symlink():
                place = target / file.relative_to(source)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, place)


def _git(folder: Path, *args: str, given: bytes = b"", index: Path | None = None) -> bytes:
    """The output of a git command; raise UsageError with git's error message if it fails."""
    environment = {name: value for name, value in os.environ.items() if name not in _OF_HOOKS}
    environment |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"} | ({"GIT_INDEX_FILE": str(index)} if index else {})
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *_QUIET, *args], input=given, capture_output=True, env=environment, check=False
        )
    except FileNotFoundError:
        raise click.UsageError("--diff-base needs git, which is not installed") from None
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().partition("\n")[0].removeprefix("fatal: ")
        if words.startswith("not a git repository"):
            raise click.UsageError(f"--diff-base: {folder.resolve()} lies in no git repository")
        raise click.UsageError(f"--diff-base: git {args[0]} failed: {words}")
    return done.stdout
