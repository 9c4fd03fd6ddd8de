"""Vectors of Docs from a tok2vec to torch, and their gradients back."""

from typing import Any, List, cast

import torch
from thinc.api import Ops, torch2xp, xp2torch
from thinc.types import Floats2d
from torch import Tensor


def to_torch(vectors: List[Floats2d], device: torch.device, is_train: bool) -> List[Tensor]:
    """RETURNS (List[Tensor]): The same vectors, that take a gradient in training."""
    return [xp2torch(part, device=device).detach().requires_grad_(is_train) for part in vectors]


def gradients(inputs: List[Tensor], vectors: List[Floats2d], ops: Ops) -> List[Floats2d]:
    """RETURNS (List[Floats2d]): The gradient of each, zero where none has come.

    inputs (List[Tensor]): What `to_torch` gave, after the backward pass.
    vectors (List[Floats2d]): What it was made of, for the types.
    ops (Ops): Of the arrays.
    """
    return [
        ops.asarray2f(
            cast(Any, torch2xp(torch.zeros_like(part) if part.grad is None else part.grad)),
            dtype=array.dtype,
        )
        for part, array in zip(inputs, vectors)
    ]
