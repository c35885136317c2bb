"""Configuration: `[tool.collectivelint]` in pyproject.toml or collectivelint.toml, the nearest one wins."""

from __future__ import annotations

import difflib
import json
import os
import re
import sys
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from .annotations import configured

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .annotations import Annotation
    from .finding import Fix
    from .rule import Rule

#: Folders that hold no code of the project's own; ruff's list.
DEFAULT_EXCLUDE: Final = (
    ".bzr", ".direnv", ".eggs", ".git", ".git-rewrite", ".hg", ".ipynb_checkpoints", ".mypy_cache", ".nox", ".pants.d",
    ".pyenv", ".pytest_cache", ".pytype", ".ruff_cache", ".svn", ".tox", ".venv", ".vscode", "__pypackages__", "_build",
    "buck-out", "build", "dist", "node_modules", "site-packages", "venv",
)  # fmt: skip
FILES: Final = ("collectivelint.toml", "pyproject.toml")


class SettingsError(Exception):
    """Configuration that cannot be used; the message names the file and what to do."""


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
    from .rule import matches

    return max((_specific(item, rule) for item in selectors if matches(item, rule)), default=-1)


def _specific(selector: str, rule: Rule) -> int:
    """`ALL` is the vaguest selector, then shorter prefixes; a name is as good as a full code."""
    return 0 if selector == "ALL" else len(selector) if rule.code.startswith(selector) else len(rule.code)


#: How each key of the file is read: a list of strings, a table of lists, a flag or a string.
_SELECTORS: Final = (
    *("select", "ignore", "extend_select", "fixable", "unfixable", "extend_safe_fixes", "extend_unsafe_fixes"),
)
_LISTS: Final = frozenset({*_SELECTORS, "exclude", "extend_exclude", "catalog_files", "per_rank_tensors"})
_STRINGS: Final = frozenset({"group", "baseline"})
_KEYS: Final = frozenset(item.name for item in fields(Settings)) - {"root", "file"}


def read(file: Path) -> tuple[Settings | None, list[str]]:
    """The settings in a file, or None if it has none, and what is wrong with them; wrong keys are left out."""
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return None, [f"{file}: {error}"]
    if file.name == "pyproject.toml":
        table = data.get("tool", {}).get("collectivelint")
        if table is None:
            return None, []
        if not isinstance(table, dict):
            return None, [f"{file}: [tool.collectivelint] has to be a table"]
    else:
        table = data
    return _parse(file, table)


def _parse(file: Path, table: Mapping[str, Any]) -> tuple[Settings, list[str]]:
    values: dict[str, Any] = {}
    problems: list[str] = []
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in _KEYS or "_" in key:
            near = difflib.get_close_matches(key.replace("_", "-"), [item.replace("_", "-") for item in _KEYS], 1, 0.5)
            problems.append(f"{file}: unknown key `{key}`" + (f"; did you mean `{near[0]}`?" if near else ""))
            continue
        if name == "catalog" and isinstance(value, dict):
            values[name], wrong = configured(value)
            problems += [f"{file}: {problem}" for problem in wrong]
            continue
        if name == "catalog_files" and _is_list(value):
            values[name], wrong = _catalogs(file.parent, value)
            problems += [f"{file}: {problem}" for problem in wrong]
            continue
        if name == "catalog":
            problems.append(f"{file}: `catalog` has to be a table")
            continue
        if name == "expected_groups":
            values[name], wrong = _groups(value)
            problems += [f"{file}: {problem}" for problem in wrong]
            continue
        expected = "a list of strings" if name in _LISTS else "a table of lists" if name == "per_file_ignores" else ""
        if name in _LISTS and _is_list(value):
            values[name] = tuple(value)
        elif name == "per_file_ignores" and isinstance(value, dict) and all(_is_list(item) for item in value.values()):
            values[name] = {pattern: tuple(codes) for pattern, codes in value.items()}
        elif not expected and isinstance(value, str if name in _STRINGS else bool):
            values[name] = value
        else:
            expected = expected or ("a string" if name in _STRINGS else "true or false")
            problems.append(f"{file}: `{key}` has to be {expected}")
    settings = replace(Settings(root=file.parent.resolve(), file=file), **values)
    settings, unknown = known_selectors(settings)
    return settings, problems + [f"{file}: {problem}" for problem in unknown]


#: `0-2,5`
_RANKS: Final = re.compile(r"\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*")


def _groups(value: object) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """The ranks of each group that can be used, and what is wrong with the others."""
    if not isinstance(value, dict):
        return {}, ['`expected-groups` has to be a table: { training = "0-2", dp = ["0,2", "1,3"] }']
    found: dict[str, tuple[str, ...]] = {}
    problems: list[str] = []
    for name, ranks in value.items():
        specs = [ranks] if isinstance(ranks, str) else ranks
        if _is_list(specs) and specs and all(_RANKS.fullmatch(spec) for spec in specs):
            found[name] = tuple(specs)
        else:
            problems.append(f'`expected-groups`: ranks of `{name}` have to be like "0-2,5", or a list of such')
    return found, problems


def _catalogs(folder: Path, names: list[str]) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """The text of each catalogue file that can be used, and what is wrong with the others."""
    from .catalog import load
    from .catalog_format import CatalogError

    found: list[tuple[str, str]] = []
    problems: list[str] = []
    for name in names:
        try:
            text = (folder / name).read_text(encoding="utf-8")
            load(((name, text),))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            problems.append(f"`catalog-files`: {name}: {reason}")
        except CatalogError as error:
            problems.append(f"`catalog-files`: {error}")
        else:
            found.append((str(folder / name), text))
    return tuple(found), problems


def _is_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def known_selectors(settings: Settings) -> tuple[Settings, list[str]]:
    """The settings without selectors that mean no rule, and a message for each of those."""
    from .rule import is_selector, suggestion

    problems: list[str] = []

    def known(selectors: tuple[str, ...]) -> tuple[str, ...]:
        kept = []
        for selector in selectors:
            if is_selector(selector):
                kept.append(selector)
                continue
            problems.append(f"unknown rule `{selector}`" + suggestion(selector))
        return tuple(kept)

    checked = replace(
        settings,
        **{name: known(getattr(settings, name)) for name in _SELECTORS},  # type: ignore[arg-type]  # lists of strings
        per_file_ignores={pattern: known(codes) for pattern, codes in settings.per_file_ignores.items()},
    )
    return checked, problems


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

    def _of(self, folder: Path) -> Settings:
        if folder not in self._by_folder:
            found: Settings | None = None
            if not self._isolated:
                for name in FILES:
                    # os.path says no where Path would raise: a folder that may not be entered has no settings.
                    if found is None and os.path.isfile(folder / name):
                        found, problems = read(folder / name)
                        self.problems += problems
            if found is not None or folder.parent == folder or self._isolated:
                found, problems = known_selectors(replace(found or Settings(), **self._overrides))
                self.problems += [problem for problem in problems if problem not in self.problems]
                self._by_folder[folder] = found
            else:
                self._by_folder[folder] = self._of(folder.parent)
        return self._by_folder[folder]
