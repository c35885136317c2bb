"""Text that others wrote, made safe for a terminal: source lines, file names, names in a trace or a checkpoint."""

from __future__ import annotations

import re
from typing import Final

#: Control characters but tab and line feed, the Unicode ones that reorder a line (Trojan Source, CVE-2021-42574) or end
#: it, and halves of surrogate pairs, which no encoding can write.
_UNSAFE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""The text with every control character as its escape: `\x1b` instead of one that moves the cursor."""
    return _UNSAFE.sub(lambda match: ascii(match.group())[1:-1], text)


def one_line(text: str) -> str:
    """The same for what must stay on its line, as a file name: line feeds and tabs are shown too."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")
