"""The keys of a configuration, with what they mean: for `collectivelint config`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .model import DEFAULT_EXCLUDE, Settings, toml

#: Key -> type and meaning, as the documentation lists them.
_KEYS: Final = {
    "extend": ("string", "another configuration file that this one adds to, relative to this one"),
    "select": ("list of rules", "run these rules, and no others"),
    "extend-select": ("list of rules", "run these rules in addition to the selected ones"),
    "ignore": ("list of rules", "do not run these rules"),
    "extend-ignore": ("list of rules", "do not run these rules either, in addition to `ignore`"),
    "preview": ("boolean", "run rules that are new, and may still change"),
    "per-file-ignores": ("table of lists", "patterns of files, each with the rules that do not run there"),
    "exclude": ("list of patterns", "files and folders that are left out"),
    "extend-exclude": ("list of patterns", "files and folders that are left out in addition to `exclude`"),
    "respect-gitignore": ("boolean", "leave out what git ignores"),
    "force-exclude": ("boolean", "leave out excluded files also where they are named on the command line"),
    "fixable": ("list of rules", "fix findings of these rules"),
    "unfixable": ("list of rules", "do not fix findings of these rules"),
    "unsafe-fixes": ("boolean", "show and apply unsafe fixes"),
    "extend-safe-fixes": ("list of rules", "rules whose unsafe fixes count as safe"),
    "extend-unsafe-fixes": ("list of rules", "rules whose safe fixes count as unsafe"),
    "min-confidence": (
        "`high`, `medium` or `low`",
        "report findings of this confidence and above: `high`, `medium` or `low`",
    ),
    "explicit-groups": (
        "`always` or `evidence`",
        "CL101: `always` lists every call without a group, `evidence` those with a reason to have one",
    ),
    "explicit-world": ("boolean", "CL101: name the default group where no group is in reach"),
    "group": ("string", "CL101: the expression to write, for all calls"),
    "use-group-ops": ("boolean", "CL101: write `GroupOps(group).barrier()` instead of `dist.barrier(group=group)`"),
    "baseline": ("string", "a file of known findings, relative to the configuration"),
    "expected-groups": ("table of ranks", "the process groups a traced job should have"),
    "per-rank-tensors": ("list of patterns", "patterns of saved tensors whose values belong to a rank"),
    "catalog": ("table", "what functions and classes of your program do"),
    "catalog-files": ("list of files", "files with rows of the catalogue"),
}


@dataclass(frozen=True, slots=True)
class Option:
    """A key of the configuration; `default` is TOML."""

    key: str
    type: str
    default: str
    text: str


def options() -> list[Option]:
    """All keys, in the order of the documentation."""
    return [Option(key, kind, _default(key), text) for key, (kind, text) in _KEYS.items()]


def _default(key: str) -> str:
    value = getattr(Settings(), key.replace("-", "_"), "")
    return toml(list(DEFAULT_EXCLUDE) if key == "exclude" else value)
