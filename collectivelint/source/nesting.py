"""Which code must not be passed to libcst: nesting of a few thousand levels crashes the process.

Below that its time is quadratic in sums and strings, and cubic in chains of calls: 500 take 0.75 s, 3,000 take 79 s.
"""

from __future__ import annotations

import re
from typing import Final

#: Characters of a part of an expression without a comma in it, brackets in each other, and branches one after the other.
_LONGEST_PART: Final = 1_500
_DEEPEST: Final = 100
_LONGEST_CHAIN: Final = 500
_TOKEN: Final = re.compile(
    r"""(?P<skip>\#[^\n]*|\\\n|[ \t]+)|(?P<text>(\"{3}|'{3})[\s\S]*?\3|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')"""
    r"""|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<comma>[,;])|(?P<line>\n)|(?P<other>\w+|.)"""
)


def is_risky(code: str) -> bool:
    """Whether an expression in it may be nested deeply, or be a long chain. What strings hold does not count, nor what commas separate."""
    if code.count("elif") > _LONGEST_CHAIN:
        return True
    parts = [0]
    for token in _TOKEN.finditer(code):
        kind = token.lastgroup
        if kind == "open":
            parts[-1] += 1
            parts.append(0)
        elif kind == "close" and len(parts) > 1:
            parts.pop()
            parts[-1] += 1
        elif kind == "comma" or (kind == "line" and len(parts) == 1):
            parts[-1] = 0
        elif kind == "text":
            # Strings one after the other are nested in libcst.
            parts[-1] += 3
        elif kind == "other":
            parts[-1] += len(token.group())
        if parts[-1] > _LONGEST_PART or len(parts) > _DEEPEST:
            return True
    return False
