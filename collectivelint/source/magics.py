"""IPython syntax: magics, shell commands and help queries, removed from the code of a cell."""

from __future__ import annotations

import ast
import re
import warnings
from typing import Final

#: Cell magics behind which the cell is Python and runs in the notebook. All others have another language, or, as
#: `%%python` and `%%pypy`, a process of their own, which shares no name and no group with the notebook.
_PYTHON_CELLS: Final = frozenset({"capture", "debug", "ipytest", "prun", "time", "timeit"})
#: Commands that IPython takes without `%` where they are no names of the program.
_BARE: Final = r"(?:pip|conda|mamba|uv|cd|ls|ll|cp|mv|rm|mkdir|cat|time|timeit|run|env|load_ext|autoreload|matplotlib)"
#: What begins a line that is no Python, and `name = !command`; both are looked for where a statement begins.
_ESCAPED: Final = re.compile(r"[ \t]*(?P<magic>[%!?,;/].*)")
_ASSIGNED: Final = re.compile(r"[ \t]*[A-Za-z_][\w.,\[\]'\" \t*]*=[ \t]*(?P<magic>[%!].*)")
_ASKED: Final = re.compile(r"[ \t]*(?P<magic>[\w.*\[\]]+\?\??[ \t]*(?:#.*)?)$", re.MULTILINE)
_COMMAND: Final = re.compile(rf"[ \t]*(?P<magic>{_BARE}[ \t]+[\w./~$-].*)")
_SUSPECT: Final = re.compile(rf"^[ \t]*(?:[%!?,;/]|{_BARE}[ \t])|\?[ \t]*(?:#.*)?$|=[ \t]*[%!]", re.MULTILINE)
_TOKEN: Final = re.compile(
    r"""(?P<string>'{3}(?:\\.|[^\\])*?'{3}|"{3}(?:\\.|[^\\])*?"{3}|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*")"""
    r"""|(?P<comment>\#[^\n]*)|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<joined>\\\n)|(?P<end>\n)""",
    re.DOTALL,
)


def is_python(cell: str) -> bool:
    """Whether the cell is Python, apart from magics on its lines."""
    text = cell.lstrip()
    if not text.startswith("%%"):
        return True
    name = re.match(r"[\w.]*", text[2:])
    return name is not None and name.group() in _PYTHON_CELLS


def plain(cell: str) -> str:
    """The cell with every magic replaced by a constant and spaces: Python of the same length, with the same lines."""
    if not _SUSPECT.search(cell) or _parses(cell):
        return cell
    pieces: list[str] = []
    at = 0
    while at < len(cell):
        magic = _magic(cell, at)
        if magic is None:
            end = _statement_end(cell, at)
            pieces.append(cell[at:end])
        else:
            start, end = magic
            rest = "".join(char if char == "\n" else " " for char in cell[start + 1 : end])
            pieces.append(f"{cell[at:start]}0{rest}")
        at = end
    return "".join(pieces)


def _magic(cell: str, at: int) -> tuple[int, int] | None:
    """The start and end of the magic in the line at a position, if there is one."""
    for pattern in (_ESCAPED, _ASSIGNED, _ASKED, _COMMAND):
        match = pattern.match(cell, at)
        if match is None or (pattern is _COMMAND and _parses(match["magic"])):
            continue
        end = match.end()
        # A backslash joins the next line.
        while cell[:end].endswith("\\") and end < len(cell):
            following = cell.find("\n", end + 1)
            end = len(cell) if following < 0 else following
        return match.start("magic"), end
    return None


def _statement_end(cell: str, at: int) -> int:
    """The start of the next line that is not inside brackets or a string."""
    depth = 0
    for match in _TOKEN.finditer(cell, at):
        depth += match.lastgroup == "open"
        depth -= match.lastgroup == "close"
        if match.lastgroup == "end" and depth <= 0:
            return match.end()
    return len(cell)


def _parses(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
