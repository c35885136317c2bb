"""The settings that apply to a file, and the errors of a configuration."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..findings.confidence import Confidence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..source.annotations import Annotation

#: Folders that hold no code of the project's own; ruff's list.
DEFAULT_EXCLUDE: Final = (
    ".bzr", ".direnv", ".eggs", ".git", ".git-rewrite", ".hg", ".ipynb_checkpoints", ".mypy_cache", ".nox", ".pants.d",
    ".pyenv", ".pytest_cache", ".pytype", ".ruff_cache", ".svn", ".tox", ".venv", ".vscode", "__pypackages__", "_build",
    "buck-out", "build", "dist", "node_modules", "site-packages", "venv",
)  # fmt: skip
#: CL101: whether every call without a group is reported, or those with evidence that it matters.
EXPLICIT_GROUPS: Final = ("always", "evidence")
FILES: Final = ("collectivelint.toml", "pyproject.toml")


class SettingsError(Exception):
    """Configuration that cannot be used: each of `problems` names the file, the line and the key."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Store every error of the configuration."""
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Settings:
    """What applies to a file. `root` is the folder of the configuration file that patterns are relative to."""

    root: Path = field(default_factory=Path.cwd)
    #: The configuration file, if there is one.
    file: Path | None = None
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    extend_select: tuple[str, ...] = ()
    extend_ignore: tuple[str, ...] = ()
    preview: bool = False
    per_file_ignores: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    exclude: tuple[str, ...] = DEFAULT_EXCLUDE
    extend_exclude: tuple[str, ...] = ()
    respect_gitignore: bool = True
    force_exclude: bool = False
    unsafe_fixes: bool = False
    explicit_world: bool = False
    use_group_ops: bool = False
    group: str = ""
    #: What is reported of what is found; the cache, whose key has all other settings in it, keeps everything.
    min_confidence: Confidence = field(default=Confidence.MEDIUM, repr=False)
    explicit_groups: str = field(default=EXPLICIT_GROUPS[-1], repr=False)
    fixable: tuple[str, ...] = ("ALL",)
    unfixable: tuple[str, ...] = ()
    extend_safe_fixes: tuple[str, ...] = ()
    extend_unsafe_fixes: tuple[str, ...] = ()
    baseline: str = ""
    #: Description of a process group -> the members of each group that is called so, as `0-2,5`.
    expected_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: Patterns of names of saved tensors whose values mean something on each rank.
    per_rank_tensors: tuple[str, ...] = ()
    catalog: Mapping[str, Annotation] = field(default_factory=dict)
    #: Catalogue files, each with its text.
    catalog_files: tuple[tuple[str, str], ...] = ()

    def shown(self) -> str:
        """All settings as the lines of a configuration file, and which folder patterns are relative to."""
        lines = [f"# relative to {self.root}"]
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name in ("root", "file", "catalog_files"):
                continue
            if item.name == "catalog":
                lines += [
                    f"# catalog: {name} is {note.kind}{f'[{note.axis}]' * bool(note.axis)}"
                    for name, note in value.items()
                ]
                continue
            lines.append(f"{item.name.replace('_', '-')} = {toml(value)}")
        lines.append(f"catalog-files = {toml([name for name, _ in self.catalog_files])}")
        return "".join(f"{line}\n" for line in lines)


def is_argument(text: str) -> bool:
    """Whether the text can be the whole value of `group=` in a call."""
    import ast

    try:
        call = ast.parse(f"f(group={text})", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not call.args and len(call.keywords) == 1


def toml(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Confidence):
        return toml(value.word)
    if isinstance(value, dict):
        return (
            "{ " + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + " }"
            if value
            else "{}"
        )
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


#: The settings that name rules.
SELECTORS: Final = (
    *(
        "select",
        "ignore",
        "extend_select",
        "extend_ignore",
        "fixable",
        "unfixable",
        "extend_safe_fixes",
        "extend_unsafe_fixes",
    ),
)
