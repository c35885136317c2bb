"""Applying fixes to files: non-overlapping edits, a result that must parse, one atomic write."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .. import atomic
from ..reading import limit_of, read_bytes
from ..source.decode import decode
from ..source.parse import parse
from ..source.text import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..finding import Edit, Finding
    from ..source.text import Source


class FixError(Exception):
    """A file that was left as it is; the message says why."""


def select(findings: Iterable[Finding], *, unsafe: bool) -> list[Finding]:
    """The findings whose fixes can be applied together: of fixes that edit the same text the first one wins.

    The same new line in two of them, such as an import that both need, is no conflict.
    """
    chosen: list[Finding] = []
    taken: list[Edit] = []
    for finding in findings:
        fix = finding.fix
        if fix is None or not fix.edits or fix.applicability == "display":
            continue
        if fix.applicability == "unsafe" and not unsafe:
            continue
        if all(
            edit.end < other.start or edit.start > other.end or (edit == other and edit.content.endswith("\n"))
            for edit in fix.edits
            for other in taken
        ):
            chosen.append(finding)
            taken += fix.edits
    return chosen


def fixed(source: Source, edits: Iterable[Edit]) -> str:
    """The text with the edits applied; raise FixError if it does not parse any more."""
    text = source.text
    for edit in sorted(dict.fromkeys(edits), key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.content + text[edit.end :]
    try:
        parse(replace(source, text=text))
    except UnreadableError as error:
        raise FixError(
            f"{source.path}: not fixed, the result would not parse (line {error.line}: {error.message})"
        ) from None
    return text


def applicable(source: Source, findings: list[Finding]) -> tuple[list[Finding], list[FixError]]:
    """The findings whose fixes can be applied together; one that breaks the file is dropped, with its error."""

    def edits(some: Iterable[Finding]) -> list[Edit]:
        return [edit for finding in some if finding.fix is not None for edit in finding.fix.edits]

    try:
        fixed(source, edits(findings))
    except FixError:
        kept: list[Finding] = []
        errors: list[FixError] = []
        for finding in findings:
            try:
                fixed(source, edits([*kept, finding]))
            except FixError as error:
                errors.append(error)
            else:
                kept.append(finding)
        return kept, errors
    return findings, []


def encoded(source: Source, text: str) -> bytes:
    """The bytes of the fixed file; raise FixError if its encoding cannot express them."""
    try:
        return source.encode(text)
    except UnicodeEncodeError as error:
        raise FixError(f"{source.path}: not fixed, {error.encoding} cannot express the result") from None


def write(path: Path, source: Source, text: str) -> None:
    """Replace the file's content at once, mode kept, links followed; raise FixError if it changed since it was read."""
    # Resolved once: what is compared is what is written, whatever becomes of the link meanwhile.
    target = Path(os.path.realpath(path))
    data = encoded(source, text)
    try:
        now = read_bytes(target, limit_of(path))
        if now != source.encode(source.text):
            raise FixError(f"{source.path}: not fixed, {_difference(source, now)}")
        atomic.write(target, data, follow=False)
    except OSError as error:
        raise FixError(f"{source.path}: not fixed, {error.strerror or error}") from None


def _difference(source: Source, now: bytes) -> str:
    """Why the bytes of a file differ from its encoded text: it has changed, or its encoding is ambiguous."""
    try:
        if decode(now, source.path) == source:
            return f"{source.encoding} would not give back the rest of the file as it is"
    except UnreadableError:
        pass
    return "the file changed while it was being linted"
