"""Jobs that end because of one rank, of two or three: `torchrun ... causes.py NAME`. TIMEOUT is that of the group, in seconds."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from datetime import timedelta

import torch
import torch.distributed as dist


def _raise_soon(error: BaseException) -> None:
    """Raise it from the handler of a signal, while the main thread is in the call that comes next."""

    def handler(number: int, frame: object) -> None:
        raise error

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.3)


def handler_raises(rank: int) -> None:
    """As a data loader does when a worker of its own has died."""
    if rank == 1:
        _raise_soon(RuntimeError("the worker (pid 4711) is killed, timed out waiting"))
    else:
        time.sleep(0.8)
    dist.barrier()
    dist.all_reduce(torch.ones(2))


def interrupted(rank: int) -> None:
    if rank == 1:
        _raise_soon(KeyboardInterrupt())
    else:
        time.sleep(0.8)
    dist.barrier()
    dist.all_reduce(torch.ones(2))


def wrapped(rank: int) -> None:
    """Rank 0 raises an error of its own class for the connection that rank 1 has broken."""
    if rank == 1:
        raise OSError("no space left")
    try:
        dist.barrier()
    except RuntimeError as error:
        raise ValueError("training failed") from error


def killed_in_a_call(rank: int) -> None:
    """Rank 0 waits for both others; only one of them would have come."""
    if rank == 1:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGKILL)).start()
    elif rank == 2:
        prepare()
    dist.barrier()


def leaves(rank: int) -> None:
    if rank == 1:
        os._exit(0)
    dist.barrier()


def alone(rank: int) -> None:
    """Rank 1 fails while rank 0 computes, which waits for no rank."""
    if rank == 1:
        raise ValueError("rank 1 cannot read its shard")
    time.sleep(30)


def prepare() -> None:
    time.sleep(30)


def slow(rank: int) -> None:
    if rank == 0:
        prepare()
    dist.barrier()


def unpicklable(rank: int) -> None:
    """The exception of one rank is caught, which is a call behind from then on."""
    found = [None, None]
    with suppress(TypeError):
        dist.all_gather_object(found, threading.Lock() if rank == 1 else 1)
    dist.barrier()


def unpicklable_everywhere(rank: int) -> None:
    """All ranks are as far as each other; what comes later has another reason."""
    with suppress(TypeError):
        dist.all_gather_object([None, None], threading.Lock())
    dist.all_reduce(torch.ones(2), op=dist.ReduceOp.MAX if rank else dist.ReduceOp.SUM)


def threads(rank: int) -> None:
    """A thread and the main thread call on one group, each first on one of the ranks."""

    def save() -> None:
        time.sleep(0.5 * rank)
        dist.all_reduce(torch.ones(2))

    thread = threading.Thread(target=save)
    thread.start()
    time.sleep(0.5 * (1 - rank))
    dist.barrier()
    thread.join()


if __name__ == "__main__":
    dist.init_process_group("gloo", timeout=timedelta(seconds=int(os.environ.get("TIMEOUT", "600"))))
    dist.all_reduce(torch.ones(2))
    globals()[sys.argv[1]](dist.get_rank())
    dist.destroy_process_group()
