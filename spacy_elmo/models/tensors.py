"""Token vectors of Docs as torch tensors, and the gradients of these tensors as arrays."""

from typing import Any, cast

import numpy as np
import torch
from thinc.api import Ops, torch2xp, xp2torch
from thinc.types import Floats2d
from torch import Tensor


def to_torch(vectors: list[Floats2d], device: torch.device, is_train: bool) -> list[Tensor]:
    """Convert the vectors of Docs to tensors.

    vectors (List[Floats2d]): The vectors of each Doc [n_tokens, D].
    device (torch.device): Device of the tensors.
    is_train (bool): Whether the tensors require a gradient.
    RETURNS (List[Tensor]): The tensors, of the same shapes and dtype.
    """
    return [xp2torch(array, device=device).detach().requires_grad_(is_train) for array in vectors]


def take_rows(x: Tensor, rows: np.ndarray) -> Tensor:
    """Select rows. Consecutive rows are returned as a view.

    x (Tensor): [n, D].
    rows (ndarray): Indices in ascending order, int64 [m].
    RETURNS (Tensor): [m, D].
    """
    if not len(rows):
        return x[:0]
    first, last = int(rows[0]), int(rows[-1])
    if last - first + 1 == len(rows):
        return x[first : last + 1]
    return x.index_select(0, torch.from_numpy(rows).to(x.device))


def gradients(inputs: list[Tensor], vectors: list[Floats2d], ops: Ops) -> list[Floats2d]:
    """Convert the gradients of tensors to arrays, after the backward pass.

    inputs (List[Tensor]): The tensors that `to_torch` returned.
    vectors (List[Floats2d]): The arrays that `to_torch` was given, for their dtypes.
    ops (Ops): Ops that create the arrays.
    RETURNS (List[Floats2d]): The gradients; zeros for a tensor without a gradient.
    """
    return [
        ops.asarray2f(
            cast(Any, torch2xp(torch.zeros_like(x) if x.grad is None else x.grad)),
            dtype=array.dtype,
        )
        for x, array in zip(inputs, vectors)
    ]
