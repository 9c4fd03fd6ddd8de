"""Scores of spans as mentions, and the vectors of the spans that are selected."""

import torch
from torch import Tensor, nn

from ..spans.span_scorer import SpanScorer
from ..spans.span_sums import weighted_means

# initial bias of the score: few spans are mentions
INITIAL_BIAS = -2.0


class MentionScorer(SpanScorer):
    """Scores of spans as mentions, and vectors of spans.

    width (int): Width D of the token vectors.
    hidden (int): Width of the hidden layers.
    depth (int): Number of hidden layers.
    dropout (float): Dropout rate of the hidden layers.
    max_width (int): Maximum number of words of a span.
    embedding_size (int): Width of the width embedding in the vector of a span.
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        depth: int,
        dropout: float,
        max_width: int,
        embedding_size: int,
    ) -> None:
        super().__init__(width, hidden, depth, dropout=dropout, max_width=max_width)
        self.vector_widths = nn.Embedding(max_width, embedding_size, dtype=torch.float32)
        self.vector_size = 3 * width + embedding_size
        nn.init.constant_(self.score.output.bias, INITIAL_BIAS)

    def forward(self, x: Tensor, first: Tensor, last: Tensor, weights: Tensor) -> Tensor:
        """Return the scores of spans; see `SpanScorer.forward`.

        RETURNS (Tensor): [n_spans].
        """
        return super().forward(x, first, last, weights).squeeze(-1)

    def vectors(self, x: Tensor, first: Tensor, last: Tensor, weights: Tensor) -> Tensor:
        """Return the vectors of spans: first token, last token, weighted mean and width.

        x (Tensor): Vectors of the words [n, D].
        first, last (Tensor): First and last word of each span, int64 [n_spans].
        weights (Tensor): Attention weights, as `attention_of` returns them [n, 1].
        RETURNS (Tensor): [n_spans, 3 * D + embedding_size].
        """
        first_tokens, last_tokens = x.index_select(0, first), x.index_select(0, last)
        mean = weighted_means(x, weights, first, last)
        width = self.vector_widths(self.width_class(first, last))
        return torch.cat([first_tokens, last_tokens, mean, width], dim=1)
