"""What it costs to watch a job beside it, with many streams of calls or many signatures.

`make bench-watch`. The real writer writes the rings of four ranks in this process, and the real monitor looks at
them as it does four times a second. Between two looks little happens, as in a job: each rank makes some calls. Printed are
milliseconds of processor time a look: the first, and the median and the largest of the others. In every second case one call of
each rank goes on all the time, so that who waits for whom is looked at as well.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from collectivelint.runtime.beside.monitor import POLL, Monitor
from collectivelint.runtime.traces.model import State
from collectivelint.runtime.traces.ring import KINDS
from collectivelint.runtime.traces.writer import Writer

RANKS: Final = 4
COLLECTIVE, P2P = KINDS.index("collective"), KINDS.index("p2p")


class Job:
    """Rings of four ranks; `step` makes calls on all of them, on streams and with signatures that take turns."""

    def __init__(self, folder: Path, streams: int, signatures: int) -> None:
        """Store the names, and make one call on each stream, and with each signature."""
        host = os.uname().nodename
        started = time.time()
        self.writers = [
            Writer(folder, rank=rank, world_size=RANKS, attempt=0, started=started, host=host, local=RANKS, job="here")
            for rank in range(RANKS)
        ]
        self.streams, self.signatures, self.calls = streams, max(1, signatures), 0
        self.counts = [[0] * (streams + 1) for _ in self.writers]
        for writer in self.writers:
            self.group = writer.name("group", {"ranks": list(range(RANKS)), "ordinal": 0, "description": "default_pg"})
            self.place = writer.name("place", {"path": "train.py", "line": 3, "function": "step", "stack": []})
            for number in range(self.signatures):
                last = writer.name("signature", {"op": "all_reduce", "tensors": [[[number], "torch.float32"]]})
            self.first = last - self.signatures + 1
            writer.stream({"group": self.group, "kind": "collective", "op": "", "peer": -1, "tag": 0})
        for rank, writer in enumerate(self.writers):
            for number in range(streams):
                op, peer = ("send", (rank + 1) % RANKS) if number % 2 else ("recv", (rank - 1) % RANKS)
                writer.stream({"group": self.group, "kind": "p2p", "op": op, "peer": peer, "tag": number // 2})
        self.step(max(streams, signatures))

    def step(self, calls: int) -> None:
        """So many calls of each rank, which all end."""
        for _ in range(calls):
            self.calls += 1
            stream = 1 + self.calls % self.streams if self.streams else 0
            for rank in range(RANKS):
                self.writers[rank].end(self.begin(rank, stream), State.DONE, time.time())

    def begin(self, rank: int, stream: int) -> int:
        """The number of a call that begins."""
        self.counts[rank][stream] += 1
        count = self.counts[rank][stream]
        is_p2p = stream > 0
        peer = ((rank + 1) if (stream - 1) % 2 else (rank - 1)) % RANKS if is_p2p else -1
        signature = self.first + self.calls % self.signatures
        kind = P2P if is_p2p else COLLECTIVE
        return self.writers[rank].add(
            kind, self.group, count, signature, self.place, peer, False, time.time(), 0, stream, count
        )


def measure(streams: int, signatures: int, *, waits: bool, looks: int) -> list[float]:
    """Milliseconds of processor time of each look."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = Job(folder, streams, signatures)
        if waits:
            # Three ranks wait in a collective; the last one comes to it when the looks are over.
            for rank in range(RANKS - 1):
                job.begin(rank, 0)
        # Each second it also looks which rank is slow.
        monitor = Monitor(folder, 1.0, lambda _: None)
        times = []
        for _ in range(looks):
            begun = time.thread_time()
            found = monitor.look()
            times.append((time.thread_time() - begun) * 1e3)
            assert found is None, found
            if not waits:
                job.step(random.Random(looks).randrange(1, 200))
            time.sleep(POLL / 5)
        return times


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--looks", type=int, default=40)
    looks = parser.parse_args().looks
    print(f"{RANKS} ranks; ms of processor time a look: first, median, largest")
    for streams, signatures in ((0, 1), (4000, 1), (0, 8000), (4000, 8000)):
        for waits in (False, True):
            first, *rest = measure(streams, signatures, waits=waits, looks=looks)
            case = f"{streams:>5} p2p streams, {signatures:>5} signatures, {'waiting' if waits else 'calling'}"
            print(f"{case}: {first:7.1f} {statistics.median(rest):7.2f} {max(rest):7.2f}", flush=True)


if __name__ == "__main__":
    main()
