"""Reads a configuration file: its settings, and every error in it, by line and key."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .. import toml_text
from ..findings.confidence import CONFIDENCES, confidence_of
from ..reading import read_text
from ..source import patterns
from ..source.annotations import configured
from ..spelling import nearest
from .model import EXPLICIT_GROUPS, SELECTORS, Settings, is_argument
from .selection import known_selectors, unknown_selectors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: How each key of the file is read: a list of strings, a table of lists, a flag or a string.
_LISTS: Final = frozenset({*SELECTORS, "exclude", "extend_exclude", "catalog_files", "per_rank_tensors"})
_PATTERNS: Final = frozenset({"exclude", "extend_exclude"})
_STRINGS: Final = frozenset({"group", "baseline", "extend"})
#: Keys that take one of a few words.
_WORDS: Final = {"min_confidence": CONFIDENCES, "explicit_groups": EXPLICIT_GROUPS}
_KEYS: Final = frozenset(item.name for item in fields(Settings)) - {"root", "file"} | {"extend"}
#: Lists that add to those of an extended file.
_ADDED: Final = (
    *("extend_select", "extend_ignore", "extend_exclude", "extend_safe_fixes", "extend_unsafe_fixes"),
    *("catalog_files", "per_rank_tensors"),
)
_TABLES: Final = ("per_file_ignores", "expected_groups", "catalog")


def read(file: Path, below: tuple[Path, ...] = ()) -> tuple[Settings | None, list[str]]:
    """The settings in a file, or None if it has none, and what is wrong with them; wrong keys are left out.

    `below` are the files that lead to this one by `extend`.
    """
    try:
        data, text = toml_text.read(file)
    except toml_text.TomlError as error:
        return None, [str(error)]
    place = Place(file, text, ("tool", "collectivelint") if file.name == "pyproject.toml" else ())
    if file.name == "pyproject.toml":
        tool = data.get("tool", {})
        table = tool.get("collectivelint") if isinstance(tool, dict) else None
        if table is None:
            return None, []
        if not isinstance(table, dict):
            return None, [place.said("[tool.collectivelint] has to be a table")]
    else:
        table = data
    values, problems = _values(place, table)
    settings, wrong = _extended(place, table, below)
    if settings is not None:
        values = {name: _joined(name, getattr(settings, name), value) for name, value in values.items()}
    settings = replace(settings or Settings(), root=file.parent.resolve(), file=file, **values)
    unknown = [
        place.said(f"unknown rule `{selector}`" + suggestion, *keys, value=selector)
        for keys, selector, suggestion in unknown_selectors(replace(Settings(), **values))
    ]
    return known_selectors(settings)[0], [*wrong, *sorted([*problems, *unknown], key=place.line)]


def read_words(text: str) -> tuple[dict[str, Any], list[str]]:
    """The values in a text like `min-confidence = "high"` by name of their setting, and the errors in it."""
    place = Place(Path("--config"), text, ())
    try:
        table = toml_text.parse("--config", text)
    except toml_text.TomlError as error:
        why = str(error).partition(" is not valid TOML: ")[2] or str(error)
        return {}, [
            f"--config: `{text}` is neither a file nor TOML ({why}); write: --config 'min-confidence = \"high\"'"
        ]
    values, problems = _values(place, table)
    if "extend" in table:
        problems.append("--config: `extend` is a key of files only")
    return values, problems


def _extended(place: Place, table: Mapping[str, Any], below: tuple[Path, ...]) -> tuple[Settings | None, list[str]]:
    """The settings of the file that a configuration extends, as seen from its folder, and what is wrong with them."""
    name = table.get("extend")
    if not isinstance(name, str) or not name:
        return None, []
    file = place.file.parent / name.replace("\0", "")
    way = (*below, place.file.resolve())
    if file.resolve() in way:
        return None, [place.said(f"`extend`: {name} leads back to this file", "extend")]
    settings, problems = read(file, way)
    if settings is None and not problems:
        return None, [place.said(f"`extend`: {name} has no [tool.collectivelint]", "extend")]
    if settings is None:
        return None, [place.said(f"`extend`: {problem}", "extend") for problem in problems]
    return moved(settings, place.file.parent.resolve()), problems


def moved(settings: Settings, folder: Path) -> Settings:
    """The settings as if written in this folder: patterns become relative to it, the baseline stays the same file."""
    file = settings.root / settings.baseline
    return replace(settings, root=folder, baseline=os.path.relpath(file, folder) if settings.baseline else "")


def _joined(name: str, before: Any, now: Any) -> Any:
    """The value of a setting, combined with that of the extended file: lists are appended, tables merged."""
    if name in _ADDED:
        return (*before, *now)
    return {**before, **now} if name in _TABLES else now


@dataclass(frozen=True, slots=True)
class Place:
    """A configuration file: `text` is its content, `table` the table that holds collectivelint's keys."""

    file: Path
    text: str
    table: tuple[str, ...]

    def said(self, problem: str, *keys: str, value: str | None = None) -> str:
        """A problem with the file and the line of a key, or of a string among its values."""
        return f"{self.file}:{toml_text.line_of(self.text, (*self.table, *keys), value)}: {problem}"

    def line(self, said: str) -> int:
        """The line that a problem names."""
        return int(said.removeprefix(f"{self.file}:").partition(":")[0])


def _values(place: Place, table: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The valid values by name of their setting, and the errors in the others."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in _KEYS or "_" in key:
            hint = nearest(key.replace("_", "-"), [item.replace("_", "-") for item in _KEYS])
            problems.append(place.said(f"unknown key `{key}`{hint}", key))
        elif name == "catalog" and isinstance(value, dict):
            values[name], wrong = configured(value)
            problems += [place.said(text, key, inner, value=item) for inner, text, item in wrong]
        elif name == "catalog_files" and _is_list(value):
            values[name], unusable = _catalogs(place.file.parent, value)
            problems += [place.said(text, key, value=item) for item, text in unusable]
        elif name == "expected_groups":
            values[name], unclear = _groups(value)
            problems += [place.said(text, key, *inner) for inner, text in unclear]
        elif (expected := _expected(name, value)) is not None:
            problems.append(place.said(f"`{key}` has to be {expected}", key))
        elif name in _PATTERNS:
            wrong_ones = patterns.unusable(value)
            problems += [place.said(f"`{key}`: {patterns.said(item)}", key, value=item) for item in wrong_ones]
            values[name] = tuple(item for item in value if item not in wrong_ones)
        elif name in _LISTS:
            values[name] = tuple(value)
        elif name == "min_confidence":
            values[name] = confidence_of(value)
        elif name == "per_file_ignores":
            wrong_ones = patterns.unusable(value)
            problems += [place.said(f"`{key}`: {patterns.said(item)}", key, item) for item in wrong_ones]
            values[name] = {item: tuple(codes) for item, codes in value.items() if item not in wrong_ones}
        else:
            values[name] = value
    values.pop("extend", None)
    return values, problems


def _expected(name: str, value: object) -> str | None:
    """What the value of a key must be, in words; None if it is valid."""
    if name in _LISTS:
        return None if _is_list(value) else "a list of strings"
    if name == "per_file_ignores":
        fits = isinstance(value, dict) and all(_is_list(item) for item in value.values())
        return None if fits else 'a table of lists: { "tests/*" = ["CL101"] }'
    if name == "catalog":
        return "a table"
    if name == "group" and isinstance(value, str) and value and not is_argument(value):
        return f"one Python expression, and `{value}` is not"
    if name in _WORDS:
        return None if value in _WORDS[name] else _one_of(value, _WORDS[name])
    if name in _STRINGS:
        return None if isinstance(value, str) else "a string"
    return None if isinstance(value, bool) else "true or false"


def _one_of(value: object, words: Sequence[str]) -> str:
    """`"a", "b" or "c"`, and the one nearest to a misspelt word."""
    listed = [f'"{word}"' for word in words]
    return f"{', '.join(listed[:-1])} or {listed[-1]}" + nearest(str(value), words)


#: `0-2,5`
_RANKS: Final = re.compile(r"\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*")


def _is_ranks(spec: str) -> bool:
    """Whether these are ranks, and each range is ascending."""
    if _RANKS.fullmatch(spec) is None:
        return False
    ranges = (part.partition("-") for part in spec.split(","))
    return all(not last or int(first) <= int(last) for first, _, last in ranges)


def _groups(value: object) -> tuple[dict[str, tuple[str, ...]], list[tuple[tuple[str, ...], str]]]:
    """The ranks of each valid group, and (keys, message) for the others."""
    if not isinstance(value, dict):
        return {}, [((), '`expected-groups` has to be a table: { training = "0-2", dp = ["0,2", "1,3"] }')]
    found: dict[str, tuple[str, ...]] = {}
    problems: list[tuple[tuple[str, ...], str]] = []
    for name, ranks in value.items():
        specs = [ranks] if isinstance(ranks, str) else ranks
        if _is_list(specs) and specs and all(map(_is_ranks, specs)):
            found[name] = tuple(specs)
        else:
            text = f'`expected-groups`: ranks of `{name}` have to be like "0-2,5", or a list of such'
            problems.append(((name,), text))
    return found, problems


def _catalogs(folder: Path, names: list[str]) -> tuple[tuple[tuple[str, str], ...], list[tuple[str, str]]]:
    """The text of each catalogue file that can be read, and (name, message) for the others."""
    from ..catalog.reader import load
    from ..catalog.schema import CatalogError

    found: list[tuple[str, str]] = []
    problems: list[tuple[str, str]] = []
    for name in names:
        try:
            text = read_text(folder / name)
            load(((name, text),))
        except CatalogError as error:
            problems += [(name, f"`catalog-files`: {problem}") for problem in error.problems]
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            problems.append((name, f"`catalog-files`: {name}: {reason}"))
        else:
            found.append((str(folder / name), text))
    return tuple(found), problems


def _is_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
