"""Muon: momentum whose matrices are made orthogonal (Jordan et al. 2024).

Owns the optimizer for weights that are matrices or stacks of them. Which ones these are is
the trainer's business.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

# x -> a x + b x^3 + c x^5 takes any singular value in (0, 1] to about 1 within 5 rounds
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
N_ROUNDS = 5
# root mean square of AdamW's usual updates in units of its rate (Liu et al. 2025)
ADAMW_RMS = 0.2


class Muon(torch.optim.Optimizer):
    """As `torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"`, for stacks of matrices.

    params (Iterable[nn.Parameter]): The weights [..., rows, columns], or groups of them as
        in torch's optimizers; each matrix of a stack is treated by itself. Weights in a
        group with `n_parts` hold so many matrices of equal size below each other.
    lr (Union[float, Tensor]): The learning rate, on the scale of AdamW's; a tensor where steps
        are to be recorded as a CUDA graph.
    momentum (float): Share of the gradients' average that is kept at a step.
    weight_decay (float): Decay of the weights, in units of the learning rate.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "n_parts": 1}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            lr, momentum = group["lr"], group["momentum"]
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                if not state:
                    state["average"] = torch.zeros_like(param)
                average = state["average"].lerp_(param.grad, 1 - momentum)
                update = torch.lerp(param.grad, average, momentum)
                update = orthogonal(update.unflatten(-2, (group["n_parts"], -1)))
                scale = lr * (ADAMW_RMS * max(update.shape[-2:]) ** 0.5)
                if group["weight_decay"]:
                    param.mul_(1 - lr * group["weight_decay"])
                param.sub_(update.mul_(scale).flatten(-3, -2))


def orthogonal(x: Tensor) -> Tensor:
    """The nearest orthogonal matrices, roughly: singular values become about 1.

    Each round multiplies by a polynomial of the Gram matrix, and what it makes of the Gram
    matrix is known: the rounds need no more than this small one, and the large matrix is
    multiplied once, by the product of all polynomials.

    x (Tensor): Matrices [..., rows, columns].
    RETURNS (Tensor): As x.
    """
    if x.shape[-2] < x.shape[-1]:
        return orthogonal(x.mT).mT
    stack = x.reshape(-1, *x.shape[-2:])
    norms = stack.flatten(1).norm(dim=1).clamp(min=1e-7)
    stack = stack / norms[:, None, None]
    gram = stack.mT @ stack
    a, b, c = COEFFICIENTS
    product = gram
    for n in range(N_ROUNDS):
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal(dim1=1, dim2=2).add_(a)
        product = product @ factor if n else factor
        if n + 1 < N_ROUNDS:
            gram = factor @ gram @ factor
    return (stack @ product).view(x.shape)
