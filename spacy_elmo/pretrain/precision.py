"""The precision of matrix products in training."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def model_precision(precision: str) -> str:
    """Return the precision of the model for a training precision.

    precision (str): "float32", "tf32" or "bfloat16".
    RETURNS (str): "float32" or "bfloat16".
    """
    return "float32" if precision == "tf32" else precision


@contextmanager
def matmul_precision(precision: str, device: torch.device) -> Iterator[None]:
    """Set torch's precision of float32 matrix products in this process, within the context.

    precision (str): "float32", "tf32" or "bfloat16".
    device (torch.device): The device of the model.
    """
    # with bfloat16, TF32 is precise enough for the matrix products that stay in float32
    tf32 = precision == "tf32" or (precision == "bfloat16" and device.type == "cuda")
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
