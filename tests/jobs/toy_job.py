"""Jobs of the toy library: `toy_job.py SCENARIO` starts three ranks, each `toy_job.py SCENARIO RANK ADDRESS`, and waits for them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from toy import communicator, source
from toy.communicator import Communicator, serve

SIZE = 3


def agree(world: Communicator) -> None:
    pair = world.create((0, 1), "pair")
    for _ in range(3):
        assert world.allreduce([1.0, 2.0]) == [3.0, 6.0]
    if world.rank < 2:
        assert pair.bcast([float(pair.rank)], root=1) == [1.0]
    world.barrier()


def reduces_differently(world: Communicator) -> None:
    world.allreduce([1.0], "max" if world.rank == 1 else "sum")


def hangs(world: Communicator) -> None:
    pair = world.create((0, 1), "pair")
    if world.rank == 0:
        pair.barrier()
    else:
        world.barrier()


def main() -> None:
    scenario, *which = sys.argv[1:]
    if which:
        assert "torch" not in sys.modules
        source.trace(Path(os.environ["COLLECTIVELINT_TRACE"]))
        globals()[scenario](communicator.world(int(which[0]), SIZE, which[1]))
        return
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/toy")
        listener.listen(SIZE)
        ranks = [
            subprocess.Popen([sys.executable, __file__, scenario, str(rank), f"{folder}/toy"]) for rank in range(SIZE)
        ]
        serve(listener, SIZE)
        sys.exit(max(abs(rank.wait()) for rank in ranks))


if __name__ == "__main__":
    main()
