"""Cross-entropy over a large vocabulary, with gradients computed in the forward pass.

The probabilities would be the largest tensor of a training step. They are computed in chunks of
rows, and the gradients of a chunk are computed before the next chunk.
"""

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

# maximum number of probabilities in a chunk. A chunk fits into the cache of a CPU. On a GPU, it is
# large enough to keep the GPU busy while the next kernels are launched.
MAX_ELEMENTS, MAX_ELEMENTS_ON_GPU = 2**20, 2**26
MIN_ROWS = 128
LOG2_E = math.log2(math.e)


def cross_entropy(
    h: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, dtype: torch.dtype | None = None
) -> Tensor:
    """Compute the sum of -log softmax(W h + b)[target].

    h (Tensor): Outputs [N, P].
    weight (Tensor): Weight W [V, P].
    bias (Tensor): Bias b [V].
    targets (Tensor): Classes, int64 [N].
    dtype (torch.dtype | None): Type of the matrix products; None for the type of `h`.
    RETURNS (Tensor): The sum, a scalar.
    """
    # within a torch.autograd.Function gradients are always disabled
    settings = dtype or h.dtype, torch.is_grad_enabled()
    apply = cast(Callable[..., Tensor], _Full.apply)
    return apply(h, weight, bias, targets, *settings)


def sampled_cross_entropy(
    h: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    samples: Tensor,
    corrections: tuple[Tensor, Tensor],
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Compute the sum of the cross-entropies of the targets, each against sampled classes.

    A logit is W h + b - ln Q, where Q is the expected number of times that its class is sampled. A
    sample that equals the target of a row is ignored in that row.

    h, weight, bias, targets, dtype: As for `cross_entropy`.
    samples (Tensor): Distinct classes, int64 [S].
    corrections (tuple[Tensor, Tensor]): ln Q of the targets [N] and of the samples [S].
    RETURNS (Tensor): The sum, a scalar.
    REFERENCE: Jean et al. 2015 and Jozefowicz et al. 2016 (importance sampling); as TensorFlow's
        `sampled_softmax_loss`.
    """
    settings = dtype or h.dtype, torch.is_grad_enabled()
    apply = cast(Callable[..., Tensor], _Sampled.apply)
    return apply(h, weight, bias, targets, samples, *corrections, *settings)


def _chunk_rows(classes: Tensor) -> int:
    limit = MAX_ELEMENTS_ON_GPU if classes.is_cuda else MAX_ELEMENTS
    return max(MIN_ROWS, limit // len(classes))


def _exponentials(logits: Tensor, top: Tensor) -> tuple[Tensor, Tensor]:
    """Return exp(logits - top), computed in place, and its row sums [N, 1]. On a CPU, torch.exp2
    is three times as fast as torch.exp."""
    p = logits.sub_(top).mul_(LOG2_E).exp2_()
    return p, p.sum(dim=1, keepdim=True)


def _softmax(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return unnormalized probabilities, the factor that normalizes each row [N, 1], and -log p of
    the targets [N, 1]. The logits may be overwritten.

    targets (Tensor): Classes, int64 [N, 1].
    """
    if logits.is_cuda:
        # the logits do not fit into the cache of a GPU, and torch's kernel reads them least often
        log_p = torch.log_softmax(logits, dim=1)
        losses = -log_p.gather(1, targets)
        return log_p.exp_(), torch.ones_like(losses), losses
    target_logits = logits.gather(1, targets)
    top = logits.amax(dim=1, keepdim=True)
    p, totals = _exponentials(logits, top)
    return p, totals.reciprocal(), totals.log() + top - target_logits


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
        needs_gradients = training and any(ctx.needs_input_grad)
        cast_h, cast_weight = h.to(dtype), weight.to(dtype)
        cast_bias, weight_t = bias.to(dtype), cast_weight.t()
        total = h.new_zeros(())
        if needs_gradients:
            d_h, d_bias = torch.empty_like(h), torch.zeros_like(bias)
            d_weight = torch.zeros_like(weight)
        n_rows = _chunk_rows(weight)
        for start in range(0, len(h), n_rows):
            rows = slice(start, start + n_rows)
            logits = torch.addmm(cast_bias, cast_h[rows], weight_t).to(h.dtype)
            p, scale, losses = _softmax(logits, targets[rows, None])
            total += losses.sum()
            if needs_gradients:
                # each matrix product applies the factor to its smaller operand instead of p. A
                # matrix-vector product is faster than torch's sum over dimension 0.
                d_bias += torch.mv(p.t(), scale[:, 0])
                p = p.to(dtype)
                torch.mul(torch.mm(p, cast_weight), scale, out=d_h[rows])
                d_weight += torch.mm(p.t(), (h[rows] * scale).to(dtype))
        if needs_gradients:
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
        needs_gradients = training and any(ctx.needs_input_grad)
        cast_h, cast_weight = h.to(dtype), weight[samples].to(dtype)
        cast_bias = (bias[samples] - sample_correction).to(dtype)
        target_weight = weight[targets]
        total = h.new_zeros(())
        if needs_gradients:
            d_h = torch.empty_like(h)
            d_samples = h.new_zeros(cast_weight.shape)
            d_samples_bias = h.new_zeros(len(samples))
            d_targets = torch.empty_like(targets, dtype=h.dtype)
        target_logits = (h * target_weight).sum(dim=1) + bias[targets] - target_correction
        # index of each class among the samples, -1 if it was not sampled
        sample_index = torch.full_like(bias, -1, dtype=torch.int64)
        sample_index[samples] = torch.arange(len(samples), dtype=torch.int64, device=h.device)
        hits = sample_index[targets]
        n_rows = _chunk_rows(samples)
        for start in range(0, len(h), n_rows):
            rows = slice(start, start + n_rows)
            logits = torch.addmm(cast_bias, cast_h[rows], cast_weight.t()).to(h.dtype)
            # one column for every row, with or without a hit: selecting hits would block a GPU
            column = hits[rows, None].clamp(min=0)
            masked = torch.where(hits[rows, None] < 0, logits.gather(1, column), -torch.inf)
            logits.scatter_(1, column, masked)
            own = target_logits[rows]
            top = torch.maximum(logits.amax(dim=1), own)[:, None]
            p, totals = _exponentials(logits, top)
            p_target = (own[:, None] - top).exp()
            totals += p_target
            total += (totals.log() + top - own[:, None]).sum()
            if needs_gradients:
                scale = totals.reciprocal()
                d_samples_bias += torch.mv(p.t(), scale[:, 0])
                p = p.to(dtype)
                d_targets[rows] = (p_target * scale)[:, 0] - 1
                torch.mul(torch.mm(p, cast_weight), scale, out=d_h[rows])
                d_samples += torch.mm(p.t(), (h[rows] * scale).to(dtype))
        if needs_gradients:
            d_h.addcmul_(d_targets[:, None], target_weight)
            ctx.save_for_backward(h, targets, samples)
            ctx.n_words = len(bias)
            ctx.gradients = d_h, d_samples, d_samples_bias, d_targets
        return total

    @staticmethod
    def backward(ctx: Any, d_loss: Tensor) -> Any:
        h, targets, samples = ctx.saved_tensors
        d_h, d_samples, d_samples_bias, d_targets = (x.mul_(d_loss) for x in ctx.gradients)
        del ctx.gradients
        # the gradient of the whole table is allocated in the backward pass of each direction
        d_weight, d_bias = h.new_zeros(ctx.n_words, h.shape[1]), h.new_zeros(ctx.n_words)
        d_weight[samples], d_bias[samples] = d_samples, d_samples_bias
        d_weight.index_add_(0, targets, d_targets[:, None] * h)
        d_bias.index_add_(0, targets, d_targets)
        # targets, samples, both corrections, dtype and training have no gradient
        return d_h, d_weight, d_bias, None, None, None, None, None, None
