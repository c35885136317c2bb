"""Reading without loss: every file comes back byte for byte, with lines and columns as Python counts them."""

from __future__ import annotations

import ast
import codecs
from typing import TYPE_CHECKING

import pytest

from collectivelint.source.decode import decode, read
from collectivelint.source.text import Source, UnreadableError

if TYPE_CHECKING:
    from pathlib import Path

_FILES = {
    "empty": b"",
    "no final newline": b"x = 1",
    "LF": b"x = 1\ny = 2\n",
    "CRLF": b"x = 1\r\ny = 2\r\n",
    "lone CR": b"x = 1\ry = 2\r",
    "mixed": b"x = 1\r\ny = 2\nz = 3\rw = 4",
    "form feed": b"x = 1\n\x0c\ny = '\x0c'\n",
    "vertical tab in a string": b"x = '\x0b'\ny = 2\n",
    "tabs": b"if x:\n\ty = 2\n",
    "unicode separators": "x = '\u2028\u2029\x85'\ny = 2\n".encode(),
    "BOM": codecs.BOM_UTF8 + "x = 'ä'\n".encode(),
    "BOM and declaration": codecs.BOM_UTF8 + b"# coding: utf-8\nx = 1\n",
    "latin-1": "# coding: latin-1\nx = 'ä'\n".encode("latin-1"),
    "cp1252 on line 2": "#!/usr/bin/python\n# -*- coding: cp1252 -*-\nx = '€'\n".encode("cp1252"),
    "astral": "x = '🔥'\n".encode(),
    "declaration after line 2": "\n\n# coding: latin-1\nx = 'ä'\n".encode(),
    "only a comment": b"# nothing",
}
_BYTES = [pytest.param(data, id=name) for name, data in _FILES.items()]


@pytest.mark.parametrize("data", _BYTES)
def test_round_trip(data: bytes) -> None:
    source = decode(data, "f.py")
    assert source.encode(source.text) == data


@pytest.mark.parametrize("data", _BYTES)
def test_text_means_the_same_to_python(data: bytes) -> None:
    assert ast.dump(ast.parse(decode(data, "f.py").text)) == ast.dump(ast.parse(data))


@pytest.mark.parametrize("data", _BYTES)
def test_lines_and_columns_are_those_of_ast(data: bytes) -> None:
    source = decode(data, "f.py")
    for node in ast.walk(ast.parse(source.text)):
        if isinstance(node, (ast.expr, ast.stmt)):
            assert node.end_lineno is not None
            assert node.end_col_offset is not None
            start = source.offset(node.lineno, source.column(node.lineno, node.col_offset))
            end = source.offset(node.end_lineno, source.column(node.end_lineno, node.end_col_offset))
            segment = source.text[start:end]
            assert ast.dump(ast.parse(segment.strip()).body[0]).count(type(node).__name__) >= 1
            assert source.position(start) == (node.lineno, source.column(node.lineno, node.col_offset))


@pytest.mark.parametrize(
    ("data", "newline"),
    [(b"", "\n"), (b"x", "\n"), (b"x\r\ny\n", "\r\n"), (b"x\ny\r\n", "\n"), (b"x\ry", "\r")],
)
def test_newline_is_that_of_the_first_line(data: bytes, newline: str) -> None:
    assert decode(data, "f.py").newline == newline


def test_line() -> None:
    source = decode(b"one\r\ntwo\n\nfour", "f.py")
    assert [source.line(number) for number in range(6)] == ["", "one", "two", "", "four", ""]


def test_columns_count_characters() -> None:
    source = decode("x = 'ä🔥'; y\n".encode(), "f.py")
    y = ast.parse(source.text).body[1]
    assert (y.col_offset, source.column(1, y.col_offset)) == (14, 10)


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"\xff", (1, 1)),
        (b"x = 1\ny = '\xe4'\n", (2, 6)),
        (b"x = 1\r\ny = '\xe4'\r\n", (2, 6)),
        ("ä = '".encode() + b"\xe4'", (1, 6)),
        (codecs.BOM_UTF8 + b"\xff", (1, 1)),
        (b"# coding: ascii\n\xc3\xa4\n", (2, 1)),
        (b"# coding: nonsense\n", (1, 1)),
        ("x".encode("utf-16"), (1, 1)),
    ],
)
def test_position_of_the_first_bad_byte(data: bytes, place: tuple[int, int]) -> None:
    with pytest.raises(UnreadableError) as caught:
        decode(data, "f.py")
    assert (caught.value.line, caught.value.column) == place


@pytest.mark.xfail(strict=True, reason="lines before a bad byte are counted by line feeds alone")
def test_position_of_a_bad_byte_after_lone_carriage_returns() -> None:
    with pytest.raises(UnreadableError) as caught:
        decode(b"x = 1\ry = 2\rz = '\xe4'\r", "f.py")
    assert (caught.value.line, caught.value.column) == (3, 6)


@pytest.mark.parametrize("declared", ["rot13", "hex", "base64", "zlib", "undefined"])
def test_codecs_that_do_not_give_text(declared: str) -> None:
    with pytest.raises(UnreadableError, match="decoded"):
        decode(f"# coding: {declared}\nx = 1\n".encode(), "f.py")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="No such file"):
        read(tmp_path / "none.py", "none.py")


def test_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="directory"):
        read(tmp_path, "folder")


def test_text_that_the_encoding_cannot_express() -> None:
    with pytest.raises(UnicodeEncodeError):
        Source("f.py", "", "ascii", bom=False).encode("ä")
