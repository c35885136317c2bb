"""Files made to do harm: nothing of them is executed, no memory is taken that they do not need, and the error says what it is."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from collectivelint.runtime.checkpoint.audit import Wanted, audit
from collectivelint.runtime.checkpoint.formats.allowed import TENSOR_NAMES
from collectivelint.runtime.checkpoint.formats.load import load
from collectivelint.runtime.checkpoint.formats.stand_ins import METADATA_NAMES
from collectivelint.runtime.checkpoint.formats.unpickle import unpickle
from collectivelint.runtime.checkpoint.model import CheckpointError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import codes, looked

if TYPE_CHECKING:
    from collections.abc import Callable


class Gadget:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch /tmp/collectivelint-ran-it",)


def _archive(file: Path, data: bytes, compression: int = zipfile.ZIP_STORED, extra: bytes = b"") -> Path:
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/data/0", extra or bytes(16))
    return file


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (pickle.dumps(Gadget()), "posix.system"),
        (b"cbuiltins\neval\n(X\x03\x00\x00\x001+1tR.", "`builtins.eval`"),
        (b"cbuiltins\ngetattr\n(ctorch\nSize\nX\x0b\x00\x00\x00__globals__tR.", "`builtins.getattr`"),
        (b"\x80\x04\x96\x00\x00\x00\x00\x00\x01\x00\x00.", "more memory"),  # BYTEARRAY8 of 2**40 bytes
        (b"\x80\x02]r\x00\x00\x00\x7f.", "more memory"),  # LONG_BINPUT into slot 2**31
        (b"\x80\x02" + b"(" * 5_000_000 + b".", ""),
        (b"\x80\x02" + b"]" * 3000 + b"a" * 2999 + b".", ""),
        (b"", ""),
        (b"\x80\x02K\x01.", ""),
        (b"\x80\x02}X\x01\x00\x00\x00acantigravity\nfly\ns.", "antigravity.fly"),  # the import does it
        (b"\x80\x02}." + bytes(9), "9 bytes behind"),
    ],
)
def test_pickles(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / ".metadata").write_bytes(data)
    with pytest.raises(CheckpointError, match=words or None):
        load(tmp_path)
    assert codes(looked(tmp_path)) == ["CK101"]
    if words:
        with pytest.raises(CheckpointError, match=words):
            load(_archive(tmp_path / "model.pt", data))
    assert not Path("/tmp/collectivelint-ran-it").exists()


def test_stand_ins_do_nothing() -> None:
    """Even what is on the list cannot be made to call anything."""
    for (module, name), stand_in in {**METADATA_NAMES, **TENSOR_NAMES}.items():
        if callable(stand_in):
            data = f"c{module}\n{name}\n".encode() + b"(X\x04\x00\x00\x00evilK\x01tR."
            try:
                found = unpickle(data, {(module, name): stand_in}, "x")
            except CheckpointError:
                continue
            assert "evil" not in sys.modules
            assert type(found).__module__ in (
                "builtins",
                "collections",
                "collectivelint.runtime.checkpoint.formats.stand_ins",
                "collectivelint.runtime.checkpoint.formats.made",
            )


def _word(text: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text


def _global(module: bytes, name: bytes) -> bytes:
    return b"c" + module + b"\n" + name + b"\n"


def _numbers(*numbers: int) -> bytes:
    return b"(" + b"".join(b"K" + bytes([number]) for number in numbers) + b"t"


def _tensor(sizes: bytes, strides: bytes) -> bytes:
    """Four numbers, as torch.save writes them."""
    storage = b"(" + _word(b"storage") + _global(b"torch", b"FloatStorage") + _word(b"0") + _word(b"cpu") + b"K\x04tQ"
    hooks = _global(b"collections", b"OrderedDict") + b")R"
    return (
        _global(b"torch._utils", b"_rebuild_tensor_v2")
        + b"("
        + storage
        + b"K\x00"
        + sizes
        + strides
        + b"\x89"
        + hooks
        + b"tR"
    )


_GOOD = _tensor(_numbers(4), _numbers(1))
_NAMESPACE = _global(b"argparse", b"Namespace")
#: x0 = {}, then x1 = {"a": x0, "b": x0} and so on: names double with each.
_DOUBLING = b"}q\x00" + b"".join(
    b"0}q" + bytes([k + 1]) + _word(b"a") + b"h" + bytes([k]) + b"s" + _word(b"b") + b"h" + bytes([k]) + b"s"
    for k in range(30)
)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"}" + _word(b"w") + _tensor(_numbers(2, 2), _numbers(1)) + b"s", "a tensor"),
        (_DOUBLING, "refer to each other"),
        (b"}\x8b" + struct.pack("<i", 4000) + b"\x7f" * 4000 + _GOOD + b"s", "damaged"),
        (_NAMESPACE + b"N}" + _word(b"__init__") + _global(b"pathlib", b"Path") + b"s\x86b", "damaged"),
        (_global(b"torch", b"Size") + b"N}" + _word(b"_does") + b"Ns\x86b", "changes a function"),
    ],
    ids=["strides", "doubling", "long number", "class", "function"],
)
def test_archives(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        load(_archive(tmp_path / "model.pt", b"\x80\x02" + data + b"."))
    # The next file is read as if nothing had been.
    good = _archive(tmp_path / "good.pt", b"\x80\x02}" + _word(b"w") + _GOOD + b"s.")
    assert load(good).tensors["w"].shape == (4,)


_HANDLER = _global(b"logging", b"FileHandler")


@pytest.mark.parametrize(
    "data",
    [
        _global(b"torch._tensor", b"_rebuild_from_type_v2") + b"(" + _HANDLER + _global(b"torch", b"Tensor") + _word(b"file")
        + b"\x85}tR",
        _global(b"copyreg", b"_reconstructor") + b"(" + _HANDLER + _HANDLER + _word(b"file") + b"tR",
        _HANDLER + b"(" + _word(b"file") + b"t\x81",
    ],
    ids=["called by torch", "called by copyreg", "made without a call"],
)  # fmt: skip
def test_calls_by_what_is_on_the_list(tmp_path: Path, data: bytes) -> None:
    """torch and copyreg call what they are given: the class that a reader would open a file with."""
    file = _archive(tmp_path / "model.pt", b"\x80\x02" + data + b".")
    errors = [problem for problem in looked(file).problems if problem.severity == "error"]
    assert [(problem.code, "logging.FileHandler" in problem.text) for problem in errors] == [("CK104", True)]


@pytest.mark.parametrize(
    "data",
    [
        b"}q\x00" + _word(b"a") + b"h\x00s" + _word(b"b") + b"h\x00s" + _word(b"w") + _GOOD + b"s",
        b"}" + _word(b"w") + _GOOD + b"s" + _word(b"x") + _NAMESPACE + b")RN}" + _word(b"storage") + b"K\x01s"
        + _word(b"__class__") + _global(b"torch._utils", b"_rebuild_tensor_v2") + b"s\x86bs",
        _global(b"collections", b"OrderedDict") + b")R" + _word(b"w") + _GOOD + b"s}" + _word(b"items") + b"K\x01sb",
    ],
    ids=["contains itself", "pretends to be a tensor", "hides its items"],
)  # fmt: skip
def test_archives_that_are_odd(tmp_path: Path, data: bytes) -> None:
    tensors = load(_archive(tmp_path / "model.pt", b"\x80\x02" + data + b".")).tensors
    assert {name: tensor.shape for name, tensor in tensors.items()} == {"w": (4,)}


def test_a_name_with_many_dots(tmp_path: Path) -> None:
    """A name is looked up by its endings, of which this one has more than memory."""
    name = b"a." * 100_000
    data = b"}" + _word(name) + _GOOD + b"s" + _word(b"state.w.exp_avg") + _GOOD + b"s"
    file = _archive(tmp_path / "model.pt", b"\x80\x02" + data + b".")
    code = (
        "import resource, sys\nfrom pathlib import Path\nresource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "from collectivelint.runtime.checkpoint.audit import Wanted, audit\n"
        "assert audit(Path(sys.argv[1]), Wanted(headers_only=True)).is_sound\n"
    )
    command = [sys.executable, "-c", code, str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr


def test_an_archive_that_unpacks_to_much(tmp_path: Path) -> None:
    file = _archive(tmp_path / "bomb.pt", b"\x80\x02}.", zipfile.ZIP_DEFLATED, bytes(1 << 24))
    with pytest.raises(CheckpointError, match="is compressed"):
        load(file)


def test_an_archive_that_claims_what_it_has_not(tmp_path: Path) -> None:
    file = _archive(tmp_path / "model.pt", b"\x80\x02}.")
    data = file.read_bytes()
    at = data.rfind(b"PK\x05\x06")
    for offset, value in ((12, 0xFFFFFFF0), (16, 0xFFFFFFF0), (10, 0xFFF0)):
        changed = bytearray(data)
        form = "<I" if offset >= 12 else "<H"
        struct.pack_into(form, changed, at + offset, value & (0xFFFFFFFF if form == "<I" else 0xFFFF))
        file.write_bytes(bytes(changed))
        with pytest.raises(CheckpointError):
            load(file)


def _entries(data: bytearray) -> dict[str, int]:
    """Where the directory describes each entry."""
    found, at = {}, data.find(b"PK\x01\x02")
    while data[at : at + 4] == b"PK\x01\x02":
        name, extra, comment = struct.unpack_from("<HHH", data, at + 28)
        found[data[at + 46 : at + 46 + name].decode()] = at
        at += 46 + name + extra + comment
    return found


def test_archives_that_torch_reads_wrongly(tmp_path: Path) -> None:
    """Entries that share bytes or a name, an encrypted one, and a checksum of 0 that would turn checking off."""
    file = tmp_path / "model.pt"
    torch.save({"a": torch.arange(64.0), "b": torch.arange(64.0) * 2}, file)
    good = file.read_bytes()
    places = _entries(bytearray(good))
    first, second, pickled = (places[f"model/{name}"] for name in ("data/0", "data/1", "data.pkl"))

    def said(change: Callable[[bytearray], object]) -> str:
        data = bytearray(good)
        change(data)
        file.write_bytes(data)
        return " ".join(problem.text for problem in looked(file).problems)

    assert said(lambda data: data) == ""
    assert "share bytes" in said(
        lambda data: data.__setitem__(slice(second + 42, second + 46), data[first + 42 : first + 46])
    )
    assert "one name" in said(lambda data: data.__setitem__(second + 46 + len("model/data/"), ord("0")))
    assert "encrypted" in said(lambda data: data.__setitem__(pickled + 8, 1))
    assert "CRC-32" in said(lambda data: data.__setitem__(slice(pickled + 16, pickled + 20), bytes(4)))


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [1 << 61, 1 << 61], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 1 << 60]}},
        {"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F32", "shape": ["4"], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [16, 0]}},
        {"a": 3},
        [],
    ],
)
def test_safetensors(tmp_path: Path, header: object) -> None:
    text = json.dumps(header).encode()
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(text).to_bytes(8, "little") + text + bytes(16))
    with pytest.raises(CheckpointError):
        load(file)
    file.write_bytes((1 << 62).to_bytes(8, "little") + text)
    with pytest.raises(CheckpointError):
        load(file)


def test_headers_that_ask_for_much(tmp_path: Path) -> None:
    """More tensors than any file has are not read, and said to be; so is what DCP left of offsets where it makes no sense."""
    file = tmp_path / "shard-00001-model-00001-of-00001.safetensors"
    tensor = '"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}'
    for header, words in (
        ("{" * ((1 << 18) + 1), "tensors in one file: not read"),
        ("[" + "[]," * (1 << 22), "items"),
        (f'{{"__metadata__": {{"DCP_SHARDING_INFO": "{"[" * 99_999}"}}, {tensor}}}', "makes no sense"),
    ):
        file.write_bytes(len(header).to_bytes(8, "little") + header.encode() + b"x")
        with pytest.raises(CheckpointError, match=words):
            load(file)


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd"])
def test_an_index_that_points_outside(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    (tmp_path / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    with pytest.raises(CheckpointError, match="outside of its folder"):
        load(tmp_path / "model.safetensors.index.json")
    assert [problem.text for problem in looked(tmp_path).problems] == [f"names `{name}`, outside of its folder"]


def test_files_that_never_end(copy: Callable[[str], Path]) -> None:
    """A pipe in the place of a shard, or of a whole checkpoint: nobody waits for it."""
    folder = copy("tensor_parallel")
    (folder / "__1_0.distcp").unlink()
    os.mkfifo(folder / "__1_0.distcp")
    assert "not a regular file" in next(problem.text for problem in looked(folder).problems)
    os.mkfifo(folder / "model.pt")
    assert codes(audit(folder / "model.pt", Wanted())) == ["CK101"]


def test_links(tmp_path: Path) -> None:
    """Links in a circle are entered once; a link to nothing, or a pipe, in the place of weights is an error."""
    torch.save({"w": torch.ones(3)}, tmp_path / "model.pt")
    for name in "abc":
        (tmp_path / name).symlink_to(".")
    assert looked(tmp_path).is_sound
    (tmp_path / "optimizer.pt").symlink_to("../gone")
    os.mkfifo(tmp_path / "extra.safetensors")
    texts = {problem.where: problem.text for problem in looked(tmp_path).problems}
    assert texts == {
        "optimizer.pt": "is a link to ../gone, which is not there",
        "extra.safetensors": "is not a regular file",
    }


@pytest.mark.parametrize(
    "name", [".metadata", "trainer_state.json", "model.safetensors.index.json", "collectivelint-manifest.json"]
)
def test_files_that_are_larger_than_memory(copy: Callable[[str], Path], name: str) -> None:
    folder = copy("tensor_parallel")
    with (folder / name).open("wb") as file:
        file.write(b"{")
        file.truncate(200 << 20)
    tracemalloc.start()
    report = looked(folder, headers_only=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not report.is_sound
    assert peak < 100 << 20


def test_a_chunk_that_is_listed_without_end(copy: Callable[[str], Path]) -> None:
    """It is read once, and said once."""
    folder = copy("tensor_parallel")
    metadata = pickle.loads((folder / ".metadata").read_bytes())
    metadata.state_dict_metadata["up"].chunks *= 2000
    (folder / ".metadata").write_bytes(pickle.dumps(metadata))
    problems = looked(folder).problems
    assert {"CK102", "CK201"} <= {problem.code for problem in problems}
    assert len(problems) < 10


def test_a_file_of_no_system(copy: Callable[[str], Path]) -> None:
    folder = copy("tensor_parallel")
    data = (folder / ".metadata").read_bytes()
    (folder / ".metadata").write_bytes(data.replace(b"__1_0.distcp", b"__1_0\0distcp"))
    assert codes(looked(folder)) == ["CK102", "CK103"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_byte_may_be_another(made: Path, tmp_path: Path, data: st.DataObject) -> None:
    """Whatever is in the metadata, or in a file: an error that names it, or problems, never anything else."""
    name, file = data.draw(
        st.sampled_from(
            [
                ("fsdp", ".metadata"),
                ("fsdp", "__1_0.distcp"),
                ("hand_made-ranks", "rank_1_model.pt"),
                ("fsdp.safetensors", ""),
            ]
        )
    )
    own = tmp_path / name
    if not own.exists():
        shutil.copytree(made / name, own) if file else shutil.copy(made / name, own)
    path = own / file if file else own
    before = path.read_bytes()
    changed = bytearray(before)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, min(len(before), 6000) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(changed[: data.draw(st.sampled_from([len(changed), len(changed) // 2, 10]))]))
    try:
        audit(own, Wanted(world_size=3))
    finally:
        path.write_bytes(before)
