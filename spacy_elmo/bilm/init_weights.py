"""How weights start."""

from torch import Tensor, nn


def normal_(weight: Tensor, std: float) -> None:
    """`nn.init.normal_`, but nothing where weights have only a shape: on torch's meta device it
    would import torch's compiler, which takes seconds.

    weight (Tensor): Is filled.
    std (float): Standard deviation; the mean is 0.
    """
    if not weight.is_meta:
        nn.init.normal_(weight, std=std)
