"""Checkpoints in stores: what their tests share."""

from __future__ import annotations

import json
import select
import socket
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from collectivelint.runtime.checkpoint.cli import ckpt

if TYPE_CHECKING:
    from pathlib import Path

fsspec = pytest.importorskip("fsspec")


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
        #: Answers nothing any more.
        self.is_gone = False
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
                    if not data or self.is_gone:
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
