"""How many findings there are of each rule, and how many of them can be fixed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from .remedy import applied
from .summary import unshown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..findings.result import Result


def table(result: Result) -> str:
    """A line for each rule, the most frequent first: number, code, `[*]` if `--fix` can fix some, name."""
    counts = Counter((finding.code, finding.name) for finding in result.findings)
    fixable = {finding.code for finding in result.findings if applied(finding) is not None}
    width = max((len(str(count)) for count in counts.values()), default=0)
    lines = [
        f"{count:>{width}}  {code}  [{'*' if code in fixable else ' '}]  {name}"
        for (code, name), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    return "".join(f"{line}\n" for line in [*lines, *_legend(result), *unshown(result)])


def _legend(result: Result) -> Iterator[str]:
    able = {fix.applicability for finding in result.findings if (fix := applied(finding)) is not None}
    if able:
        yield f"[*] fixable with `--fix{' --unsafe-fixes' if 'unsafe' in able else ''}`"
