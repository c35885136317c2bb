"""Checkpoints as the libraries write them that people train with: `layouts.py KIND FOLDER [STEPS]`, under torchrun with two ranks.

Small models, few steps. What is needed is installed by `make test-layouts`, and is not part of the ordinary tests.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

STEPS = int(sys.argv[3]) if len(sys.argv) > 3 else 2


class Net(torch.nn.Module):
    """Sizes that two ranks do not divide, a frozen layer, a buffer, tied weights."""

    def __init__(self, *, tied: bool = True) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(13, 7)
        self.frozen = torch.nn.Linear(7, 5)
        for parameter in self.frozen.parameters():
            parameter.requires_grad_(False)
        self.register_buffer("shift", torch.arange(5.0))
        self.up = torch.nn.Linear(5, 7)
        self.head = torch.nn.Linear(7, 13, bias=False)
        if tied:
            self.head.weight = self.embed.weight
        self.scale = torch.nn.Parameter(torch.tensor([1.5]))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden = (self.frozen(self.embed(tokens)) + self.shift).to(self.up.weight.dtype)
        return self.head(self.up(hidden)) * self.scale


def groups(model: torch.nn.Module) -> list[dict[str, Any]]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in trained if parameter.ndim > 1]},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]


def tokens() -> torch.Tensor:
    return torch.randint(0, 13, (4,))


def zero(folder: Path, stage: int) -> None:
    """DeepSpeed."""
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import deepspeed

    model = Net()
    config = {
        "train_micro_batch_size_per_gpu": 4,
        # Small, so that a rank has several flat groups.
        "zero_optimization": {"stage": stage, "stage3_param_persistence_threshold": 0, "sub_group_size": 60},
        "zero_allow_untested_optimizer": True,
        "bf16": {"enabled": True},
    }
    optimizer = torch.optim.AdamW(groups(model), lr=1e-2)
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config, dist_init_required=True)
    for _ in range(STEPS):
        engine.backward(engine(tokens()).float().pow(2).mean())
        engine.step()
    engine.save_checkpoint(str(folder), tag=f"global_step{STEPS}")


def accelerate(folder: Path) -> None:
    """accelerate without sharding."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model = Net(tied=False)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    model, optimizer, schedule = accelerator.prepare(model, optimizer, schedule)
    for _ in range(STEPS):
        accelerator.backward(model(tokens()).pow(2).mean())
        optimizer.step()
        optimizer.zero_grad()
    accelerator.save_state(str(folder))


def accelerate_fsdp(folder: Path) -> None:
    """accelerate with FSDP2: its Accelerator shards on a GPU only, what it saves with does not need one."""
    from accelerate import Accelerator, FullyShardedDataParallelPlugin
    from accelerate.utils import save_fsdp_model, save_fsdp_optimizer
    from torch.distributed.fsdp import fully_shard

    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2, state_dict_type="SHARDED_STATE_DICT", cpu_ram_efficient_loading=False
    )
    accelerator = Accelerator(cpu=True)
    model = torch.nn.Sequential(torch.nn.Embedding(13, 7), torch.nn.Linear(7, 5))
    fully_shard(model, mesh=dist.init_device_mesh("cpu", (2,)))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(STEPS):
        model(tokens()).pow(2).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    # The random states.
    accelerator.save_state(str(folder))
    save_fsdp_model(plugin, accelerator, model, str(folder))
    save_fsdp_optimizer(plugin, accelerator, optimizer, model, str(folder))


def lightning(folder: Path, strategy: str) -> None:
    """Lightning: a file of `Trainer.save_checkpoint`, or a folder of shards with FSDP2 (its FSDP1 needs a GPU)."""
    import lightning as lit
    from lightning.pytorch.strategies import ModelParallelStrategy

    class Module(lit.LightningModule):
        def __init__(self, width: int = 5, path: Path = Path("/data")) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.net = Net(tied=False)

        def configure_model(self) -> None:
            from torch.distributed.fsdp import fully_shard

            if strategy == "fsdp2":
                # FSDP2 takes no parameters of one element.
                del self.net.scale
                self.net.scale = 1.5
                fully_shard(self.net, mesh=self.device_mesh["data_parallel"])

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return self.net(batch[0].view(-1)).pow(2).mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW([p for p in self.parameters() if p.requires_grad], 1e-2)

    chosen = ModelParallelStrategy(process_group_backend="gloo") if strategy == "fsdp2" else strategy
    trainer = lit.Trainer(
        max_steps=STEPS, accelerator="cpu", devices=2, strategy=chosen, default_root_dir=folder.parent, logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    data = torch.utils.data.TensorDataset(torch.randint(0, 13, (8, 4)))
    trainer.fit(Module(), torch.utils.data.DataLoader(data, batch_size=1))
    trainer.save_checkpoint(folder / "last.ckpt")


def trainer(folder: Path) -> None:
    """The Trainer of transformers."""
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

    config = LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=16,
    )  # fmt: skip
    row = torch.arange(8)
    arguments = TrainingArguments(
        output_dir=str(folder), max_steps=STEPS, save_steps=STEPS, per_device_train_batch_size=1, use_cpu=True, report_to=[],
        disable_tqdm=True,
    )  # fmt: skip
    Trainer(
        model=LlamaForCausalLM(config), args=arguments, train_dataset=[{"input_ids": row, "labels": row}] * 8
    ).train()


def megatron(folder: Path) -> None:
    """Megatron Core's distributed checkpoints (`torch_dist`)."""
    from megatron.core import dist_checkpointing, parallel_state
    from megatron.core.dist_checkpointing import ShardedTensor

    dist.init_process_group("gloo")
    if not torch.cuda.is_available():
        # It waits for the device before it writes; there is none here to wait for.
        torch.cuda.synchronize = lambda *_: None
        torch.cuda.current_device = lambda: "cpu"
    parallel_state.initialize_model_parallel(tensor_model_parallel_size=2)
    rank = dist.get_rank()
    folder.mkdir(exist_ok=True)
    dist.barrier()
    state = {
        "decoder.weight": ShardedTensor.from_rank_offsets("decoder.weight", torch.randn(6, 4), (0, rank, 2)),
        "decoder.out": ShardedTensor.from_rank_offsets("decoder.out", torch.randn(4, 6), (1, rank, 2)),
        "norm": ShardedTensor.from_rank_offsets("norm", torch.ones(4), replica_id=rank),
        "iteration": STEPS,
    }
    dist_checkpointing.save(state, str(folder))


def fsdp1(folder: Path, kind: str) -> None:
    """FSDP1 with sharded states by DCP, or local states in a file for each rank."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.fsdp import FullyShardedDataParallel, StateDictType

    dist.init_process_group("gloo")
    model = FullyShardedDataParallel(
        torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.Linear(5, 3)), device_id=torch.device("cpu")
    )
    model(torch.randn(2, 7)).sum().backward()
    types = {"sharded": StateDictType.SHARDED_STATE_DICT, "local": StateDictType.LOCAL_STATE_DICT}
    with FullyShardedDataParallel.state_dict_type(model, types[kind]):
        state = model.state_dict()
    if kind == "sharded":
        dcp.save({"model": state}, checkpoint_id=folder)
    else:
        folder.mkdir(exist_ok=True)
        torch.save(state, folder / f"rank_{dist.get_rank()}_model.pt")


def titan(folder: Path) -> None:
    """FSDP2 and DCP with the optimizer, as torchtitan saves; the whole model beside the folder."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, get_state_dict
    from torch.distributed.fsdp import fully_shard

    dist.init_process_group("gloo")
    model = Net(tied=False)
    mesh = dist.init_device_mesh("cpu", (2,))
    fully_shard(model.up, mesh=mesh)
    fully_shard(model, mesh=mesh)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-2)
    for _ in range(STEPS):
        model(tokens()).pow(2).mean().backward()
        optimizer.step()
    weights, states = get_state_dict(model, optimizer, options=StateDictOptions(flatten_optimizer_state_dict=True))
    dcp.save(
        {**weights, "optimizer": states, "train_state": {"step": STEPS}, "lr_scheduler": {"last_epoch": 1}},
        checkpoint_id=folder,
    )
    whole = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if dist.get_rank() == 0:
        torch.save(whole, folder.parent / f"{folder.name}-whole.pt")


def torch_checkpointing(folder: Path) -> None:
    """torch_checkpointing: a file for each item and rank, and metadata of what may be loaded by another number of ranks."""
    from torch.distributed.tensor import Shard, distribute_tensor
    from torch_checkpointing import CheckpointManager, ItemSpec
    from torch_checkpointing.config import SyncCheckpointSaverConfig
    from torch_checkpointing.default_resharder import DefaultResharder
    from torch_checkpointing.metadata_manager import DefaultMetadataManager
    from torch_checkpointing.storage.filesystem import LocalFileSystemStorageConfig

    dist.init_process_group("gloo")
    if not torch.cuda.is_available():
        # It gathers its metadata on the device.
        def gathered(_: object, data: object, *_args: object, **_kwargs: object) -> dict[int, object]:
            found: list[object] = [None] * dist.get_world_size()
            dist.all_gather_object(found, data)
            return dict(enumerate(found))

        DefaultMetadataManager._all_gather_pickled_data = gathered
        torch.cuda.synchronize = lambda *_: None
        torch.cuda.current_device = lambda: "cpu"
    mesh = dist.init_device_mesh("cpu", (2,))
    weight = distribute_tensor(torch.randn(13, 7), mesh, [Shard(0)])
    optimizer = {"state": {"w": {"exp_avg": weight * 2, "step": torch.tensor(float(STEPS))}}}
    config = CheckpointManager.Config(
        save=SyncCheckpointSaverConfig(),
        storage_config=LocalFileSystemStorageConfig(use_direct_io=False),
        items={name: ItemSpec(resharder=DefaultResharder()) for name in ("model", "optimizer")},
    )
    manager = CheckpointManager(config)
    manager.save(str(folder), {"model": {"w": weight, "bias": torch.ones(5)}, "optimizer": optimizer, "step": STEPS})
    manager.close()


KINDS = {
    "zero1": lambda folder: zero(folder, 1), "zero2": lambda folder: zero(folder, 2), "zero3": lambda folder: zero(folder, 3),
    "accelerate": accelerate, "lightning": lambda folder: lightning(folder, "ddp"),
    "accelerate_fsdp": accelerate_fsdp, "lightning_fsdp": lambda folder: lightning(folder, "fsdp2"),
    "trainer": trainer, "megatron": megatron, "fsdp1_sharded": lambda folder: fsdp1(folder, "sharded"),
    "fsdp1_local": lambda folder: fsdp1(folder, "local"), "titan": titan, "torch_checkpointing": torch_checkpointing,
}  # fmt: skip

if __name__ == "__main__":
    # Megatron's ranks have parts of their own, all others the same model, which their libraries cut.
    torch.manual_seed(int(os.environ["RANK"]) if sys.argv[1] in ("megatron", "torch_checkpointing") else 0)
    KINDS[sys.argv[1]](Path(sys.argv[2]))
    if dist.is_initialized():
        # A rank that leaves first breaks the connections of the other.
        dist.barrier()
        dist.destroy_process_group()
