"""A correct job that does everything unusual for a given time: `torchrun ... soak.py SECONDS FOLDER`."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp


def main() -> None:
    seconds, folder = float(sys.argv[1]), Path(sys.argv[2])
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    saving = dist.new_group(list(range(world)), group_desc="saving")
    pair = dist.new_group([0, 1])
    rng = random.Random(rank)
    together = random.Random(0)
    end = time.monotonic() + seconds
    last_stop = time.monotonic()
    thread: threading.Thread | None = None
    step = 0
    while True:
        # Rank 0 says whether there is another step; everybody else does as it does.
        go_on = [time.monotonic() < end]
        dist.broadcast_object_list(go_on, src=0)
        if not go_on[0]:
            break
        step += 1
        time.sleep(rng.random() * 0.05)
        for _ in range(together.randint(1, 200)):
            dist.all_reduce(torch.ones(together.randint(1, 64)))
        works = [dist.all_reduce(torch.ones(2), async_op=True) for _ in range(3)]
        if rank < 2 and step % 3 == 0:
            dist.all_gather_object([None, None], "x" * rng.randint(1, 1000), group=pair)
        for work in works:
            work.wait()
        if step % 20 == 0:
            group = dist.new_group(together.sample(range(world), 2))
            if dist.get_rank(group) >= 0:
                dist.barrier(group=group)
                dist.destroy_process_group(group)
        if step % 25 == 0:
            if thread is not None:
                thread.join()
            state = {"weight": torch.full((100,), float(step))}
            target = folder / f"checkpoint{step % 50}"
            thread = threading.Thread(
                target=dcp.save, args=(state,), kwargs={"checkpoint_id": target, "process_group": saving}
            )
            thread.start()
        if rank == 1 and time.monotonic() - last_stop > 45 and end - time.monotonic() > 25:
            last_stop = time.monotonic()
            subprocess.Popen(["sh", "-c", f"sleep 20; kill -CONT {os.getpid()}"])
            os.kill(os.getpid(), signal.SIGSTOP)
    if thread is not None:
        thread.join()
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
