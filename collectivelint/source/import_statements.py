"""The import statements of a file's text, found without parsing it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: (module, names) of `from`, or the modules of `import`. It may stand behind `:` or `;`, and in text that is no code: a
#: statement too many is found then, and none too few.
_STATEMENT: Final = re.compile(
    rb"(?:^|[;:])[ \t]*(?:from[ \t]+([.\w][.\w \t]*?)\bimport\b[ \t]*(\((?:[^)#]|#[^\n]*(?:\n|\Z))*\)|[^\n#;]*)"
    rb"|import[ \t]+([^\n#;]*))",
    re.MULTILINE,
)
_SEPARATOR: Final = re.compile(rb"[;:]")
_NAME: Final = re.compile(rb"([\w.]+|\*)(?:\s+as\s+(\w+))?")
_COMMENT: Final = re.compile(rb"#[^\n]*")
_CONTINUED: Final = re.compile(rb"\\\r?\n")


@dataclass(frozen=True, slots=True)
class ImportStatement:
    """`import module as bound`, or `from module import` with (name, bound name) pairs; a name may be `*`.

    The module is dotted as written, with its leading dots. `names` is None for `import`.
    """

    module: str
    bound: str
    names: tuple[tuple[str, str], ...] | None


def import_statements(text: bytes) -> Iterator[ImportStatement]:
    """The import statements of a text, wherever they stand in it, in their order."""
    if b"\\\n" in text or b"\\\r" in text:
        text = _CONTINUED.sub(b" ", text)
    for origin, listed, modules in _statements(text):
        for name, bound in _names(modules):
            yield ImportStatement(name, bound, None)
        if origin:
            module = b"".join(origin.split()).decode(errors="replace")
            yield ImportStatement(module, "", tuple(_names(_COMMENT.sub(b"", listed))))


def _statements(text: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """The groups of all matches of `_STATEMENT`; only lines that contain `import` are matched, since few do."""
    end = 0
    while (at := text.find(b"import", end)) >= 0:
        first = text.rfind(b"\n", 0, at) + 1
        # A statement begins with its line, or behind one of these.
        found = _STATEMENT.match(text, first) if first >= end else None
        for separator in () if found is not None else _SEPARATOR.finditer(text, max(first, end), at):
            found = _STATEMENT.match(text, separator.start())
            if found is not None:
                break
        if found is None:
            end = at + len(b"import")
            continue
        end = found.end()
        yield found[1] or b"", found[2] or b"", found[3] or b""


def _names(listed: bytes) -> Iterator[tuple[str, str]]:
    for name, bound in _NAME.findall(listed):
        own = name.decode(errors="replace")
        yield own, bound.decode(errors="replace") or own
