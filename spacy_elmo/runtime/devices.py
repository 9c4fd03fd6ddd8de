"""Copying tensors to the device of a model."""

import torch
from torch import Tensor


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device, without waiting for the work in progress on a GPU.

    tensor (Tensor): The tensor.
    device (torch.device): The device.
    RETURNS (Tensor): The tensor on the device.
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        # PyTorch does not reuse the pinned memory before the copy has finished
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
