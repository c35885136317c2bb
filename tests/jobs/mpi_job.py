"""Jobs of MPI: `mpiexec -n 3 python mpi_job.py SCENARIO`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from mpi import source
from mpi4py import MPI


def agree(world: MPI.Intracomm) -> None:
    pair = world.Split(world.rank // 2)
    total = np.zeros(2)
    world.Allreduce(np.ones(2), total)
    assert total.tolist() == [3.0, 3.0]
    value = np.array([float(pair.rank)])
    pair.Bcast(value, root=pair.size - 1)
    assert value[0] == pair.size - 1
    if world.rank:
        world.Send(value, 0)
    else:
        for rank in (2, 1):
            world.Recv(value, rank)
    world.Barrier()


def other_root(world: MPI.Intracomm) -> None:
    world.Bcast(np.zeros(1), root=1 if world.rank == 1 else 0)
    world.Barrier()


def hangs(world: MPI.Intracomm) -> None:
    pair = world.Split(world.rank // 2)
    if world.rank == 0:
        pair.Barrier()
    else:
        world.Barrier()


if __name__ == "__main__":
    assert "torch" not in sys.modules
    source.trace(Path(os.environ["COLLECTIVELINT_TRACE"]))
    globals()[sys.argv[1]](MPI.COMM_WORLD)
