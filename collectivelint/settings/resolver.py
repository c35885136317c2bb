"""The settings of each file: `[tool.collectivelint]` in pyproject.toml or collectivelint.toml, the nearest one wins."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config_file import moved, read
from .model import FILES, Settings
from .selection import known_selectors

if TYPE_CHECKING:
    from collections.abc import Mapping


class Resolver:
    """Finds the settings of each file; remembers them per folder, and every problem once."""

    def __init__(
        self,
        overrides: Mapping[str, Any] | None = None,
        *,
        isolated: bool = False,
        more: Mapping[str, tuple[str, ...]] | None = None,
        file: Path | None = None,
    ) -> None:
        """`overrides` come from the command line and win; `isolated` ignores all configuration files.

        `more` adds to lists of the configuration. `file` stands for all configuration files, as if it lay in the current folder.
        """
        self.problems: list[str] = []
        self._overrides = dict(overrides or {})
        self._isolated = isolated
        self._more = dict(more or {})
        #: Their patterns are relative to the current folder, which `--diff-base` changes for a while.
        self._defaults = Settings()
        self._by_folder: dict[Path, Settings] = {}
        if file is not None:
            self._isolated = True
            found, problems = read(file)
            self.problems += problems or ([f"{file}: has no [tool.collectivelint]"] if found is None else [])
            self._defaults = moved(found, Path.cwd()) if found is not None else self._defaults

    def settings(self, path: Path) -> Settings:
        """What applies to a file or folder."""
        folder = path if os.path.isdir(path) else path.parent
        return self._of(folder.resolve())

    def settings_in(self, folder: str) -> Settings:
        """What applies to the files of a folder."""
        return self._of(Path(folder).resolve())

    def names(self, setting: str) -> bool:
        """Whether any of the configurations found so far sets this setting."""
        return any(getattr(settings, setting) for settings in self._by_folder.values())

    def _of(self, folder: Path) -> Settings:
        if folder not in self._by_folder:
            found: Settings | None = None
            if not self._isolated:
                for name in FILES:
                    # os.path says no where Path would raise: a folder that may not be entered has no settings.
                    if found is None and os.path.exists(folder / name) and not os.path.isdir(folder / name):
                        found, problems = read(folder / name)
                        self.problems += problems
            if found is not None or folder.parent == folder or self._isolated:
                found = replace(found or self._defaults, **self._overrides)
                added = {name: (*getattr(found, name), *values) for name, values in self._more.items()}
                found, problems = known_selectors(replace(found, **added))  # type: ignore[arg-type]  # lists of strings
                self.problems += [problem for problem in problems if problem not in self.problems]
                self._by_folder[folder] = found
            else:
                self._by_folder[folder] = self._of(folder.parent)
        return self._by_folder[folder]
