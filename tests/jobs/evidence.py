"""Calls whose stacks are looked at, on two ranks: `evidence.py SCENARIO FOLDER`."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp


def mean(tensor):
    dist.all_reduce(tensor)


def train():
    for _ in range(3):
        mean(torch.ones(2))


def evaluate():
    mean(torch.ones(3))


def two_callers(_):
    train()
    evaluate()
    train()


def threads(folder):
    model = {"weight": torch.ones(4)}
    dcp.async_save(model, checkpoint_id=f"{folder}/first").result()
    last = dcp.async_save(model, checkpoint_id=f"{folder}/second")
    last.result()
    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(evaluate).result()
        pool.submit(evaluate).result()
        pool.submit(within, pool).result()
    # Behind them, on the main thread: nothing has started that.
    evaluate()


def within(_):
    thread = threading.Thread(target=dist.barrier)
    thread.start()
    thread.join()


def library(_):
    import framework

    framework.fit(lambda: mean(torch.ones(5)))
    framework.fit(framework.synchronise)
    thread = threading.Thread(target=framework.synchronise)
    thread.start()
    thread.join()


if __name__ == "__main__":
    dist.init_process_group("gloo")
    globals()[sys.argv[1]](sys.argv[2])
    dist.destroy_process_group()
