"""Reports a file that cannot be read, decoded or parsed.

## What it does
Names the file, the position and the reason: a syntax error, bytes that are invalid in the encoding, a missing
permission, a symbolic link to itself, a path that is not a file (a pipe, a socket, a device), a file of more than 5
MB. All other files are still linted.

## Why is this bad
A file that cannot be parsed is not checked, and a skipped file would look like a clean one. The rule therefore always
runs: `select`, `ignore` and `per-file-ignores` do not apply to it, and neither comments nor baselines suppress it.

## Use instead
Fix the file, or exclude it with `extend-exclude`.

## Confidence
High, but low where the file can be read and names no library that the catalogue knows: nothing about ranks is missed in it, and
other tools say that it is no Python. Low, too, for a template, whose path or whose line has `{{` in it, and for what prints as
Python 2 does.

## Options
- `exclude`, `extend-exclude`: patterns of files to exclude.

## References
- [Encoding declarations](https://docs.python.org/3/reference/lexical_analysis.html#encoding-declarations)
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final

from collectivelint.api import Confidence, Report, Rule, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Findings

RULE: Final = Rule("CL000", "unreadable-file", "a file that cannot be read, decoded or parsed")

#: What a template begins a placeholder with.
_TEMPLATE: Final = "{{"
#: What Python says of a statement of Python 2.
_OLD: Final = "Missing parentheses in call to"


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each file that was given and could not be analysed."""
    if not findings.unreadable:
        return
    packages = {name.partition(".")[0] for name in findings.analysis.catalog.apis} - sys.stdlib_module_names
    known = re.compile(rf"\b(?:{'|'.join(sorted(packages))})\b".encode())
    for path, error in findings.unreadable:
        column = error.column - 1
        span = Span(error.line, column, error.line, column)
        content = findings.content(path)
        is_meant = bool(content) and (
            known.search(content) is None
            or _TEMPLATE in path
            or _TEMPLATE.encode() in b"".join(content.splitlines()[error.line - 1 : error.line])
            or _OLD in error.message
        )
        confidence = Confidence.LOW if is_meant else Confidence.HIGH
        yield Report(path, span, span, "", error.message, "error", confidence=confidence)
