"""Muon: momentum with orthogonalized updates, for weights that are stacks of matrices."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

# x -> a x + b x^3 + c x^5 maps any singular value in (0, 1] to about 1 within N_ITERATIONS
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
N_ITERATIONS = 5
# typical root mean square of AdamW's updates, in units of its learning rate (Liu et al. 2025)
ADAMW_RMS = 0.2


class Muon(torch.optim.Optimizer):
    """Muon for stacks of matrices, as `torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"`.

    params (Iterable[Parameter]): The weights [..., rows, columns], or parameter groups as in
        torch's optimizers. Each matrix of a stack is orthogonalized separately. In a group with
        `n_matrices`, a weight consists of `n_matrices` matrices of equal size, concatenated along
        the rows.
    lr (float | Tensor): The learning rate, on the scale of AdamW's; a tensor to change it between
        replays of a CUDA graph.
    momentum (float): Decay rate of the average of the gradients, 0 to 1.
    weight_decay (float): Decoupled weight decay, in units of the learning rate.
    REFERENCE: Jordan et al. 2024 (Muon); Liu et al. 2025 (scale of the updates).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "n_matrices": 1,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update the weights that have a gradient."""
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
                # [..., n_matrices, rows, columns]
                update = orthogonalize(update.unflatten(-2, (group["n_matrices"], -1)))
                scale = lr * (ADAMW_RMS * max(update.shape[-2:]) ** 0.5)
                if group["weight_decay"]:
                    param.mul_(1 - lr * group["weight_decay"])
                param.sub_(update.mul_(scale).flatten(-3, -2))


def orthogonalize(x: Tensor) -> Tensor:
    """Return approximately the nearest orthogonal matrices, with singular values of about 1.

    Each Newton-Schulz iteration multiplies by a polynomial of the Gram matrix. The next Gram matrix
    follows from the previous one and the polynomial. The iterations therefore run on the small Gram
    matrices, and the large matrix is multiplied only once, by the product of all polynomials.

    x (Tensor): Matrices [..., rows, columns].
    RETURNS (Tensor): Matrices of the same shape.
    REFERENCE: Jordan et al. 2024, Newton-Schulz iteration.
    """
    if x.shape[-2] < x.shape[-1]:
        return orthogonalize(x.mT).mT
    stack = x.reshape(-1, *x.shape[-2:])
    norms = stack.flatten(1).norm(dim=1).clamp(min=1e-7)
    stack = stack / norms[:, None, None]
    gram = stack.mT @ stack
    a, b, c = COEFFICIENTS
    product = gram
    for n in range(N_ITERATIONS):
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal(dim1=1, dim2=2).add_(a)
        product = product @ factor if n else factor
        if n + 1 < N_ITERATIONS:
            gram = factor @ gram @ factor
    return torch.matmul(stack, product).view(x.shape)
