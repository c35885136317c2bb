"""Reads TOML such that errors can be reported by file and line."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, Final

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from .reading import read_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_PART: Final = r"""(?:[\w-]+|"[^"]*"|'[^']*')"""
_DOTTED: Final = rf"({_PART}(?:\s*\.\s*{_PART})*)"
_HEADER: Final = re.compile(rf"\s*\[\[?\s*{_DOTTED}\s*\]")
_KEY: Final = re.compile(rf"\s*{_DOTTED}\s*=")
_AT: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)")


class TomlError(Exception):
    """A file that cannot be read, or that is not TOML; the message names it, with the line and column if there are any."""


def read(file: Path) -> tuple[dict[str, Any], str]:
    """The content of a file and its text; raise TomlError."""
    try:
        data = read_bytes(file)
    except OSError as error:
        raise TomlError(f"{file}: cannot be read: {error.strerror or error}") from None
    try:
        # As tomllib does: a line ends with \n, whichever line end the file has.
        text = data.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TomlError(
            f"{file}:{line}: byte 0x{data[error.start]:02x} is not valid UTF-8, as TOML has to be"
        ) from None
    return parse(str(file), text), text


def parse(name: str, text: str) -> dict[str, Any]:
    """The content of a text; raise TomlError, which names it."""
    try:
        return dict(tomllib.loads(text))
    except RecursionError:
        raise TomlError(f"{name}: is nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        # The parser names the place at the end of its message.
        match = _AT.search(str(error))
        reason = f"is not valid TOML: {_AT.sub('', str(error))}"
        if match is None or match[1] is None:
            line = text.rstrip("\n").count("\n") + 1
            raise TomlError(f"{name}:{line}: {reason}, at the end of the file") from None
        raise TomlError(f"{name}:{match[1]}:{match[2]}: {reason}") from None


def line_of(text: str, keys: Sequence[str], value: str | None = None) -> int:
    """The line of a key in a TOML text, or of the nearest table around it; with `value` the line of that string."""
    wanted = tuple(keys)
    table: tuple[str, ...] = ()
    found = (0, 1)
    rows = text.split("\n")
    for number, row in enumerate(rows, 1):
        if (header := _HEADER.match(row)) is not None:
            path = table = _parts(header[1])
        elif (key := _KEY.match(row)) is not None:
            path = (*table, *_parts(key[1]))
        else:
            continue
        shared = next((at for at, pair in enumerate(zip(path, wanted, strict=False)) if pair[0] != pair[1]), None)
        depth = min(len(path), len(wanted))
        if shared is None and depth > found[0]:
            found = depth, number
    if value is not None:
        spellings = (f'"{value}"', f"'{value}'")
        for number in range(found[1], len(rows) + 1):
            if any(spelling in rows[number - 1] for spelling in spellings):
                return number
    return found[1]


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(_PART, dotted))
