"""Scores of spans, without a vector for each.

What a span's first token, last token, width and content add to a hidden layer is made once
per token and summed per span. Owns this network and nothing of what the scores mean.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# logits of attention are held within this, so that prefix sums of weights stay exact; a bound
# that depends on the text would make a span's score depend on what else is in the batch
ATTENTION_RANGE = 8.0
# spans that are scored at once where no gradient is wanted, which bounds the memory
CHUNK_SPANS = 10_000


class SpanScorer(nn.Module):
    """Scores of spans.

    width (int): Width D of the token vectors.
    hidden (int): Width H of the hidden layer.
    depth (int): Hidden layers.
    dropout (float): On the hidden layers.
    max_width (int): Spans of so many tokens and longer ones are not told apart by their width.
    n_scores (int): Scores of each span.
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        depth: int,
        dropout: float,
        max_width: int,
        n_scores: int = 1,
    ) -> None:
        super().__init__()
        self.max_width = max_width
        self.first = nn.Linear(width, hidden, dtype=torch.float32)
        self.last = nn.Linear(width, hidden, bias=False, dtype=torch.float32)
        self.content = nn.Linear(width, hidden, bias=False, dtype=torch.float32)
        self.widths = nn.Embedding(max_width, hidden, dtype=torch.float32)
        self.attention = nn.Linear(width, 1, dtype=torch.float32)
        self.score = FeedForward(hidden, depth, dropout, n_scores)
        nn.init.zeros_(self.widths.weight)

    def forward(self, x: Tensor, first: Tensor, last: Tensor, weights: Tensor) -> Tensor:
        """RETURNS (Tensor): Scores of spans [n_spans, n_scores].

        x (Tensor): Vectors of the tokens [n, D].
        first, last (Tensor): First and last token of each span, int64 [n_spans].
        weights (Tensor): Those of `attention_of` [n, 1].
        """
        of_first, of_last, content = self.first(x), self.last(x), self.content(x)

        def score(first: Tensor, last: Tensor, means: Tensor) -> Tensor:
            sums = of_first.index_select(0, first) + of_last.index_select(0, last)
            sums = sums + self.widths(self.width_class(first, last)) + means
            # spans with the same first token share what is dropped
            found: Tensor = self.score(sums, first)
            return found

        if torch.is_grad_enabled():
            return score(first, last, attended(content, weights, first, last))
        totals, shares = prefix_sums(content * weights), prefix_sums(weights)
        chunks: list[Tensor] = []
        for start, end in zip(first.split(CHUNK_SPANS), last.split(CHUNK_SPANS)):
            means = within(totals, start, end, x.dtype) / within(shares, start, end, x.dtype)
            chunks.append(score(start, end, means))
        return torch.cat(chunks)

    def width_class(self, first: Tensor, last: Tensor) -> Tensor:
        return (last - first).clamp(max=self.max_width - 1)

    def attention_of(self, x: Tensor) -> Tensor:
        """RETURNS (Tensor): How much each token weighs in the spans it is in [n, 1]."""
        return torch.exp(self.attention(x).clamp(-ATTENTION_RANGE, ATTENTION_RANGE))


class FeedForward(nn.Module):
    """ReLU, dropout and a linear layer, `depth` times: hidden sums [..., H] -> [..., n_scores].

    The first layer is what the caller has summed. Rows that have something in common share
    what is dropped: random numbers for all of them would take longer than the layers do.
    """

    def __init__(self, hidden: int, depth: int, dropout: float, n_scores: int = 1) -> None:
        super().__init__()
        self.dropout = dropout
        self.layers = nn.ModuleList(
            nn.Linear(hidden, hidden, dtype=torch.float32) for _ in range(depth - 1)
        )
        self.output = nn.Linear(hidden, n_scores, dtype=torch.float32)

    def forward(self, sums: Tensor, groups: Tensor | None = None) -> Tensor:
        """RETURNS (Tensor): Scores [..., n_scores].

        sums (Tensor): [n, H], or [n, m, H], of which the m share what is dropped.
        groups (Optional[Tensor]): Rows of one number share what is dropped, int64 [n].
        """
        x = self._activate(sums, groups)
        for layer in self.layers:
            x = self._activate(layer(x), groups)
        found: Tensor = self.output(x)
        return found

    def _activate(self, x: Tensor, groups: Tensor | None) -> Tensor:
        x = torch.relu(x)
        if not self.training or not self.dropout:
            return x
        if groups is None:
            kept = x.new_ones(len(x), *[1] * (x.dim() - 2), x.shape[-1])
        else:
            kept = x.new_ones(int(groups.max()) + 1 if len(groups) else 0, x.shape[-1])
        kept = nn.functional.dropout(kept, self.dropout)
        return x * (kept if groups is None else kept.index_select(0, groups))


def attended(x: Tensor, weights: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Weighted means within spans.

    x (Tensor): [n, D].
    weights (Tensor): [n, 1].
    first, last (Tensor): int64 [n_spans].
    RETURNS (Tensor): [n_spans, D].
    """
    totals: Tensor = _Within.apply(x * weights, first, last)
    shares: Tensor = _Within.apply(weights, first, last)
    return totals / shares


def prefix_sums(x: Tensor) -> Tensor:
    """RETURNS (Tensor): Sums of the first 0, 1, ... n rows of [n, D], float64 [n + 1, D]: in
    double precision, as the sums are over the whole text and their differences over a few
    tokens."""
    sums = x.new_zeros(len(x) + 1, x.shape[1], dtype=torch.float64)
    torch.cumsum(x, 0, dtype=torch.float64, out=sums[1:])
    return sums


def within(sums: Tensor, first: Tensor, last: Tensor, dtype: torch.dtype) -> Tensor:
    """RETURNS (Tensor): Sums within spans [n_spans, D], by differences of prefix sums."""
    return sums.index_select(0, last + 1).sub_(sums.index_select(0, first)).to(dtype)


class _Within(torch.autograd.Function):
    """Sums of [n, D] within spans [n_spans, D], with their gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, first: Tensor, last: Tensor) -> Tensor:
        ctx.save_for_backward(first, last)
        ctx.n = len(x)
        return within(prefix_sums(x), first, last, x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_totals: Tensor) -> Any:
        first, last = ctx.saved_tensors
        d_sums = d_totals.new_zeros(ctx.n + 1, d_totals.shape[1])
        d_sums.index_add_(0, last + 1, d_totals)
        d_sums.index_add_(0, first, d_totals, alpha=-1)
        # a token is in all prefix sums after it
        d_x = d_sums[1:].flip(0).cumsum(0, dtype=torch.float64).flip(0)
        return d_x.to(d_totals.dtype), None, None
