"""Sums over the tokens of each span, computed as differences of prefix sums.

The cost does not depend on the widths of the spans. Prefix sums are in float64, because they run
over the whole text while their differences cover a few tokens.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def weighted_means(x: Tensor, weights: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Return the weighted mean of the vectors in each span. It is differentiable.

    x (Tensor): Vectors of tokens [n, D].
    weights (Tensor): Weights of tokens [n, 1].
    first, last (Tensor): First and last token of each span, int64 [n_spans].
    RETURNS (Tensor): [n_spans, D].
    """
    differentiable_sums: Callable[[Tensor, Tensor, Tensor], Tensor] = _SpanSums.apply
    totals = differentiable_sums(x * weights, first, last)
    weight_totals = differentiable_sums(weights, first, last)
    return totals / weight_totals


def prefix_sums(x: Tensor) -> Tensor:
    """Return the sums of the first 0, 1, ... n rows.

    x (Tensor): [n, D].
    RETURNS (Tensor): float64 [n + 1, D].
    """
    sums = x.new_zeros(len(x) + 1, x.shape[1], dtype=torch.float64)
    torch.cumsum(x, 0, dtype=torch.float64, out=sums[1:])
    return sums


def span_sums(sums: Tensor, first: Tensor, last: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the sum of the rows in each span.

    sums (Tensor): Prefix sums of the rows, see `prefix_sums`.
    first, last (Tensor): First and last row of each span, int64 [n_spans].
    dtype (torch.dtype): Type of the result.
    RETURNS (Tensor): [n_spans, D].
    """
    return sums.index_select(0, last + 1).sub_(sums.index_select(0, first)).to(dtype)


class _SpanSums(torch.autograd.Function):
    """Sums of the rows [n, D] in each span [n_spans, D], with a backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, first: Tensor, last: Tensor) -> Tensor:
        ctx.save_for_backward(first, last)
        ctx.n = len(x)
        return span_sums(prefix_sums(x), first, last, x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_totals: Tensor) -> Any:
        first, last = ctx.saved_tensors
        d_sums = d_totals.new_zeros(ctx.n + 1, d_totals.shape[1])
        d_sums.index_add_(0, last + 1, d_totals)
        d_sums.index_add_(0, first, d_totals, alpha=-1)
        # all later prefix sums contain the token
        d_x = d_sums[1:].flip(0).cumsum(0, dtype=torch.float64).flip(0)
        return d_x.to(d_totals.dtype), None, None
