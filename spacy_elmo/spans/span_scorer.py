"""Scores of spans, computed without a vector for each span.

The first hidden layer is linear in the span's first token, last token, width and content. Each of
these terms is computed once per token and summed per span.
"""

import torch
from torch import Tensor, nn

from .feed_forward import FeedForward
from .span_sums import prefix_sums, span_sums, weighted_means

# Bound on the absolute value of attention logits, so that prefix sums of the weights stay accurate.
# A bound that depends on the text would make a span's score depend on the rest of the batch.
ATTENTION_RANGE = 8.0
# at inference, spans are scored in chunks of at most this number of spans to bound memory
CHUNK_SPANS = 10_000


class SpanScorer(nn.Module):
    """Scores of spans.

    width (int): Width D of the token vectors.
    hidden (int): Width H of the hidden layers.
    depth (int): Number of hidden layers.
    dropout (float): Dropout rate of the hidden layers.
    max_width (int): Spans of this number of tokens or more share one width embedding.
    n_scores (int): Number of scores of each span.
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
        """Return the scores of spans.

        x (Tensor): Vectors of the tokens [n, D].
        first, last (Tensor): First and last token of each span, int64 [n_spans].
        weights (Tensor): Attention weights, as `attention_of` returns them [n, 1].
        RETURNS (Tensor): [n_spans, n_scores].
        """
        first_terms, last_terms, content = self.first(x), self.last(x), self.content(x)

        def score(first: Tensor, last: Tensor, means: Tensor) -> Tensor:
            hidden = first_terms.index_select(0, first) + last_terms.index_select(0, last)
            hidden = hidden + self.widths(self.width_class(first, last)) + means
            # spans with the same first token share a dropout mask
            scores: Tensor = self.score(hidden, first)
            return scores

        if torch.is_grad_enabled():
            return score(first, last, weighted_means(content, weights, first, last))
        content_sums, weight_sums = prefix_sums(content * weights), prefix_sums(weights)
        chunks: list[Tensor] = []
        for start, end in zip(first.split(CHUNK_SPANS), last.split(CHUNK_SPANS)):
            totals = span_sums(content_sums, start, end, x.dtype)
            means = totals / span_sums(weight_sums, start, end, x.dtype)
            chunks.append(score(start, end, means))
        return torch.cat(chunks)

    def attention_of(self, x: Tensor) -> Tensor:
        """Return the attention weight of each token, before the weights are normalized over the
        tokens of a span.

        x (Tensor): Vectors of the tokens [n, D].
        RETURNS (Tensor): [n, 1].
        """
        return torch.exp(self.attention(x).clamp(-ATTENTION_RANGE, ATTENTION_RANGE))

    def width_class(self, first: Tensor, last: Tensor) -> Tensor:
        """RETURNS (Tensor): Index of each span's width embedding, int64 [n_spans]."""
        return (last - first).clamp(max=self.max_width - 1)
