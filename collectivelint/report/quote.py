"""Paths, lines and JSON as reports write them."""

from __future__ import annotations

import json
import os
import re
from typing import Final

_OTHER: Final = re.compile(r"[^\x00-\x7e]")
LONGEST_LINE: Final = 300
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


def quoted(line: str) -> str:
    """A line as reports quote it, shortened: a generated line may be as long as its file, and is quoted often."""
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 3]}..."


def relative(path: str) -> str:
    """A path as services want it: relative to the current folder, with slashes."""
    return os.path.relpath(path).replace(os.sep, "/")


def dumps(data: object, *, indent: int | None = None) -> str:
    """JSON in ASCII; a lone surrogate, which strict readers reject, is replaced by the replacement character."""
    text = json.dumps(data, indent=indent, ensure_ascii=False)
    return _OTHER.sub(lambda match: json.dumps(_SURROGATE.sub("\ufffd", match.group()))[1:-1], text)
