"""Muon: momentum whose matrices are made orthogonal (Jordan et al. 2024).

Owns the optimizer that treats some weights so. Which ones is the trainer's business.
"""

from typing import Any, Iterable

import torch
from torch import Tensor, nn

# x -> a x + b x^3 + c x^5 takes any singular value in (0, 1] to about 1 within 5 rounds
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
N_ROUNDS = 5
# root mean square of AdamW's usual updates in units of its rate (Liu et al. 2025)
ADAMW_RMS = 0.2


class MuonAdamW(torch.optim.AdamW):
    """Muon for stacks of matrices, AdamW for all else.

    Muon is that of `torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"`.

    params (Iterable[nn.Parameter]): Weights for AdamW.
    matrices (Iterable[nn.Parameter]): Weights for Muon [..., rows, columns], each matrix
        of a stack by itself.
    momentum (float): Share of the gradients' average that Muon keeps at a step.
    settings (Any): Those of AdamW; Muon heeds `lr` and `weight_decay`.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        matrices: Iterable[nn.Parameter],
        momentum: float = 0.95,
        **settings: Any,
    ) -> None:
        super().__init__(params, **settings)
        self.add_param_group({"params": list(matrices), "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            if "momentum" in group:
                for param in group["params"]:
                    self._step_matrices(param, **group)
                    param.grad = None  # AdamW passes by what has no gradient
        super().step()

    def _step_matrices(
        self, param: Tensor, *, lr: float, momentum: float, weight_decay: float, **_: Any
    ) -> None:
        state, gradient = self.state[param], param.grad
        if gradient is None:
            return
        if not state:
            # AdamW looks for its count of steps in all states that are loaded
            state.update(average=torch.zeros_like(param), step=torch.zeros(()))
        state["step"] += 1
        average = state["average"].lerp_(gradient, 1 - momentum)
        update = orthogonal(torch.lerp(gradient, average, momentum))
        param.mul_(1 - lr * weight_decay)
        param.add_(update, alpha=-lr * ADAMW_RMS * max(param.shape[-2:]) ** 0.5)


def orthogonal(x: Tensor) -> Tensor:
    """The nearest orthogonal matrices, roughly: singular values become about 1.

    Each round multiplies by a polynomial of the Gram matrix, and what it makes of the Gram
    matrix is known: the rounds need no more than this small one, and the large matrix is
    multiplied once, by the product of all polynomials.

    x (Tensor): Matrices [..., rows, columns].
    RETURNS (Tensor): As x.
    """
    if x.dim() > 2:  # one by one they stay in a CPU's cache
        return torch.stack([orthogonal(matrix) for matrix in x])
    if len(x) < x.shape[1]:
        return orthogonal(x.t()).t()
    x = x / x.norm().clamp(min=1e-7)
    gram = x.t() @ x
    identity = torch.eye(len(gram), device=x.device, dtype=x.dtype)
    product = identity
    a, b, c = COEFFICIENTS
    for _ in range(N_ROUNDS):
        factor = a * identity + b * gram + c * (gram @ gram)
        product = product @ factor
        gram = factor @ gram @ factor
    return x @ product
