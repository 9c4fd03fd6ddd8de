"""Cross-entropy over a large vocabulary, with the gradients made on the way.

The probabilities are the largest thing of a training step. Here they live for a few
rows at a time, and are turned into gradients in place as soon as they are there.
"""

import math
from typing import Any

import torch
from torch import Tensor

# elements of the probabilities held at once: few enough for a CPU's cache, or for a launch on a
# GPU to pay
MAX_ELEMENTS, MAX_ELEMENTS_ON_GPU = 2**20, 2**26
MIN_ROWS = 128
LOG2_E = math.log2(math.e)


def cross_entropy(
    h: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, dtype: torch.dtype | None = None
) -> Tensor:
    """Sum of -log softmax(W h + b)[target].

    h (Tensor): Outputs [N, P].
    weight, bias (Tensor): [V, P] and [V].
    targets (Tensor): Classes, int64 [N].
    dtype (Optional[torch.dtype]): Type of the matrix products, that of h if None.
    RETURNS (Tensor): The sum, a scalar.
    """
    # inside of the function gradients are always off
    settings = dtype or h.dtype, torch.is_grad_enabled()
    loss: Tensor = _Full.apply(h, weight, bias, targets, *settings)
    return loss


def sampled_cross_entropy(
    h: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    samples: Tensor,
    corrections: tuple[Tensor, Tensor],
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Sum of the cross-entropies of each target among itself and a few samples
    (Jean et al. 2015; as TensorFlow's `sampled_softmax_loss`).

    Logits are corrected by -ln Q, Q being how often a class is expected among the
    samples. A sample that is a row's own target counts for nothing there.

    h, weight, bias, targets, dtype: As for `cross_entropy`.
    samples (Tensor): Distinct classes, int64 [S].
    corrections (Tuple[Tensor, Tensor]): ln Q of the targets [N] and of the samples [S].
    RETURNS (Tensor): The sum, a scalar.
    """
    settings = dtype or h.dtype, torch.is_grad_enabled()
    loss: Tensor = _Sampled.apply(h, weight, bias, targets, samples, *corrections, *settings)
    return loss


def _rows_at_once(classes: Tensor) -> int:
    limit = MAX_ELEMENTS_ON_GPU if classes.is_cuda else MAX_ELEMENTS
    return max(MIN_ROWS, limit // len(classes))


def _exponentials(logits: Tensor, top: Tensor) -> tuple[Tensor, Tensor]:
    """exp(logits - top), in their place, and the totals of the rows [N, 1]. On the CPU
    torch's exp2 is three times as fast as its exp."""
    p = logits.sub_(top).mul_(LOG2_E).exp2_()
    return p, p.sum(dim=1, keepdim=True)


def _softmax(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities before their division by the rows' totals, what to multiply them by, and
    -log p of the targets; targets and the latter two [N, 1]. The logits may be overwritten."""
    if logits.is_cuda:
        # nothing stays in the cache there from one pass over the logits to the next, and
        # torch's kernel needs the fewest
        log_p = torch.log_softmax(logits, dim=1)
        losses = -log_p.gather(1, targets)
        return log_p.exp_(), torch.ones_like(losses), losses
    own = logits.gather(1, targets)
    top = logits.amax(dim=1, keepdim=True)
    p, totals = _exponentials(logits, top)
    return p, totals.reciprocal(), totals.log() + top - own


class _Full(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        h: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        dtype: torch.dtype,
        training: bool,
    ) -> Tensor:
        wanted = training and any(ctx.needs_input_grad)
        cast_h, cast_weight = h.to(dtype), weight.to(dtype)
        cast_bias, weight_t = bias.to(dtype), cast_weight.t()
        total = h.new_zeros(())
        if wanted:
            d_h, d_bias = torch.empty_like(h), torch.zeros_like(bias)
            d_weight = torch.zeros_like(weight)
        n_rows = _rows_at_once(weight)
        for start in range(0, len(h), n_rows):
            rows = slice(start, start + n_rows)
            logits = torch.addmm(cast_bias, cast_h[rows], weight_t).to(h.dtype)
            p, share, losses = _softmax(logits, targets[rows, None])
            total += losses.sum()
            if wanted:
                # of two large products, those of the rows are divided by the totals
                # torch's sum over rows that lie far apart is slow: a product does it
                d_bias += torch.mv(p.t(), share[:, 0])
                p = p.to(dtype)
                torch.mul(torch.mm(p, cast_weight), share, out=d_h[rows])
                d_weight += torch.mm(p.t(), (h[rows] * share).to(dtype))
        if wanted:
            d_h -= weight[targets]
            d_weight.index_add_(0, targets, h, alpha=-1)
            d_bias.index_add_(0, targets, h.new_full((len(h),), -1.0))
            ctx.gradients = d_h, d_weight, d_bias
        return total

    @staticmethod
    def backward(ctx: Any, d_loss: Tensor) -> Any:
        d_h, d_weight, d_bias = (x.mul_(d_loss) for x in ctx.gradients)
        del ctx.gradients
        return d_h, d_weight, d_bias, None, None, None


class _Sampled(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        h: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        samples: Tensor,
        target_correction: Tensor,
        sample_correction: Tensor,
        dtype: torch.dtype,
        training: bool,
    ) -> Tensor:
        wanted = training and any(ctx.needs_input_grad)
        cast_h, cast_weight = h.to(dtype), weight[samples].to(dtype)
        cast_bias = (bias[samples] - sample_correction).to(dtype)
        of_targets = weight[targets]
        total = h.new_zeros(())
        if wanted:
            d_h = torch.empty_like(h)
            d_sampled = h.new_zeros(cast_weight.shape)
            d_sampled_bias = h.new_zeros(len(samples))
            d_targets = torch.empty_like(targets, dtype=h.dtype)
        own = (h * of_targets).sum(dim=1) + bias[targets] - target_correction
        # where each class stands among the samples, -1 for elsewhere
        place = torch.full_like(bias, -1, dtype=torch.int64)
        place[samples] = torch.arange(len(samples), dtype=torch.int64, device=h.device)
        hits = place[targets]
        n_rows = _rows_at_once(samples)
        for start in range(0, len(h), n_rows):
            rows = slice(start, start + n_rows)
            logits = torch.addmm(cast_bias, cast_h[rows], cast_weight.t()).to(h.dtype)
            # no row of its own for each hit, for which a GPU would have to be asked
            at = hits[rows, None]
            without = torch.where(at < 0, logits.gather(1, at.clamp(min=0)), -torch.inf)
            logits.scatter_(1, at.clamp(min=0), without)
            top = torch.maximum(logits.amax(dim=1), own[rows])[:, None]
            p, total_p = _exponentials(logits, top)
            own_p = (own[rows, None] - top).exp()
            total_p += own_p
            total += (total_p.log() + top - own[rows, None]).sum()
            if wanted:
                share = total_p.reciprocal()
                d_sampled_bias += torch.mv(p.t(), share[:, 0])
                p = p.to(dtype)
                d_targets[rows] = (own_p * share)[:, 0] - 1
                torch.mul(torch.mm(p, cast_weight), share, out=d_h[rows])
                d_sampled += torch.mm(p.t(), (h[rows] * share).to(dtype))
        if wanted:
            d_h.addcmul_(d_targets[:, None], of_targets)
            ctx.save_for_backward(h, targets, samples)
            ctx.n_words = len(bias)
            ctx.gradients = d_h, d_sampled, d_sampled_bias, d_targets
        return total

    @staticmethod
    def backward(ctx: Any, d_loss: Tensor) -> Any:
        h, targets, samples = ctx.saved_tensors
        d_h, d_sampled, d_sampled_bias, d_targets = (x.mul_(d_loss) for x in ctx.gradients)
        del ctx.gradients
        # the whole table's gradient is there only now, for one direction at a time
        d_weight, d_bias = h.new_zeros(ctx.n_words, h.shape[1]), h.new_zeros(ctx.n_words)
        d_weight[samples], d_bias[samples] = d_sampled, d_sampled_bias
        d_weight.index_add_(0, targets, d_targets[:, None] * h)
        d_bias.index_add_(0, targets, d_targets)
        return d_h, d_weight, d_bias, *[None] * 6
