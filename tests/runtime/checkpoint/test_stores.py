"""Checkpoints in stores: a real S3 server on loopback, one whose connections break, and memory."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from collectivelint.runtime.checkpoint.audit import Wanted, audit
from collectivelint.runtime.checkpoint.checks import manifest
from collectivelint.runtime.checkpoint.cli import ckpt
from collectivelint.runtime.checkpoint.formats import torch_save
from collectivelint.runtime.checkpoint.stores import objects, store
from collectivelint.runtime.checkpoint.stores.path import StorePath, path_of

from .conftest import codes, module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

fsspec = pytest.importorskip("fsspec")
damages = module("damages").DAMAGES


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(ckpt, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


def findings(path: object, *options: object) -> Any:
    """What `verify --json` says, without times and paths. Notes of a file that is newer than others are left out."""
    text = run("verify", "--json", path, *options)[1].replace(f"{path}", "PATH")
    data = json.loads(text)
    del data["seconds"]
    data["problems"] = [problem for problem in data["problems"] if " s newer than " not in problem["text"]]
    return data


class Proxy:
    """Passes connections on to a server. Answers with values are cut off after `cut_at` bytes, `cuts` times."""

    def __init__(self, port: int) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._target = port
        self.port = self._server.getsockname()[1]
        self.cuts = 0
        self.cut_at = 4096
        self.requests: Counter[str] = Counter()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", self._target)) as server:
            left = -1
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(1 << 16)
                    if not data:
                        return
                    if ready is client:
                        left = self._budget(data)
                        server.sendall(data)
                    elif left < 0:
                        client.sendall(data)
                    else:
                        client.sendall(data[:left])
                        left -= len(data)
                        if left <= 0:
                            return

    def _budget(self, request: bytes) -> int:
        """How many bytes of the answer are passed on; -1 for all."""
        line, _, headers = request.partition(b"\r\n")
        with self._lock:
            words = line.decode("latin-1").split(" ")
            self.requests[words[0] + (" range" if b"range:" in headers.lower() else "")] += 1
            if self.cuts and b"range:" in headers.lower() and b".distcp" in line:
                self.cuts -= 1
                return self.cut_at
        return -1


@pytest.fixture(scope="session")
def s3() -> Iterator[Proxy]:
    """An S3 server in a process of its own, behind a proxy."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto.server")
    command = [sys.executable, "-c", "from moto.server import main; main(['-H', '127.0.0.1', '-p', '0'])"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        assert server.stderr is not None
        port = next(int(found[1]) for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:(\d+)", line)))
        # What it says of each request has to go somewhere.
        threading.Thread(target=server.stderr.read, daemon=True).start()
        proxy = Proxy(port)
        yield proxy
        proxy.close()
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def bucket(s3: Proxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A bucket of its own for each test."""
    name = re.sub("[^a-z0-9]", "", tmp_path.name)[-40:]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{s3.port}")
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    store.forget()
    fsspec.filesystem("s3").mkdir(name)
    yield f"s3://{name}"
    store.forget()
    # An instance that is kept has the endpoint of this test.
    fsspec.filesystem("s3").clear_instance_cache()


def upload(folder: Path, address: str) -> str:
    """Put it there; the address."""
    fs, path = fsspec.core.url_to_fs(address)
    if folder.is_dir():
        fs.put(f"{folder}/", f"{path}/", recursive=True)
    else:
        fs.put(str(folder), path)
    return address


def large(folder: Path, chunks: int, size: int) -> Path:
    """A checkpoint of one file, chunks of `size` bytes."""
    import torch
    import torch.distributed.checkpoint as dcp

    torch.manual_seed(0)
    dcp.save({f"w{n}": torch.randn(size // 4) for n in range(chunks)}, checkpoint_id=folder, no_dist=True)
    return folder


# ------------------------------------------------------------------------------------------------------------- s3


def test_the_verdict_is_that_of_the_files(copy: Callable[[str], Path], bucket: str) -> None:
    folder = copy("tensor_parallel")
    sound = upload(folder, f"{bucket}/run/tensor_parallel")
    assert findings(sound) == findings(folder)
    assert findings(sound)["sound"]
    # Files are listed in the order of the folder, which is any.
    assert sorted(run("inspect", sound)[1].split("\n")) == sorted(run("inspect", folder)[1].split("\n"))
    code, out, _ = run("diff", folder, sound)
    assert (code, "0 differences" in out) == (0, True)
    damages["flipped_bit"](folder)
    broken = upload(folder, f"{bucket}/broken/tensor_parallel")
    assert findings(broken) == findings(folder)
    assert run("diff", sound, broken)[0] == 1
    (folder / "__2_0.distcp").unlink()
    missing = upload(folder, f"{bucket}/missing/tensor_parallel")
    assert findings(missing) == findings(folder)
    assert "CK102" in [problem["code"] for problem in findings(missing)["problems"]]


def test_a_consolidated_file_and_a_manifest_in_the_store(
    made: Path, copy: Callable[[str], Path], bucket: str, tmp_path: Path
) -> None:
    folder = copy("hand_made")
    address = upload(folder, f"{bucket}/hand_made")
    for name in ("whole", "rank0"):
        file = made / f"hand_made-{name}.safetensors"
        there = upload(file, f"{bucket}/{file.name}")
        assert (
            findings(address, "--consolidated", there)["problems"]
            == findings(folder, "--consolidated", file)["problems"]
        )
    assert run("verify", "--write-manifest", address)[0] == 0
    assert findings(address)["one_save"] == "manifest"
    assert findings(address, "--manifest", f"{address}/{manifest.NAME}")["sound"]
    code, _, err = run("verify", "--write-manifest", address)
    assert (code, err) == (
        2,
        f"error: {address}/{manifest.NAME}: is there already, and nothing is overwritten in a store\n",
    )
    page = tmp_path / "map.html"
    assert run("inspect", address, "--html", page)[0] == 0
    assert "hand_made" in page.read_text()


def test_few_requests(tmp_path: Path, s3: Proxy, bucket: str) -> None:
    # 100 chunks whose ends lie apart: two pages each, and those of neighbours are read together.
    address = upload(large(tmp_path / "large", 100, 100_000), f"{bucket}/large")
    s3.requests.clear()
    report = audit(path_of(address), Wanted(headers_only=True))
    assert (report.chunks, report.is_sound) == (100, True)
    # Chunk by chunk there would be 200, one after the other; small ones lie in one page with their neighbours.
    assert s3.requests["GET range"] <= 110
    assert s3.requests.total() - s3.requests["GET range"] <= 5
    small = upload(large(tmp_path / "small", 100, 400), f"{bucket}/small")
    s3.requests.clear()
    assert audit(path_of(small), Wanted()).is_sound
    assert s3.requests.total() <= 12


def test_a_connection_that_breaks(tmp_path: Path, s3: Proxy, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = large(tmp_path / "large", 2, 6_000_000)
    address = upload(folder, f"{bucket}/large")
    monkeypatch.setattr(store, "_WAITS", (0.0,))
    s3.cuts = 3
    assert audit(path_of(address), Wanted()).is_sound
    assert s3.cuts == 0
    # For ever: the file and the byte are named, and that it was tried again.
    s3.cuts = 1_000_000
    try:
        report = audit(path_of(address), Wanted())
    finally:
        s3.cuts = 0
    assert codes(report) == ["CK102"]
    assert "tried 2 times" in report.problems[0].text or "stopped answering" in report.problems[0].text
    assert re.search(r"__0_0\.distcp.* at byte \d+", f"{report.problems[0].where} {report.problems[0].text}")


def test_what_is_not_there(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in (f"{bucket}/nothing", "s3://no-such-bucket/run"):
        code, out, err = run("verify", address)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(f"error: {address}: no such")
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(key)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", "/nonexistent")
    fsspec.filesystem("s3").clear_instance_cache()
    assert run("verify", f"{bucket}/run")[::2] == (2, f"error: {bucket}/run: Unable to locate credentials\n")


def test_names_that_no_file_can_have(bucket: str, tmp_path: Path) -> None:
    """An object below a name that is another's, and parts of names that mean folders: none is followed, none is passed over."""
    import torch
    from safetensors.torch import save_file

    save_file({"w": torch.ones(4)}, tmp_path / "a.safetensors")
    whole = (tmp_path / "a.safetensors").read_bytes()
    fs, path = fsspec.core.url_to_fs(bucket)
    fs.pipe({f"{path}/below/a.safetensors": whole, f"{path}/below/b.safetensors": whole[:-3]})
    fs.pipe(f"{path}/below/b.safetensors/note.txt", b"x")
    data = findings(f"{bucket}/below")
    assert [problem["where"] for problem in data["problems"]] == ["b.safetensors"]
    assert [item["where"] for item in data["unread"]] == ["b.safetensors/"]
    memory = fsspec.filesystem("memory")
    memory.pipe({"/odd/a.safetensors": whole, "/odd/./b.safetensors": whole, "/odd/../c.safetensors": whole})
    data = findings("memory://odd")
    memory.rm("/odd", recursive=True)
    assert (data["problems"], {item["where"] for item in data["unread"]}) == ([], {".", ".."})


# --------------------------------------------------------------------------------------------------------- memory


@pytest.fixture
def memory() -> Iterator[str]:
    fs = fsspec.filesystem("memory")
    yield "memory://runs"
    if fs.exists("/runs"):
        fs.rm("/runs", recursive=True)


def test_every_format(made: Path, memory: str) -> None:
    upload(made, memory)
    for path in sorted(made.iterdir()):
        assert findings(f"{memory}/{path.name}") == findings(path), path.name


def test_every_damage(made: Path, memory: str, tmp_path: Path) -> None:
    for name, damage in damages.items():
        folder = tmp_path / name / "tensor_parallel"
        shutil.copytree(made / "tensor_parallel", folder)
        shutil.copytree(made / "tensor_parallel-later", f"{folder}-later")
        damage(folder)
        address = upload(folder, f"{memory}/{name}/tensor_parallel")
        # A store has no empty folders, links and times of its own: what is an error is one there too.
        ours, theirs = findings(address), findings(folder)
        errors = [[p["code"] for p in data["problems"] if p["severity"] == "error"] for data in (ours, theirs)]
        assert errors[0] == errors[1], name


def test_a_file_that_is_changed_meanwhile(copy: Callable[[str], Path], memory: str) -> None:
    folder = copy("tensor_parallel")
    address = upload(folder, f"{memory}/run")
    upload(folder, f"{memory}/twin")
    fs = fsspec.filesystem("memory")

    def replaced(_: int) -> None:
        fs.pipe("/runs/run/__1_0.distcp", (folder / "__1_0.distcp").read_bytes())

    report = audit(path_of(address), Wanted(), replaced)
    assert [(p.where, p.text) for p in report.problems] == [
        ("__1_0.distcp", "was changed while it was read; verify it again")
    ]
    assert audit(path_of(f"{memory}/twin"), Wanted(), lambda _: None).is_sound


def test_a_package_that_is_missing() -> None:
    pytest.importorskip("s3fs")
    code = "import sys; sys.modules['s3fs'] = None; from collectivelint.cli import main; main()"
    command = [sys.executable, "-c", code, "ckpt", "verify", "s3://bucket/run"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=os.sep)
    assert ran.returncode == 2
    assert ran.stderr.startswith("error: s3://bucket/run: ")
    assert "s3fs" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_files_here_need_no_fsspec(made: Path) -> None:
    code = "import sys; sys.modules['fsspec'] = None; from collectivelint.cli import main; main()"
    command = [sys.executable, "-c", code, "ckpt", "verify", str(made / "tensor_parallel")]
    assert subprocess.run(command, capture_output=True, check=False, cwd=os.sep).returncode == 0
    command[-1] = "s3://bucket/run"
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=os.sep)
    text = "error: s3://bucket/run: addresses such as s3:// need fsspec: pip install 'collectivelint[stores]'\n"
    assert (ran.returncode, ran.stderr) == (2, text)


def test_values_are_read_in_parallel(tmp_path: Path, memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    address = upload(large(tmp_path / "large", 1, 17_000_000), f"{memory}/large")
    barrier = threading.Barrier(4)
    read = store.Store.read

    def together(self: store.Store, path: str, begin: int, end: int) -> bytes:
        # Would wait for ever if one were read after the other; pages are read by fewer.
        if end - begin == objects.BLOCK:
            barrier.wait(60)
        return read(self, path, begin, end)

    monkeypatch.setattr(store.Store, "read", together)
    assert audit(path_of(address), Wanted()).is_sound


def test_files_of_ranks_are_read_in_parallel(made: Path, memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    address = upload(made / "hand_made-ranks", f"{memory}/ranks")
    barrier = threading.Barrier(4)
    read = torch_save.read

    def together(file: Path, name: str, rank: int | None) -> Any:
        barrier.wait(60)
        return read(file, name, rank)

    monkeypatch.setattr(torch_save, "read", together)
    assert audit(path_of(address), Wanted(headers_only=True)).coverage.files_read == 4


def test_an_address_is_a_path() -> None:
    path = path_of("s3://bucket/run/step_1")
    assert isinstance(path, StorePath)
    assert (str(path), str(path.parent), path.name) == ("s3://bucket/run/step_1", "s3://bucket/run", "step_1")
    assert str(path / "a" / "b.pt") == "s3://bucket/run/step_1/a/b.pt"
    assert (path / "a").relative_to(path).as_posix() == "a"
    assert path == path_of("s3://bucket/run") / "step_1"
    assert str(path_of("memory://")) == "memory://"
    assert not isinstance(path_of("s3:/bucket"), StorePath)
    assert str(path_of("file:///tmp/x")) == "/tmp/x"
