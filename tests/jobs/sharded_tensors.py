"""FSDP1: the local and the sharded state of each rank in a file of its own, and the whole state of rank 0."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.fsdp import FullyShardedDataParallel, StateDictType

dist.init_process_group("gloo")
folder, rank = Path(sys.argv[1]), dist.get_rank()
torch.manual_seed(0)
model = FullyShardedDataParallel(
    torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.Linear(5, 3)), device_id=torch.device("cpu")
)
kinds = {
    "local": StateDictType.LOCAL_STATE_DICT,
    "sharded": StateDictType.SHARDED_STATE_DICT,
    "whole": StateDictType.FULL_STATE_DICT,
}
for name, kind in kinds.items():
    with FullyShardedDataParallel.state_dict_type(model, kind):
        state = model.state_dict()
    if name != "whole":
        (folder / name).mkdir(exist_ok=True)
        torch.save(state, folder / name / f"rank_{rank}_model.pt")
    elif rank == 0:
        torch.save(state, folder / "whole.pt")
# All have written before one leaves, without C++'s destructors: behind FSDP torch 2.13 with gloo sometimes ends in "terminate called
# without an active exception".
dist.barrier()
sys.stdout.flush()
os._exit(0)
