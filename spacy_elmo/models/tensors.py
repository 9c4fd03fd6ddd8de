"""Vectors of Docs from a tok2vec to torch, and their gradients back."""

from typing import Any, cast

import numpy as np
import torch
from thinc.api import Ops, torch2xp, xp2torch
from thinc.types import Floats2d
from torch import Tensor


def to_torch(vectors: list[Floats2d], device: torch.device, is_train: bool) -> list[Tensor]:
    """RETURNS (List[Tensor]): The same vectors, that take a gradient in training."""
    return [xp2torch(part, device=device).detach().requires_grad_(is_train) for part in vectors]


def take_rows(x: Tensor, rows: np.ndarray) -> Tensor:
    """Select rows, without a copy where they are neighbours.

    x (Tensor): [n, D].
    rows (ndarray): Ascending, int64 [m].
    RETURNS (Tensor): [m, D].
    """
    if not len(rows):
        return x[:0]
    first, last = int(rows[0]), int(rows[-1])
    if last - first + 1 == len(rows):
        return x[first : last + 1]
    return x.index_select(0, torch.from_numpy(rows).to(x.device))


def gradients(inputs: list[Tensor], vectors: list[Floats2d], ops: Ops) -> list[Floats2d]:
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
