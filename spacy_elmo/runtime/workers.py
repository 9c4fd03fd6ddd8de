"""Communication between the processes of a distributed training run.

`torchrun` starts the processes and sets the environment variables that are read here.
DistributedDataParallel averages the gradients. `Workers` exchanges all other values.
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
    """One process of a training run with one or more processes.

    rank (int): Rank of this process; rank 0 writes the files.
    size (int): Number of processes.
    device (torch.device): Device of this process.
    """

    rank: int
    size: int
    device: torch.device

    @classmethod
    def join(cls, gpu_id: int = -1) -> "Workers":
        """Join the process group if `torchrun` started several processes.

        gpu_id (int): The GPU to use, -1 for the CPU. Under `torchrun`, any other number means that
            each process of a machine uses the GPU of its local rank.
        RETURNS (Workers): This process.
        RAISES (ValueError): If there is no such GPU.
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
            # the other processes wait while rank 0 tokenizes the corpus, which can take hours
            dist.init_process_group(backend, timeout=timedelta(days=7))
        return cls(dist.get_rank(), size, device)

    def leave(self) -> None:
        """Leave the process group, at the end of the run."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()

    def wait(self) -> None:
        """Wait until all processes have called this method."""
        if self.size > 1:
            dist.barrier()

    def sum(self, values: Tensor) -> Tensor:
        """RETURNS (Tensor): The sum over all processes, in each process."""
        if self.size > 1:
            values = values.to(self.device)
            dist.all_reduce(values)
        return values

    def any(self, value: bool) -> bool:
        """RETURNS (bool): Whether the value is true in at least one process."""
        if self.size == 1:
            return value
        found = torch.tensor([value], dtype=torch.float32, device="cpu")
        return bool(self.sum(found).item())

    def agree(self, value: int) -> bool:
        """RETURNS (bool): Whether all processes have the same integer."""
        found = torch.tensor([value], dtype=torch.int64, device=self.device)
        return bool((self.gather(found, 0) == value).all())

    def gather(self, tensor: Tensor, dim: int) -> Tensor:
        """RETURNS (Tensor): The tensors of all processes in the order of their ranks, concatenated
        along a dimension."""
        if self.size == 1:
            return tensor
        tensor = tensor.contiguous()
        gathered = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(gathered, tensor)
        return torch.cat(gathered, dim=dim)
