"""Comments that silence findings.

`# collectivelint: ignore[CL201] reason` and `# noqa: CL201` apply to their line, `ignore-file[CL201]` to the file, and
`disable[CL201]` to what follows it, up to `enable[CL201]` or the end of the file.

Comments of other linters mean the same as in ruff: a bare `# noqa` applies to all rules on its line, `# ruff: noqa` and
`# flake8: noqa` on a line of their own to the whole file, each with codes only to these.
"""

from __future__ import annotations

import re
import tokenize
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ..source.tokens import tokens

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ..source.text import Source

#: A list without its bracket silences nothing: what was meant to be one rule must not become all of them.
_IGNORE: Final = re.compile(
    r"#\s*collectivelint:\s*(?P<kind>ignore-file|ignore|disable|enable)(?![\w-])(?:\s*\[(?P<codes>[^\[\]#]*)(?P<end>\])?)?"
)
#: A colon without codes behind it silences nothing: a misspelt code must not silence everything.
_CODES: Final = r"(?:\s*:\s*(?P<codes>[A-Z]+[0-9]+(?:[,\s]+[A-Z]+[0-9]+)*)(?![\w-])|(?!\s*:)(?![\w-]))"
#: Every comment of other linters has this in it.
_MENTIONED: Final = re.compile(r"#\s*(?:(?:ruff|flake8)\s*:\s*)?noqa", re.IGNORECASE)
_NOQA: Final = re.compile(rf"#\s*noqa{_CODES}", re.IGNORECASE)
_NOQA_FILE: Final = re.compile(rf"#\s*(?:ruff|flake8)\s*:\s*noqa{_CODES}", re.IGNORECASE)


@dataclass(eq=False, slots=True)
class Ignore:
    """One comment: for `codes`, or for `everything` without a list; `used` collects the codes it has silenced.

    `kind`: "ignore", "ignore-file", "disable" or "enable". `ends` maps a code to the line where an `enable` ends its
    `disable`; "" stands for all codes. `unclosed`: the list of codes has no closing bracket, so the comment is invalid.
    """

    line: int
    column: int
    end_column: int
    codes: tuple[str, ...]
    kind: str
    ours: bool
    everything: bool
    unclosed: bool = False
    ends: dict[str, int] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def silences(self, code: str, name: str) -> bool:
        """Whether the comment names this rule. One of ours for all rules does not silence CL001, which is about it."""
        return (self.everything and not (self.ours and code == "CL001")) or code in self.codes or name in self.codes

    def covers(self, code: str, name: str, lines: Collection[int]) -> bool:
        """Whether the comment applies to one of these lines."""
        if self.kind == "ignore-file":
            return True
        if self.kind == "disable":
            end = min((self.ends[what] for what in (code, name, "") if what in self.ends), default=None)
            return any(self.line <= line and (end is None or line < end) for line in lines)
        return self.kind == "ignore" and self.line in lines

    def closed(self, other: Ignore) -> bool:
        """End the codes of this `disable` that the `enable` comment `other` names; returns whether there were any."""
        if self.kind != "disable" or "" in self.ends:
            return False
        meant = ("",) if other.everything else other.codes
        taken = [code for code in meant if other.everything or self.everything or code in self.codes]
        taken = [code for code in taken if code not in self.ends]
        self.ends |= dict.fromkeys(taken, other.line)
        return bool(taken)


def has_own(source: Source) -> bool:
    """Whether a text may contain a collectivelint comment."""
    return "collectivelint:" in source.text


def ignores(source: Source) -> list[Ignore]:
    """All suppressions of a file, in order. Only comments count, not strings that look like them."""
    if not has_own(source) and _MENTIONED.search(source.text) is None:
        return []
    found: list[Ignore] = []
    for ignore in _scan(source):
        if ignore.kind == "enable" and sum(earlier.closed(ignore) for earlier in found):
            # It belongs to the comment that it ends; one that ends nothing stays, and is found to be of no use.
            continue
        found.append(ignore)
    return found


def _scan(source: Source) -> Iterator[Ignore]:
    for token in tokens(source):
        if token.type != tokenize.COMMENT:
            continue
        for pattern in (_IGNORE, _NOQA, _NOQA_FILE):
            if pattern is _NOQA_FILE and token.line[: token.start[1]].strip():
                # Behind code it is taken for one about the line, and means nothing in ruff either.
                continue
            for match in pattern.finditer(token.string):
                yield _ignore(match, token.start, ours=pattern is _IGNORE, whole=pattern is _NOQA_FILE)


def _ignore(match: re.Match[str], start: tuple[int, int], *, ours: bool, whole: bool) -> Ignore:
    line, column = start
    unclosed = ours and match["codes"] is not None and match["end"] is None
    codes = () if unclosed else tuple(re.findall(r"[\w-]+", match["codes"] or ""))
    return Ignore(
        line,
        column + match.start(),
        column + match.end(),
        codes if ours else tuple(code.upper() for code in codes),
        match["kind"] if ours else "ignore-file" if whole else "ignore",
        ours,
        match["codes"] is None,
        unclosed,
    )


def silenced(found: list[Ignore], code: str, name: str, lines: Collection[int]) -> bool:
    """Whether a finding on these lines is silenced; marks the comment as used, preferring collectivelint's own."""
    for ignore in sorted(found, key=lambda ignore: not ignore.ours):
        if ignore.silences(code, name) and ignore.covers(code, name, lines):
            ignore.used |= {code, name}
            return True
    return False
