"""GGUF files, written here as the format's description has them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from .conftest import codes, looked

if TYPE_CHECKING:
    from pathlib import Path

#: Name, sizes from the fastest on, type, bytes.
Described = tuple[str, tuple[int, ...], int, int]
TENSORS: list[Described] = [("embed", (64, 5), 0, 1280), ("norm", (3,), 1, 6), ("packed", (64, 4), 8, 272)]


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def _write(file: Path, tensors: list[Described], *, shift: int = 0, cut: int = 0, more: int = 0) -> Path:
    """`shift` moves all tensors but the first, `cut` bytes are missing at the end."""
    values = _text("general.architecture") + struct.pack("<I", 8) + _text("llama")
    values += _text("tokens") + struct.pack("<IIQ", 9, 8, 2) + _text("a") + _text("bc")
    values += _text("scores") + struct.pack("<IIQ", 9, 6, 3) + bytes(12)
    head, body = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 3) + values, b""
    for name, sizes, kind, length in tensors:
        place = len(body) + (shift if body else 0)
        head += _text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, place)
        body += bytes(range(1, 251)) * (length // 250) + bytes(length % 250)
        body += bytes(-len(body) % 32)
    head += bytes(-len(head) % 32)
    file.write_bytes((head + body + bytes(more))[: len(head) + len(body) + more - cut])
    return file


def test_a_sound_one(tmp_path: Path) -> None:
    report = looked(_write(tmp_path / "model.gguf", TENSORS))
    assert (report.problems, report.coverage.unread, report.coverage.files_read) == ([], [], 1)
    assert report.coverage.bytes == report.read == 1280 + 6 + 272
    assert str(report.layout) == "GGUF"
    assert report.checkpoint is not None
    found = {name: (tensor.dtype, tensor.shape) for name, tensor in report.checkpoint.tensors.items()}
    assert found == {"embed": ("float32", (5, 64)), "norm": ("float16", (3,)), "packed": ("Q8_0", (4, 64))}
    assert report.checkpoint.objects["general.architecture"].value == "llama"


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        ({"shift": 32}, "32 bytes of no tensor lie before `norm`"),
        ({"shift": -32}, "32 bytes of another tensor are those of `norm`"),
        ({"cut": 100}, "cut off: `packed` ends at byte"),
        ({"cut": 1700}, "cut off"),
    ],
)
def test_damage(tmp_path: Path, damage: dict[str, int], text: str) -> None:
    report = looked(_write(tmp_path / "model.gguf", TENSORS, **damage))
    assert codes(report) == ["CK101"]
    assert text in report.problems[0].text


def test_names_and_counts(tmp_path: Path) -> None:
    file = _write(tmp_path / "model.gguf", [TENSORS[1], TENSORS[1]])
    assert "`norm` occurs twice" in looked(file).problems[0].text
    file.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1 << 40, 0))
    assert "says that it has" in looked(file).problems[0].text
    report = looked(_write(tmp_path / "more.gguf", TENSORS, more=5))
    assert [(p.severity, p.text) for p in report.problems] == [("note", "5 bytes of no tensor lie behind the last")]
    # A tensor that the header does not count.
    report = looked(_write(tmp_path / "uncounted.gguf", TENSORS, more=64))
    assert [(p.severity, p.text) for p in report.problems] == [("error", "64 bytes of no tensor lie behind the last")]


def test_one_of_several_is_missing(tmp_path: Path) -> None:
    for number, tensor in enumerate(TENSORS, 1):
        _write(tmp_path / f"model-{number:05d}-of-00003.gguf", [tensor])
    assert looked(tmp_path).problems == []
    (tmp_path / "model-00002-of-00003.gguf").unlink()
    report = looked(tmp_path)
    assert [problem.code for problem in report.problems] == ["CK103"]


def test_orbax_is_named(tmp_path: Path) -> None:
    _write(tmp_path / "model.gguf", TENSORS)
    (tmp_path / "orbax" / "d").mkdir(parents=True)
    (tmp_path / "orbax" / "manifest.ocdbt").write_bytes(b"\x0c\xdb\x3a\x2a" + bytes(40))
    (tmp_path / "orbax" / "d" / "0a1b2c").write_bytes(b"\x0c\xdb\x20\xde" + bytes(40))
    unread = [(item.where, item.why) for item in looked(tmp_path).coverage.unread]
    assert unread == [("orbax", "an OCDBT database, as Orbax writes it: not read")]
