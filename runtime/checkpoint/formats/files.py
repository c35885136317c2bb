"""Recognises the files of a folder by their names and their first bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from . import gguf, index, safetensors, torch_save
from .dcp import NAME as METADATA
from .dcp import OF_RANK, SHARD, is_temporary

if TYPE_CHECKING:
    from pathlib import Path

#: "of DCP": part of a folder of torch.distributed.checkpoint, whose own reader knows it. "aside": nothing that is loaded as weights.
Kind: TypeAlias = Literal[
    "safetensors", "gguf", "torch", "index", "tracker", "of DCP", "temporary", "pointer", "aside", "unknown"
]

#: Binary files beside weights that are none: pictures, tokenizers, event logs.
_ASIDE: Final = (
    ".png",
    ".jpg",
    ".jpeg",
    ".gif",
    ".pdf",
    ".svg",
    ".model",
    ".tiktoken",
    ".spm",
    ".vocab",
    ".pyc",
    ".lock",
    ".html",
    ".gz",
)
_EVENTS: Final = "events.out.tfevents"
#: Formats that are known by how they begin, and not read.
_MAGIC: Final = {
    b"\x89HDF": "HDF5", b"\x93NUM": "an array of numpy", b"PK\x03\x04": "a zip archive that is not of torch.save",
    b"ustar": "a tar archive", b"\x08\x03\x12": "ONNX or another protocol buffer", b"\x28\xb5\x2f\xfd": "compressed by zstd",
}  # fmt: skip
#: What Git has in the place of a large file that was not fetched.
_POINTER: Final = b"version https://git-lfs.github.com/spec/"
_MOST: Final = 200


def holds_data(name: str) -> bool:
    """Whether a file of that name holds weights or states, or says where they are."""
    return name.endswith((safetensors.SUFFIX, gguf.SUFFIX, index.SUFFIX, *torch_save.SUFFIXES)) or bool(
        SHARD.fullmatch(name)
    )


def kind_of(file: Path) -> tuple[Kind, str]:
    """The kind of a file, and for an unknown one the reason. Raises OSError."""
    name = file.name
    if SHARD.fullmatch(name) or name == METADATA or OF_RANK.fullmatch(name):
        return "of DCP", ""
    if is_temporary(name):
        return "temporary", ""
    if name.endswith(index.SUFFIX):
        return "index", ""
    with file.open("rb") as stream:
        begin = stream.read(4096)
    if begin.startswith(_POINTER) and holds_data(name):
        return "pointer", ""
    if name.endswith(safetensors.SUFFIX):
        return "safetensors", ""
    if name.endswith(gguf.SUFFIX):
        return "gguf", ""
    if name.endswith(torch_save.CERTAIN) or (name.endswith(torch_save.SUFFIXES) and torch_save.kind_of(file)):
        return "torch", ""
    if torch_save.is_begun(begin):
        return "torch", ""
    if "latest" in name.lower() and file.suffix in ("", ".txt") and len(begin) <= _MOST:
        return "tracker", ""
    if name.endswith(".gz") and holds_data(name.removesuffix(".gz")):
        return "unknown", "compressed: not read"
    if name.endswith(_ASIDE) or _EVENTS in name or (_is_text(begin) and not name.endswith(torch_save.SUFFIXES)):
        return "aside", ""
    known = next((what for magic, what in _MAGIC.items() if begin.startswith(magic)), "")
    return "unknown", f"{known}: not read" if known else "its format is not supported"


def _is_text(begin: bytes) -> bool:
    try:
        begin[:-4].decode() if len(begin) > 4 else begin.decode()
    except UnicodeDecodeError as error:
        # A letter may be cut in two at the end.
        return error.start > len(begin) - 12 and b"\0" not in begin
    return b"\0" not in begin
