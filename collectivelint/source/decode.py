"""Reads a file and decodes its bytes as the Python tokenizer would, or reports why they cannot be decoded."""

from __future__ import annotations

import codecs
import io
import tokenize
from typing import TYPE_CHECKING

from ..reading import NOTEBOOK, is_notebook, read_bytes
from .text import Source, UnreadableError

if TYPE_CHECKING:
    from pathlib import Path


def decode(data: bytes, path: str) -> Source:
    """Decode as the Python tokenizer would; raise UnreadableError with the position of the first bad byte."""
    if is_notebook(path):
        from .notebook import notebook

        return notebook(data, path)
    if path.lower().endswith(".json"):
        # It parses as Python more often than not, and would look clean.
        raise UnreadableError("is JSON, not Python")
    if not path.lower().endswith((".py", ".pyi")) and _is_json(data):
        raise UnreadableError(f"is JSON, not Python; the name of a notebook ends with {NOTEBOOK}")
    bom = data.startswith(codecs.BOM_UTF8)
    if bom:
        data = data[len(codecs.BOM_UTF8) :]
    try:
        # The declaration stands in the first two lines; these alone are searched for it.
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    except SyntaxError as error:
        encoding = "utf-8"
        if "unknown encoding" in str(error):
            raise UnreadableError(f"cannot be decoded: {error}") from None
    try:
        return Source(path, data.decode(encoding), encoding, bom)
    except (LookupError, UnicodeError) as error:
        if not isinstance(error, UnicodeDecodeError):
            # A codec that is no text encoding (rot13), or one that cannot be used at all.
            raise UnreadableError(f"cannot be decoded as {encoding}: {error}") from None
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode(encoding, "replace")) + 1
        byte = data[error.start]
        raise UnreadableError(
            f"byte 0x{byte:02x} is not valid {encoding}; save the file as UTF-8 or declare its encoding on line 1",
            line,
            column,
        ) from None


def _is_json(data: bytes) -> bool:
    """Whether the content is a JSON object."""
    if not data.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{"):
        return False
    import json

    try:
        return isinstance(json.loads(data.decode("utf-8-sig")), dict)
    except (ValueError, RecursionError):
        return False


def read(path: Path, shown: str) -> Source:
    """Read a file that reports call `shown`; raise UnreadableError with the system's reason."""
    try:
        data = read_bytes(path)
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror or error}") from None
    return decode(data, shown)
