"""Comments that silence findings: `# collectivelint: ignore[CL201] reason`, `ignore-file[...]`, `# noqa: CL201`."""

from __future__ import annotations

import io
import re
import tokenize
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from .source import Source

_IGNORE: Final = re.compile(r"#\s*collectivelint:\s*ignore(?P<file>-file)?(?![\w-])(?:\[(?P<codes>[^\]]*)\])?")
_NOQA: Final = re.compile(r"#\s*noqa:\s*(?P<codes>[A-Z]+[0-9]+(?:[,\s]+[A-Z]+[0-9]+)*)", re.IGNORECASE)


@dataclass(eq=False, slots=True)
class Ignore:
    """One comment: for `codes`, or for `everything` without a list; `used` collects the codes it has silenced."""

    line: int
    column: int
    end_column: int
    codes: tuple[str, ...]
    whole_file: bool
    ours: bool
    everything: bool
    used: set[str] = field(default_factory=set)

    def silences(self, code: str, name: str) -> bool:
        """Does the comment mean this rule? One for all rules does not silence the finding about itself."""
        return (self.everything and code != "CL001") or code in self.codes or name in self.codes


def ignores(source: Source) -> list[Ignore]:
    """All suppressions of a file, in order. Only comments count, not strings that look like them."""
    if "collectivelint:" not in source.text and "noqa" not in source.text.lower():
        return []
    return list(_scan(source))


def _scan(source: Source) -> Iterator[Ignore]:
    try:
        for token in tokenize.generate_tokens(io.StringIO(source.text, newline="").readline):
            if token.type != tokenize.COMMENT:
                continue
            for pattern in (_IGNORE, _NOQA):
                for match in pattern.finditer(token.string):
                    groups = match.groupdict()
                    codes = tuple(re.findall(r"[\w-]+", groups["codes"] or ""))
                    ours = pattern is _IGNORE
                    if not ours and not any(code.upper().startswith("CL") for code in codes):
                        continue
                    start = token.start[1] + match.start()
                    yield Ignore(
                        token.start[0],
                        start,
                        token.start[1] + match.end(),
                        codes if ours else tuple(code.upper() for code in codes),
                        bool(groups.get("file")),
                        ours,
                        ours and groups["codes"] is None,
                    )
    except (tokenize.TokenError, SyntaxError, IndentationError):
        # A file that does not parse has its own finding; what was read so far still counts.
        return


def silenced(found: list[Ignore], code: str, name: str, lines: Collection[int]) -> bool:
    """Is a finding on these lines silenced? Marks the comment that does it as used."""
    for ignore in found:
        if (ignore.whole_file or ignore.line in lines) and ignore.silences(code, name):
            ignore.used |= {code, name}
            return True
    return False
