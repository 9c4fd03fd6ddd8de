"""Which spans are mentions: every span of a text scored, and vectors of the best.

It knows nothing of entities.
"""

import torch
from torch import Tensor, nn

from ..spans.span_scorer import SpanScorer, attended

# the share of mentions among spans, to begin with
FIRST_BIAS = -2.0


class MentionScorer(SpanScorer):
    """The score of spans as mentions, and vectors of some.

    width (int): Width D of the token vectors.
    hidden (int): Width H of the hidden layer.
    depth (int): Hidden layers.
    dropout (float): On the hidden layers.
    max_width (int): Tokens of a span at the most.
    embedding_size (int): Of the embedding of the width in a span's vector.
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
        super().__init__(width, hidden, depth, dropout, max_width)
        self.vector_widths = nn.Embedding(max_width, embedding_size, dtype=torch.float32)
        self.vector_size = 3 * width + embedding_size
        nn.init.constant_(self.score.output.bias, FIRST_BIAS)

    def forward(self, x: Tensor, first: Tensor, last: Tensor, weights: Tensor) -> Tensor:
        """RETURNS (Tensor): Scores of spans [n_spans]; see `SpanScorer`."""
        return super().forward(x, first, last, weights).squeeze(-1)

    def vectors(self, x: Tensor, first: Tensor, last: Tensor, weights: Tensor) -> Tensor:
        """RETURNS (Tensor): First token, last token, weighted mean and width of spans
        [n_spans, 3 * D + embedding_size]."""
        ends = x.index_select(0, first), x.index_select(0, last)
        mean = attended(x, weights, first, last)
        width = self.vector_widths(self.width_class(first, last))
        return torch.cat([*ends, mean, width], dim=1)
