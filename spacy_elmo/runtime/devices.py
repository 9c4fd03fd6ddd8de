"""How what is made on the CPU comes to where the model is."""

import torch
from torch import Tensor


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """RETURNS (Tensor): The tensor on a device. A GPU is not waited for: what it has still to
    do goes on while the next is made ready."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        # from pinned memory, which torch does not give away before it has been read
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
