"""Carries the messages of this host's monitor to other hosts through the job's own store (see host_link.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from collectivelint import atomic, reading

from ..traces.messages import LARGEST, link_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_PREFIX: Final = "collectivelint"


class Carrier:
    """Exchanges the monitor's messages on the lowest rank of a host. Its thread calls `carry` at a fixed interval."""

    def __init__(self, folder: Path, rank: int, attempt: int, connect: Callable[[str], Any | None]) -> None:
        """Connect only once the monitor has left a message. `connect`: see source.Source."""
        self._connect = connect
        self._out, self._in = link_files(folder, rank, attempt)
        self._rank, self._attempt = rank, attempt
        self._store: Any = None
        self._stamp = 0
        self._received = b""
        self._joined = False

    def carry(self) -> None:
        """Send what is new, fetch what there is. Raises whatever the store raises when it is gone."""
        try:
            stamp = self._out.stat().st_mtime_ns
        except OSError:
            return
        if self._store is None:
            self._store = self._connect(f"{_PREFIX}/{self._attempt}")
        if self._store is None:
            return
        if stamp != self._stamp:
            self._store.set(f"from/{self._rank}", reading.read_bytes(self._out, LARGEST, follow=False))
            self._stamp = stamp
        if not self._joined:
            if self._rank:
                # Only now, since whoever is counted is read.
                self._store.set(f"host/{self._store.add('hosts', 1)}", str(self._rank))
            self._joined = True
        data = self._fetched()
        if data != self._received:
            self._received = data
            atomic.write(self._in, data, follow=False, durable=False)

    def _fetched(self) -> bytes:
        store = self._store
        if self._rank:
            return bytes(store.get("from/0")) if store.check(["from/0"]) else b""
        hosts = [f"host/{number}" for number in range(1, store.add("hosts", 0) + 1)]
        ready = [host for host in hosts if store.check([host])]
        leaders = [bytes(name).decode() for name in store.multi_get(ready)] if ready else []
        return b"\n".join(map(bytes, store.multi_get([f"from/{leader}" for leader in leaders]))) if leaders else b""
