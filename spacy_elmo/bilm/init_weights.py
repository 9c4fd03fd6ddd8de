"""Initialization of weights."""

from torch import Tensor, nn


def normal_(weight: Tensor, std: float) -> None:
    """Fill a weight from a normal distribution with mean 0.

    On the meta device this does nothing: `nn.init.normal_` would import PyTorch's compiler there,
    which takes seconds.

    weight (Tensor): Filled in place.
    std (float): Standard deviation.
    """
    if not weight.is_meta:
        nn.init.normal_(weight, std=std)
