"""Finding devices, and moving tensors to them."""

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


def device_of_gpu_id(gpu_id: int, name: str, remedy: str) -> torch.device:
    """Return the device for a GPU number, as spaCy's commands take it.

    gpu_id (int): The number of the GPU; below 0 for the CPU.
    name (str): The option or argument that holds the number, for the error message.
    remedy (str): What the user can do, for the error message.
    RETURNS (torch.device): The device.
    RAISES (ValueError): If torch does not find this GPU.
    """
    if gpu_id < 0:
        return torch.device("cpu")
    check_gpu(gpu_id, f"{name} is {gpu_id}", remedy)
    return torch.device("cuda", gpu_id)


def check_gpu(gpu_id: int, setting: str, remedy: str) -> None:
    """Raise an error unless torch finds the GPU with this number.

    gpu_id (int): The number of the GPU, from 0.
    setting (str): The setting that names the GPU, for the error message.
    remedy (str): What the user can do, for the error message.
    RAISES (ValueError): If torch does not find this GPU.
    """
    n_gpus = torch.cuda.device_count()
    if gpu_id >= n_gpus:
        raise ValueError(
            f"{setting}, but torch {torch.__version__} finds {n_gpus} GPUs here. {remedy}"
        )
