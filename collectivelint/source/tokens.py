"""The tokens of a file, even if it is written for a newer Python than the running one."""

from __future__ import annotations

import io
import tokenize
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .text import Source

_WORDS: Final = frozenset({tokenize.NAME, tokenize.NUMBER, tokenize.STRING, tokenize.COMMENT})


def tokens(source: Source) -> list[tokenize.TokenInfo]:
    """All tokens up to the first error; comments are at their positions in the file.

    In f-strings of newer Pythons only the values have tokens.
    """
    found, failed = _tokens(source.code)
    if not failed and not _is_suspect(found):
        return found
    from .newer import TooLongError, lowered
    from .parse import parses

    if parses(source.code):
        return found
    try:
        other = lowered(source.code, parses)
    except TooLongError:
        return found
    return found if other is None else list(_placed(_tokens(other.code)[0], source))


def _tokens(code: str) -> tuple[list[tokenize.TokenInfo], bool]:
    """The tokens, and whether tokenizing stopped with an error."""
    found: list[tokenize.TokenInfo] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(code, newline="").readline):
            found.append(token)  # noqa: PERF402  # those before an error count
    except (tokenize.TokenError, SyntaxError, IndentationError):
        # A file that does not parse has its own finding.
        return found, True
    return found, False


def _is_suspect(found: Sequence[tokenize.TokenInfo]) -> bool:
    """Whether a string may have been cut at a quote inside it, as tokenizers do that do not parse f-strings."""
    before = None
    for token in found:
        if token.type == tokenize.ERRORTOKEN:
            return True
        if before is not None and before.end == token.start and token.type in _WORDS:
            return True
        before = token if token.type == tokenize.STRING else None
    return False


def _placed(found: Sequence[tokenize.TokenInfo], source: Source) -> Iterator[tokenize.TokenInfo]:
    """The tokens of rewritten code, with comments moved to their columns in the text: they end where their row ends."""
    for token in found:
        if token.type != tokenize.COMMENT:
            yield token
            continue
        row = token.start[0]
        line = source.line(row)
        if line.endswith(token.string):
            start, end = (row, len(line) - len(token.string)), (row, len(line))
            yield token._replace(start=start, end=end, line=line)
