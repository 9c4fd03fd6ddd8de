"""The processes that train together, one or many.

Owns what they tell each other beside the gradients, which DistributedDataParallel
averages. Started by `torchrun`, which sets the environment that is read here.
"""

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor
from torch import distributed as dist

from .devices import device_of_gpu_id


@dataclass(frozen=True)
class Workers:
    """This process among all.

    rank (int): Its number, 0 for the one that writes files.
    size (int): How many there are.
    device (torch.device): Where it computes.
    """

    rank: int
    size: int
    device: torch.device

    @classmethod
    def join(cls, gpu_id: int = -1) -> "Workers":
        """Meet the other processes, if `torchrun` started some.

        gpu_id (int): GPU to use, -1 for the CPU. Under torchrun each process of a machine
            takes a GPU of its own, unless this is -1.
        RETURNS (Workers): This process among them.
        """
        size = int(os.environ.get("WORLD_SIZE", "1"))
        name, remedy = "--gpu-id", "Use --gpu-id -1 for the CPU."
        if size > 1 and gpu_id >= 0:
            gpu_id, name = int(os.environ["LOCAL_RANK"]), "LOCAL_RANK"
            remedy = f"Start fewer processes. {remedy}"
        device = device_of_gpu_id(gpu_id, name, remedy)
        if device.type == "cuda":
            torch.cuda.set_device(device)
        if size == 1:
            return cls(0, 1, device)
        if not dist.is_initialized():
            backend = "gloo" if device.type == "cpu" else "nccl"
            # others wait while the first tokenizes the text
            dist.init_process_group(backend, timeout=timedelta(days=7))
        return cls(dist.get_rank(), size, device)

    def leave(self) -> None:
        """Part from the others, at the end."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()

    def wait(self) -> None:
        """Wait until all have come here."""
        if self.size > 1:
            dist.barrier()

    def sum(self, values: Tensor) -> Tensor:
        """RETURNS (Tensor): The sum over all processes, for each of them."""
        if self.size > 1:
            values = values.to(self.device)
            dist.all_reduce(values)
        return values

    def any(self, value: bool) -> bool:
        """RETURNS (bool): Whether it is true for one of them."""
        if self.size == 1:
            return value
        found = torch.tensor([value], dtype=torch.float32, device="cpu")
        return bool(self.sum(found).item())

    def agree(self, value: int) -> bool:
        """RETURNS (bool): Whether all of them have the same whole number."""
        found = torch.tensor([value], dtype=torch.int64, device=self.device)
        return bool((self.gather(found, 0) == value).all())

    def gather(self, tensor: Tensor, dim: int) -> Tensor:
        """RETURNS (Tensor): The tensors of all processes, one after the other."""
        if self.size == 1:
            return tensor
        tensor = tensor.contiguous()
        parts: list[Tensor] = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(parts, tensor)
        return torch.cat(parts, dim=dim)
