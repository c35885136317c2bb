"""How findings are shown: one module for each format, all with the same function."""

from __future__ import annotations

import importlib
import json
import os
import re
from typing import TYPE_CHECKING, Final

from .remedy import applied

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..engine import Linter, Result

#: The formats, by the name of their module. Each has `render(result, linter, colour=..., fixed=...) -> str`.
FORMATS: Final = ("text", "concise", "json", "json-lines", "sarif", "github", "gitlab", "junit", "html")


_OTHER: Final = re.compile(r"[^\x00-\x7e]")
LONGEST_LINE: Final = 300
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
#: Those that services read to mark lines of files; for them a notebook is a file of JSON.
_OF_FILES: Final = frozenset({"sarif", "github", "gitlab"})


def renderer(name: str) -> Callable[..., str]:
    """The `render` function of a format; only that module is imported."""
    module = importlib.import_module(f".{'json_' if name == 'json' else name.replace('-', '_')}", __name__)

    def render(result: Result, linter: Linter, *, colour: bool, fixed: int = 0) -> str:
        from .cells import placed

        shown, lines = placed(result, linter, as_file=name in _OF_FILES)
        text: str = module.render(shown, lines, colour=colour, fixed=fixed)
        return text

    return render


def quoted(line: str) -> str:
    """A line as reports quote it: a generated one may be as long as its file, and is quoted for every step in it."""
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 3]}..."


def relative(path: str) -> str:
    """A path as services want it: relative to the current folder, with slashes."""
    return os.path.relpath(path).replace(os.sep, "/")


def dumps(data: object, *, indent: int | None = None) -> str:
    """JSON in ASCII that every reader takes: half a surrogate pair, which JSON cannot hold, is a replacement character."""
    text = json.dumps(data, indent=indent, ensure_ascii=False)
    return _OTHER.sub(lambda match: json.dumps(_SURROGATE.sub("\ufffd", match.group()))[1:-1], text)


def summary(result: Result, fixed: int = 0) -> str:
    """The last line: how much was found, and what `--fix` could do."""
    text = _counts(result, fixed)
    return f"{text} {failure(result)}".strip() if result.incomplete else text


def failure(result: Result) -> str:
    """A sentence that says why the findings are not all there are, or nothing."""
    return f"The run failed: {result.incomplete}." if result.incomplete else ""


def _counts(result: Result, fixed: int) -> str:
    count = len(result.findings)
    parts = []
    if fixed:
        parts.append(f"Fixed {fixed} finding{'s' * (fixed != 1)}.")
    if not count and not result.files:
        return "Nothing was checked."
    if not count and result.incomplete:
        return " ".join(parts)
    files = result.files - result.missed
    if not count:
        parts.append(f"No findings in {files} file{'s' * (files != 1)}." if not fixed else "None left.")
        return " ".join(parts)
    parts.append(f"Found {count} finding{'s' * (count != 1)} in {files} file{'s' * (files != 1)}.")
    able = [fix for finding in result.findings if (fix := applied(finding)) is not None]
    safe = sum(fix.applicability == "safe" for fix in able)
    unsafe = sum(fix.applicability == "unsafe" for fix in able)
    if safe:
        parts.append(f"{safe} fixable with `--fix`.")
    if unsafe:
        parts.append(f"{unsafe}{' more' * bool(safe)} fixable with `--fix --unsafe-fixes`.")
    return " ".join(parts)
