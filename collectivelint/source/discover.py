"""Which files to lint: folders are searched like git does, and files given by name are always taken."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from ..reading import NOTEBOOK, read_bytes, read_text
from ..settings.model import DEFAULT_EXCLUDE, FILES
from .patterns import spec
from .text import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pathspec

    from ..settings.model import Settings
    from ..settings.resolver import Resolver

SUFFIXES: Final = (".py", ".pyi", NOTEBOOK)
#: A folder that holds one of these is the root of a project.
_ROOT_MARKS: Final = (".git", "pyproject.toml", "setup.py", "setup.cfg", "collectivelint.toml")


@dataclass(slots=True)
class Discovered:
    """`files`: what to report about; `unreadable`: folders and links that could not be followed."""

    files: list[Path] = field(default_factory=list)
    unreadable: list[tuple[Path, UnreadableError]] = field(default_factory=list)


def discover(paths: Iterable[Path], resolver: Resolver) -> Discovered:
    """The Python files behind `paths`, each once, in order."""
    found = Discovered()
    met: list[_Met] = []
    real: dict[Path, str] = {}
    for path in paths:
        settings = resolver.settings(path)
        if settings.force_exclude and _is_excluded(path, settings, above=True):
            continue
        if os.path.isdir(path):
            met += [
                _met(file, real, walked=True) for file in _walk(path, settings, resolver, found, _ignores_above(path))
            ]
        else:
            met.append(_met(path, real, walked=False))
    # A file goes by its own name where a folder has it and a link to it.
    own = {spelling for _, spelling, is_link in met if not is_link}
    seen: set[str] = set()
    for file, spelling, is_link in met:
        if spelling not in seen and not (is_link and spelling in own):
            seen.add(spelling)
            found.files.append(file)
    return found


#: A file, where it really lies, and whether it is a link that a folder has.
_Met: TypeAlias = "tuple[Path, str, bool]"


def _met(file: Path, real: dict[Path, str], *, walked: bool) -> _Met:
    # The same file may be named twice, lie in a folder that is named as well, or be linked.
    folder = file.parent
    if folder not in real:
        real[folder] = os.path.realpath(folder)
    spelling = os.path.join(real[folder], file.name)
    if not os.path.islink(file):  # noqa: PTH114  # a name that is too long is none
        return file, spelling, False
    return file, os.path.realpath(spelling), walked


def project_root(path: Path) -> Path | None:
    """The nearest folder above (or at) `path` that looks like the root of a project."""
    return next(iter(project_roots([path])), None)


def project_roots(paths: Iterable[Path]) -> list[Path]:
    """The roots of the projects that these files and folders belong to."""
    return sorted(map(Path, {root for root in roots_of(map(str, paths)).values() if root is not None}))


def roots_of(paths: Iterable[str]) -> dict[str, str | None]:
    """The root of the project that each of these files and folders belongs to; each folder is read once."""
    known: dict[str, str | None] = {}

    def root(folder: str) -> str | None:
        if folder not in known:
            above = os.path.dirname(folder)
            is_root = any(os.path.exists(os.path.join(folder, mark)) for mark in _ROOT_MARKS)
            known[folder] = folder if is_root else root(above) if above != folder else None
        return known[folder]

    found: dict[str, str | None] = {}
    for path in paths:
        real = os.path.realpath(path)
        # A file has nothing below it.
        found[path] = root(real if os.path.isdir(real) else os.path.dirname(real))
    return found


def is_test(path: str | Path) -> bool:
    """Whether the file is a test, by the names that pytest and unittest search for. Cached until `forget`."""
    *folders, name = _inside(str(path), os.getcwd())
    stem = name.partition(".")[0]
    return stem.startswith("test_") or stem.endswith("_test") or not {"test", "tests", "testing"}.isdisjoint(folders)


def is_example(path: str | Path) -> bool:
    """Whether a file lies in a folder of examples. Cached until `forget`."""
    return not {"example", "examples"}.isdisjoint(_inside(str(path), os.getcwd())[:-1])


def forget() -> None:
    """Clear the cached roots of projects at the start of a run, since they may have changed."""
    _inside.cache_clear()


@cache
def _inside(name: str, _: str) -> tuple[str, ...]:
    """The parts of a path relative to the root of its project; the second argument only keys the cache."""
    # Where the project lies does not matter, only where the file lies in it. Paths are slow to make and to hash.
    path = Path(name)
    root = project_root(path)
    absolute = path.absolute()
    return (absolute.relative_to(root) if root is not None and root in absolute.parents else path).parts


def _walk(
    folder: Path,
    settings: Settings,
    resolver: Resolver,
    found: Discovered,
    ignores: list[tuple[Path, pathspec.GitIgnoreSpec]],
) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        found.unreadable.append((folder, UnreadableError(f"folder cannot be read: {error.strerror or error}")))
        return
    names = {entry.name for entry in entries}
    if not names.isdisjoint(FILES):
        settings = resolver.settings(folder)
    if settings.respect_gitignore and ".gitignore" in names:
        ignores = [*ignores, (folder, _gitignore(folder / ".gitignore"))]
    for entry in entries:
        is_folder = entry.is_dir(follow_symlinks=False)
        if not is_folder and not entry.name.endswith(SUFFIXES) and not entry.is_symlink():
            continue
        path = folder / entry.name
        if _is_excluded(path, settings) and not (is_folder and "__init__.py" in names and _is_package(path, settings)):
            continue
        if settings.respect_gitignore and _is_ignored(path, ignores, is_folder=is_folder):
            continue
        if is_folder:
            yield from _walk(path, settings, resolver, found, ignores)
        elif entry.is_symlink() and _is_loop(path):
            reason = "is a symbolic link that leads back to itself; not followed"
            found.unreadable.append((path, UnreadableError(reason)))
        elif entry.name.endswith(SUFFIXES) and not os.path.isdir(path) and not _is_foreign(path):
            yield path


def _is_foreign(file: Path) -> bool:
    """Whether it is a notebook in a language other than Python."""
    if file.suffix != NOTEBOOK or not file.is_file():
        return False
    from .notebook import is_foreign

    try:
        return is_foreign(read_bytes(file))
    except OSError:
        # The finding says why.
        return False


#: Folders of built files by default, and not seldom packages: `company/dist/` has the company's collectives in it.
_AMBIGUOUS: Final = frozenset({"dist", "build"})


def _is_package(folder: Path, settings: Settings) -> bool:
    """Whether a folder inside a package that is excluded by default is a package itself."""
    by_default = settings.exclude == DEFAULT_EXCLUDE and folder.name not in settings.extend_exclude
    return folder.name in _AMBIGUOUS and by_default and os.path.exists(folder / "__init__.py")


def _is_loop(link: Path) -> bool:
    """Whether following the link never ends, or ends in a folder above it."""
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        return not isinstance(error, FileNotFoundError)
    return target.is_dir() and target in link.absolute().parents


def _gitignore(file: Path) -> pathspec.GitIgnoreSpec:
    try:
        return spec(tuple(read_text(file, errors="replace").split("\n")))
    except OSError:
        return spec(())


def _ignores_above(folder: Path) -> list[tuple[Path, pathspec.GitIgnoreSpec]]:
    """The .gitignore files between the root of the repository and `folder`, outermost first.

    One that hides the folder itself is left out: a user who names an ignored folder wants its files linted.
    """
    found: list[tuple[Path, pathspec.GitIgnoreSpec]] = []
    absolute = folder.resolve()
    if os.path.exists(absolute / ".git"):
        return found
    for parent in absolute.parents:
        if os.path.isfile(parent / ".gitignore"):
            above = (parent, _gitignore(parent / ".gitignore"))
            if not _is_ignored(absolute, [above], is_folder=True):
                found.insert(0, above)
        if os.path.exists(parent / ".git"):
            return found
    # Outside a repository a .gitignore further up has no meaning.
    return []


def _is_ignored(path: Path, ignores: list[tuple[Path, pathspec.GitIgnoreSpec]], *, is_folder: bool) -> bool:
    # The innermost file that has an opinion decides, as in git.
    text = str(path)
    for folder, ignored in reversed(ignores):
        above = f"{folder}{os.sep}"
        # Taking the folder's name off the front is what relpath does, in a tenth of the time.
        relative = text[len(above) :] if text.startswith(above) else os.path.relpath(path, folder)
        relative += "/" if is_folder else ""
        result = ignored.check_file(relative)
        if result.include is not None:
            return bool(result.include)
    return False


def _is_excluded(path: Path, settings: Settings, *, above: bool = False) -> bool:
    """Whether an exclude pattern matches the name or the path; with `above` also a folder that contains it."""
    patterns = (*settings.exclude, *settings.extend_exclude)
    if not above:
        if path.name in patterns:
            return True
        if _plain_names(settings.exclude).issuperset(patterns):
            return False
    try:
        relative = os.path.relpath(path.resolve() if above else os.path.abspath(path), settings.root)
    except ValueError:
        return False
    return not relative.startswith("..") and bool(spec(patterns).match_file(relative))


@cache
def _plain_names(patterns: tuple[str, ...]) -> frozenset[str]:
    return frozenset(pattern for pattern in patterns if not set(pattern) & set("*?[]/!"))
