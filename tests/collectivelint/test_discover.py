"""Which files are linted: as git would see the folder, and files named by hand as they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from collectivelint.settings import DEFAULT_EXCLUDE, Resolver
from collectivelint.source.discover import discover

if TYPE_CHECKING:
    from tests.conftest import Project


def _files(*paths: str, **settings: Any) -> list[str]:
    overrides = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    found = discover([Path(path) for path in paths or (".",)], Resolver(overrides, isolated=True))
    assert found.unreadable == []
    return [path.as_posix() for path in found.files]


def _touch(project: Project, *names: str) -> None:
    project.write(dict.fromkeys(names, ""))


def test_python_files_of_a_tree(project: Project) -> None:
    _touch(project, "b.py", "a/c.py", "a/stub.pyi", "notes.md", "a/py", "x.pyc", "Upper.PY", "a.b/d.py", ".hidden.py")
    assert _files() == [".hidden.py", "a/c.py", "a/stub.pyi", "a.b/d.py", "b.py"]


def test_each_file_once_in_the_order_given(project: Project) -> None:
    _touch(project, "b.py", "a/c.py")
    assert _files("b.py", ".", "a", "a/c.py") == ["b.py", "a/c.py"]


def test_each_file_once_however_it_is_spelt(project: Project) -> None:
    _touch(project, "a/c.py")
    assert len(_files("a/c.py", "./a/../a/c.py", str(project.root / "a" / "c.py"))) == 1


def test_explicit_files_are_taken_as_they_are(project: Project) -> None:
    _touch(project, "script", "build/x.py", "ignored.py")
    project.write({".gitignore": "ignored.py\n"})
    assert _files("script", "build/x.py", "ignored.py") == ["script", "build/x.py", "ignored.py"]


@pytest.mark.parametrize("folder", DEFAULT_EXCLUDE)
def test_default_excludes(project: Project, folder: str) -> None:
    _touch(project, f"{folder}/a.py", f"sub/{folder}/b.py", "kept.py")
    assert _files() == ["kept.py"]


@pytest.mark.parametrize("folder", ["dist", "build"])
def test_packages_of_these_names_are_the_projects_own(project: Project, folder: str) -> None:
    _touch(project, "a/__init__.py", f"a/{folder}/__init__.py", f"a/{folder}/comm.py", f"{folder}/lib/b.py")
    assert _files() == ["a/__init__.py", f"a/{folder}/__init__.py", f"a/{folder}/comm.py"]
    assert _files(extend_exclude=[folder]) == ["a/__init__.py"]
    assert _files(exclude=[folder]) == ["a/__init__.py"]


def test_a_given_folder_is_searched_even_where_a_default_exclude_would_hide_it(project: Project) -> None:
    _touch(project, "build/x.py", "build/build/y.py")
    assert _files("build") == ["build/x.py"]


@pytest.mark.parametrize(
    ("patterns", "kept"),
    [
        (["a"], ["b.py", "c/b.py"]),
        (["a/"], ["b.py", "c/b.py"]),
        (["b.py"], ["a/a.py", "a/deep/x.py", "c/a/z.py"]),
        (["a/*.py"], ["a/deep/x.py", "b.py", "c/a/z.py", "c/b.py"]),
        (["/a"], ["b.py", "c/a/z.py", "c/b.py"]),
        (["a/deep"], ["a/a.py", "b.py", "c/a/z.py", "c/b.py"]),
        (["**/x.py"], ["a/a.py", "b.py", "c/a/z.py", "c/b.py"]),
        (["*.py", "!b.py"], ["b.py", "c/b.py"]),
    ],
    ids=str,
)
def test_extend_exclude(project: Project, patterns: list[str], kept: list[str]) -> None:
    _touch(project, "a/a.py", "a/deep/x.py", "b.py", "c/b.py", "c/a/z.py")
    assert _files(extend_exclude=patterns) == kept


def test_exclude_replaces_the_defaults(project: Project) -> None:
    _touch(project, "build/x.py", "own/y.py")
    assert _files(exclude=["own"]) == ["build/x.py"]


@pytest.mark.parametrize("pattern", ["skip", "skip/", "skip/*.py", "a.py"])
def test_force_exclude(project: Project, pattern: str) -> None:
    _touch(project, "skip/a.py", "b.py")
    assert _files("skip/a.py", "b.py", extend_exclude=[pattern]) == ["skip/a.py", "b.py"]
    assert _files("skip/a.py", "b.py", extend_exclude=[pattern], force_exclude=True) == ["b.py"]


def test_force_exclude_applies_to_the_defaults(project: Project) -> None:
    _touch(project, "build/a.py", "sub/.venv/b.py", "c.py")
    assert _files("build/a.py", "sub/.venv/b.py", "c.py", force_exclude=True) == ["c.py"]


def test_force_exclude_applies_to_folders(project: Project) -> None:
    _touch(project, "build/a.py", "c.py")
    assert _files("build", "c.py", force_exclude=True) == ["c.py"]


# ------------------------------------------------------------------------------------------------------- gitignore


@pytest.mark.parametrize(
    ("ignore", "kept"),
    [
        ("b.py\n", ["a/a.py", "a/gen/z.py"]),
        ("a/\n", ["b.py", "c/b.py"]),
        ("/b.py\n", ["a/a.py", "a/gen/z.py", "c/b.py"]),
        ("gen\n", ["a/a.py", "b.py", "c/b.py"]),
        ("*.py\n!b.py\n", ["b.py", "c/b.py"]),
        ("a/*\n!a/a.py\n", ["a/a.py", "b.py", "c/b.py"]),
        ("# b.py\n\n  \n", ["a/a.py", "a/gen/z.py", "b.py", "c/b.py"]),
        ("a/**/z.py\r\n", ["a/a.py", "b.py", "c/b.py"]),
        ("\\!x\nb.py/\n", ["a/a.py", "a/gen/z.py", "b.py", "c/b.py"]),
    ],
)
def test_gitignore_as_git(project: Project, ignore: str, kept: list[str]) -> None:
    _touch(project, "a/a.py", "a/gen/z.py", "b.py", "c/b.py")
    project.write({".gitignore": ignore})
    assert _files() == kept
    subprocess.run(["git", "init", "-q"], check=True)
    listed = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard", "*.py"], check=True, capture_output=True, text=True
    )
    assert sorted(listed.stdout.split()) == sorted(kept)


def test_nested_gitignore_decides_over_outer_ones(project: Project) -> None:
    _touch(project, "a/gen.py", "a/b/gen.py", "a/b/own.py", "gen.py")
    project.write({".gitignore": "gen.py\n", "a/.gitignore": "!gen.py\n", "a/b/.gitignore": "own.py\n"})
    assert _files() == ["a/b/gen.py", "a/gen.py"]


def test_a_file_in_an_ignored_folder_cannot_be_taken_back(project: Project) -> None:
    _touch(project, "a/keep.py", "b.py")
    project.write({".gitignore": "a/\n!a/keep.py\n", "a/.gitignore": "!keep.py\n"})
    assert _files() == ["b.py"]


def test_gitignore_above_the_given_folder(project: Project) -> None:
    (project.root / ".git").mkdir()
    _touch(project, "a/b/gen.py", "a/b/own.py")
    project.write({".gitignore": "gen.py\n"})
    assert _files("a/b") == ["a/b/own.py"]


def test_gitignore_above_the_repository_means_nothing(project: Project) -> None:
    (project.root / "repository" / ".git").mkdir(parents=True)
    _touch(project, "repository/own.py")
    project.write({".gitignore": "own.py\n"})
    assert _files("repository") == ["repository/own.py"]


def test_gitignore_can_be_switched_off(project: Project) -> None:
    _touch(project, "gen.py")
    project.write({".gitignore": "gen.py\n"})
    assert _files(respect_gitignore=False) == ["gen.py"]


def test_gitignore_is_read_again_by_the_next_run(project: Project) -> None:
    _touch(project, "gen.py", "b.py")
    project.write({".gitignore": "gen.py\n"})
    assert _files() == ["b.py"]
    project.write({".gitignore": "b.py\n"})
    assert _files() == ["gen.py"]


def test_gitignore_that_is_no_text(project: Project) -> None:
    _touch(project, "gen.py", "b.py")
    project.write({".gitignore": b"\xff\xfe\x00\ngen.py\n"})
    assert _files() == ["b.py"]


def test_gitignore_that_is_a_folder(project: Project) -> None:
    _touch(project, "b.py", ".gitignore/c.py")
    assert "b.py" in _files()


# ----------------------------------------------------------------------------------------- links and permissions


def test_links_to_folders_are_not_followed_unless_named(project: Project) -> None:
    _touch(project, "real/a.py")
    (project.root / "folder").symlink_to("real", target_is_directory=True)
    assert _files() == ["real/a.py"]
    assert _files("folder") == ["folder/a.py"]


def test_links_to_files_are_followed_and_each_file_is_linted_once(project: Project) -> None:
    _touch(project, "a/real.py", "elsewhere/b.py")
    (project.root / "a" / "same.py").symlink_to("real.py")
    (project.root / "a" / "other.py").symlink_to("../elsewhere/b.py")
    assert _files("a") == ["a/other.py", "a/real.py"]


@pytest.mark.parametrize("target", ["loop.py", "other.py"])
def test_a_link_to_itself_is_named_and_the_rest_is_linted(project: Project, target: str) -> None:
    _touch(project, "a.py")
    (project.root / "loop.py").symlink_to(target)
    (project.root / target).unlink(missing_ok=True)
    (project.root / target).symlink_to("loop.py")
    found = discover([Path()], Resolver(isolated=True))
    assert found.files == [Path("a.py")]
    assert {path.name for path, _ in found.unreadable} == {"loop.py", target}
    assert project.found() == sorted([(path, 1, "CL000") for path in {"loop.py", target}])


@pytest.mark.parametrize("target", [".", "..", "../.."])
def test_a_link_to_a_folder_above_ends(project: Project, target: str) -> None:
    _touch(project, "a.py", "deep/er/b.py")
    (project.root / "deep" / "er" / "loop").symlink_to(target, target_is_directory=True)
    found = discover([Path()], Resolver(isolated=True))
    assert found.files == [Path("a.py"), Path("deep/er/b.py")]
    assert [path.name for path, _ in found.unreadable] == ["loop"]


def test_a_dangling_link_is_no_file_of_the_tree(project: Project) -> None:
    _touch(project, "a.py")
    (project.root / "gone.py").symlink_to("nowhere.py")
    assert _files() == ["a.py", "gone.py"]
    assert project.found() == [("gone.py", 1, "CL000")]


def test_folder_that_looks_like_a_file(project: Project) -> None:
    _touch(project, "package.py/a.py")
    assert _files() == ["package.py/a.py"]


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="needs permissions as POSIX has them")
def test_folder_without_permission(project: Project) -> None:
    """Root may read everything, so the process becomes another user first."""
    _touch(project, "a.py", "closed/b.py", "c.py")
    code = (
        "import os, pathspec, collectivelint.registry\n"
        "from pathlib import Path\n"
        "from collectivelint.source.discover import discover\n"
        "from collectivelint.settings import Resolver\n"
        "collectivelint.registry.discover()\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "found = discover([Path()], Resolver(isolated=True))\n"
        "print([path.as_posix() for path in found.files])\n"
        "print([(path.as_posix(), error.message) for path, error in found.unreadable])\n"
    )
    for folder in (project.root, *project.root.parents[:2]):
        folder.chmod(0o755)
    closed = project.root / "closed"
    closed.chmod(0)
    try:
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    finally:
        closed.chmod(0o755)
    files, unreadable = done.stdout.splitlines()
    assert files == "['a.py', 'c.py']"
    assert unreadable == "[('closed', 'folder cannot be read: Permission denied')]"
