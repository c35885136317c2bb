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

## Options
- `exclude`, `extend-exclude`: patterns of files to exclude.

## References
- [Encoding declarations](https://docs.python.org/3/reference/lexical_analysis.html#encoding-declarations)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import Report, Rule, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Findings

RULE: Final = Rule("CL000", "unreadable-file", "a file that cannot be read, decoded or parsed")


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each file that was given and could not be analysed."""
    for path, error in findings.unreadable:
        column = error.column - 1
        span = Span(error.line, column, error.line, column)
        yield Report(path, span, span, "", error.message, "error")
