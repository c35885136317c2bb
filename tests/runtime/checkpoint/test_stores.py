"""Checkpoints in stores: a real S3 server on loopback, and one whose connections break."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from collectivelint.runtime.checkpoint.audit import Wanted, audit
from collectivelint.runtime.checkpoint.checks import manifest
from collectivelint.runtime.checkpoint.stores import store
from collectivelint.runtime.checkpoint.stores.path import path_of

from .conftest import codes, module
from .stored import Proxy, findings, large, run, upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

fsspec = pytest.importorskip("fsspec")
damages = module("damages").DAMAGES


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


def test_a_store_that_goes_away(tmp_path: Path, s3: Proxy, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    address = upload(large(tmp_path / "large", 2, 6_000_000), f"{bucket}/large")
    monkeypatch.setattr(store, "_WAITS", (0.0,))

    def gone(_: int) -> None:
        s3.is_gone = True

    try:
        report = audit(path_of(address), Wanted(), gone)
    finally:
        s3.is_gone = False
    assert set(codes(report)) == {"CK102"}
    assert report.coverage.files == 1
    assert "large" in [problem.where for problem in report.problems]


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
    # Some clients leave an empty object for a folder that they made.
    fs.pipe(f"{path}/marked/a.safetensors", whole)
    fs.call_s3("put_object", Bucket=path, Key="marked/a.safetensors/", Body=b"")
    assert findings(f"{bucket}/marked")["unread"] == []
    memory = fsspec.filesystem("memory")
    memory.pipe({"/odd/a.safetensors": whole, "/odd/./b.safetensors": whole, "/odd/../c.safetensors": whole})
    data = findings("memory://odd")
    memory.rm("/odd", recursive=True)
    assert (data["problems"], {item["where"] for item in data["unread"]}) == ([], {".", ".."})
    fs.pipe({f"{path}/empty/a.safetensors": whole, f"{path}/empty/x/c.safetensors": whole})
    # Two slashes: the client would make one of them.
    for key in ("empty//b.safetensors", "empty/x//d.safetensors"):
        fs.call_s3("put_object", Bucket=path, Key=key, Body=whole[:-3])
    # An object that only marks the folder is nothing that could be read.
    fs.call_s3("put_object", Bucket=path, Key="empty/", Body=b"")
    data = findings(f"{bucket}/empty")
    assert [item["where"] for item in data["unread"]] == ["/", "x//"]
