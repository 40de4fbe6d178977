"""Several processes, one GPU each, that train one network: torchrun starts them.

Each draws its own samples; gradients are averaged by torch's DistributedDataParallel (Li et al.
2020, arXiv 2006.15704), so all hold the same network. The first one checks, logs and saves.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn


@dataclass(frozen=True)
class Process:
    """Which of how many processes this is, and the device it trains on."""

    index: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.index == 0

    def shared(self, network: nn.Module) -> nn.Module:
        """The network to call in training: its gradients become the mean over all processes."""
        if self.count == 1:
            return network
        on = [self.device] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=on)

    def largest(self, value: int) -> int:
        """The largest value of all processes; all have to ask."""
        if self.count == 1:
            return value
        shared = torch.tensor([value], dtype=torch.int32, device=self.device)
        distributed.all_reduce(shared, distributed.ReduceOp.MAX)
        return int(shared.item())


@contextmanager
def joined(device: str) -> Iterator[Process]:
    """This process among those of torchrun, or alone; device: "auto", "cpu", "cuda", "cuda:1"."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    count, place = int(os.environ.get("WORLD_SIZE", "1")), torch.device(device)
    if place.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device}: torch {torch.__version__} finds no CUDA GPU here")
    if count == 1:
        yield Process(0, 1, place)
        return
    if place.type == "cuda":
        place = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(place)
    distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield Process(distributed.get_rank(), count, place)
    finally:
        distributed.destroy_process_group()
