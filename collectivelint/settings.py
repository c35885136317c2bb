"""Configuration: `[tool.collectivelint]` in pyproject.toml or collectivelint.toml, the nearest one wins."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .selectors import is_selector, matches, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .finding import Fix
    from .rule_id import Rule
    from .source.annotations import Annotation

#: Folders that hold no code of the project's own; ruff's list.
DEFAULT_EXCLUDE: Final = (
    ".bzr", ".direnv", ".eggs", ".git", ".git-rewrite", ".hg", ".ipynb_checkpoints", ".mypy_cache", ".nox", ".pants.d",
    ".pyenv", ".pytest_cache", ".pytype", ".ruff_cache", ".svn", ".tox", ".venv", ".vscode", "__pypackages__", "_build",
    "buck-out", "build", "dist", "node_modules", "site-packages", "venv",
)  # fmt: skip
FILES: Final = ("collectivelint.toml", "pyproject.toml")


class SettingsError(Exception):
    """Configuration that cannot be used: each of `problems` names the file, the line and the key."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Everything that is wrong with it."""
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
    per_file_ignores: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    exclude: tuple[str, ...] = DEFAULT_EXCLUDE
    extend_exclude: tuple[str, ...] = ()
    respect_gitignore: bool = True
    force_exclude: bool = False
    unsafe_fixes: bool = False
    explicit_world: bool = False
    use_group_ops: bool = False
    group: str = ""
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

    def runs(self, rule: Rule) -> bool:
        """Is the rule switched on? As in ruff, the more specific of `select` and `ignore` wins."""
        chosen = _weight(rule, (*self.select, *self.extend_select))
        if not self.select and rule.default:
            chosen = max(chosen, 0)
        return chosen > _weight(rule, self.ignore)

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
            lines.append(f"{item.name.replace('_', '-')} = {_toml(value)}")
        lines.append(f"catalog-files = {_toml([name for name, _ in self.catalog_files])}")
        return "".join(f"{line}\n" for line in lines)

    def allowed(self, rule: Rule, fix: Fix) -> Fix | None:
        """The fix of a rule as far as the settings want it: not at all, or safer or less safe than the rule says."""
        if _weight(rule, self.fixable) <= _weight(rule, self.unfixable):
            return None
        if fix.applicability == "safe" and _weight(rule, self.extend_unsafe_fixes) >= 0:
            return replace(fix, applicability="unsafe")
        safer = _weight(rule, self.extend_safe_fixes) > _weight(rule, self.extend_unsafe_fixes)
        return replace(fix, applicability="safe") if fix.applicability == "unsafe" and safer else fix


def is_argument(text: str) -> bool:
    """Can the text stand behind `group=` in a call, and be all of it?"""
    import ast

    try:
        call = ast.parse(f"f(group={text})", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not call.args and len(call.keywords) == 1


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return (
            "{ " + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + " }"
            if value
            else "{}"
        )
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def _weight(rule: Rule, selectors: tuple[str, ...]) -> int:
    """How specific the selector is that means this rule; -1 if none does."""
    return max((_specific(item, rule) for item in selectors if matches(item, rule)), default=-1)


def _specific(selector: str, rule: Rule) -> int:
    """`ALL` is the vaguest selector, then shorter prefixes; a name is as good as a full code."""
    return 0 if selector == "ALL" else len(selector) if rule.code.startswith(selector) else len(rule.code)


#: The settings that name rules.
SELECTORS: Final = (
    *("select", "ignore", "extend_select", "fixable", "unfixable", "extend_safe_fixes", "extend_unsafe_fixes"),
)


def known_selectors(settings: Settings) -> tuple[Settings, list[str]]:
    """The settings without selectors that mean no rule, and a message for each of those."""
    wrong = list(unknown_selectors(settings))
    if not wrong:
        return settings, []
    unknown = {selector for _, selector, _ in wrong}

    def known(selectors: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(selector for selector in selectors if selector not in unknown)

    checked = replace(
        settings,
        **{name: known(getattr(settings, name)) for name in SELECTORS},  # type: ignore[arg-type]  # lists of strings
        per_file_ignores={pattern: known(codes) for pattern, codes in settings.per_file_ignores.items()},
    )
    return checked, [f"unknown rule `{selector}`{suggestion}" for _, selector, suggestion in wrong]


def unknown_selectors(settings: Settings) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Each selector that means no rule: the keys it stands under, itself, and what may be meant."""
    from .registry import rules

    given: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
        ((name.replace("_", "-"),), getattr(settings, name)) for name in SELECTORS
    ]
    given += [(("per-file-ignores", pattern), codes) for pattern, codes in settings.per_file_ignores.items()]
    for keys, selectors in given:
        for selector in selectors:
            # Rules are imported only for a selector that may be none of them.
            if selector != "ALL" and not is_selector(selector, rules()):
                yield keys, selector, suggestion(selector, rules())


class Resolver:
    """Finds the settings of each file; remembers them per folder, and every problem once."""

    def __init__(self, overrides: Mapping[str, Any] | None = None, *, isolated: bool = False) -> None:
        """`overrides` come from the command line and win; `isolated` ignores all configuration files."""
        self.problems: list[str] = []
        self._overrides = dict(overrides or {})
        self._isolated = isolated
        self._by_folder: dict[Path, Settings] = {}

    def settings(self, path: Path) -> Settings:
        """What applies to a file or folder."""
        folder = path if path.is_dir() else path.parent
        return self._of(folder.resolve())

    def settings_in(self, folder: str) -> Settings:
        """What applies to the files of a folder."""
        return self._of(Path(folder).resolve())

    def names(self, setting: str) -> bool:
        """Is there a value for this setting in any of the configurations that were found?"""
        return any(getattr(settings, setting) for settings in self._by_folder.values())

    def _of(self, folder: Path) -> Settings:
        if folder not in self._by_folder:
            found: Settings | None = None
            if not self._isolated:
                from .config_file import read

                for name in FILES:
                    # os.path says no where Path would raise: a folder that may not be entered has no settings.
                    if found is None and os.path.exists(folder / name) and not os.path.isdir(folder / name):
                        found, problems = read(folder / name)
                        self.problems += problems
            if found is not None or folder.parent == folder or self._isolated:
                found, problems = known_selectors(replace(found or Settings(), **self._overrides))
                self.problems += [problem for problem in problems if problem not in self.problems]
                self._by_folder[folder] = found
            else:
                self._by_folder[folder] = self._of(folder.parent)
        return self._by_folder[folder]
