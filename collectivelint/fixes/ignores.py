"""Comments that silence findings: `# collectivelint: ignore[CL201] reason` behind the line."""

from __future__ import annotations

import tokenize
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from ..findings.anchor import edit
from ..findings.suppress import ignores
from ..source.tokens import tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..finding import Edit, Finding
    from ..source.text import Source

_NOT_CODE: Final = frozenset({tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT})


def with_ignores(source: Source, findings: Sequence[Finding], reason: str) -> tuple[list[Edit], int]:
    """The edits that silence these findings, and how many they silence.

    A line with such a comment gets its codes added there. If a line ends inside a string, or with a backslash, the
    comment is put at the end of the finding instead.
    """
    ends = _ends(source)
    wanted: defaultdict[int, list[str]] = defaultdict(list)
    count = 0
    for finding in findings:
        line = next((row for row in (finding.location.row, finding.end_location.row) if row in ends), None)
        if line is not None:
            count += 1
            if finding.code not in wanted[line]:
                wanted[line].append(finding.code)
    present = {
        ignore.line: ignore for ignore in ignores(source) if ignore.ours and ignore.codes and ignore.kind == "ignore"
    }
    edits: list[Edit] = []
    for line, codes in sorted(wanted.items()):
        known = present.get(line)
        if known is not None:
            start, end = source.offset(line, known.column), source.offset(line, known.end_column)
            every = [*known.codes, *(code for code in codes if code not in known.codes)]
            edits.append(edit(source, start, end, f"# collectivelint: ignore[{', '.join(every)}]"))
            continue
        text = source.line(line)
        end = source.starts[line - 1] + len(text)
        comment = f"  # collectivelint: ignore[{', '.join(codes)}]" + (f" {reason}" if reason else "")
        edits.append(edit(source, end - (len(text) - len(text.rstrip())), end, comment))
    return edits, count


def _ends(source: Source) -> frozenset[int]:
    """The lines that end where a comment may stand."""
    return frozenset(token.start[0] for token in tokens(source) if token.type in (tokenize.NL, tokenize.NEWLINE))
