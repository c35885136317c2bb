"""A piece of source on one line, as messages quote it: without comments, and shortened between two tokens."""

from __future__ import annotations

import io
import tokenize
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST: Final = 80
_DOTS: Final = "..."
_LAYOUT: Final = frozenset(
    (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
)
#: Since Python 3.12 an f-string, and since 3.14 a t-string, is several tokens.
_OPENING: Final = frozenset(getattr(tokenize, name, -1) for name in ("FSTRING_START", "TSTRING_START"))
_CLOSING: Final = frozenset(getattr(tokenize, name, -1) for name in ("FSTRING_END", "TSTRING_END"))
#: After these, or a word, a space sets the dots apart.
_OPERATORS: Final = tuple("=<>+-*/%|&^@")

#: Line from 1 and character column from 0.
_Place: TypeAlias = "tuple[int, int]"


def excerpt(text: str, longest: int = _LONGEST) -> str:
    """`text`, an expression or the beginning of a statement, on one line of limited length."""
    written, kept = "", ""
    for piece in _pieces(text):
        written += piece if written else piece.lstrip()
        if len(written) < longest - len(_DOTS):
            kept = written
        if len(written) > longest:
            if not kept:
                return written[: longest - len(_DOTS)] + _DOTS
            apart = kept[-1].isalnum() or kept.endswith(_OPERATORS)
            return f"{kept}{' ' * apart}{_DOTS}"
    return written


def _pieces(text: str) -> Iterator[str]:
    """The tokens, each with the space before it; a string is one piece."""
    # In brackets, as a condition of several lines has to be.
    source = f"({text}\n)"
    lines = [*io.StringIO(source)]
    closing = (len(lines), 0)
    last: _Place = (1, 1)
    before, deep, opened = "", 0, last
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.start == (1, 0) or token.start >= closing or token.type in _LAYOUT:
                continue
            opened = opened if deep else token.start
            deep += (token.type in _OPENING) - (token.type in _CLOSING)
            if deep:
                continue
            written = _between(lines, opened, token.end).replace("\r", "").replace("\\\n", "").replace("\n", "\\n")
            yield _space(before, written, last, opened) + written
            before, last = written, token.end
    except (tokenize.TokenError, SyntaxError):
        # The rest is no Python of this version: as it is.
        yield " " * bool(before) + " ".join(_between(lines, last, closing).split())


def _space(before: str, after: str, last: _Place, now: _Place) -> str:
    """The separator between two tokens: a space or nothing, even if they are on different lines."""
    if last[0] == now[0]:
        return " " * (last[1] < now[1])
    return "" if before in ("", "(", "[", "{", ".") or after in (")", "]", "}", ".") else " "


def _between(lines: list[str], start: _Place, end: _Place) -> str:
    """The text between two places."""
    if start[0] == end[0]:
        return lines[start[0] - 1][start[1] : end[1]]
    return "".join((lines[start[0] - 1][start[1] :], *lines[start[0] : end[0] - 1], lines[end[0] - 1][: end[1]]))
