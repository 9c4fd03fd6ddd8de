"""Which spans are mentions: every span of a text scored, without a vector for each.

Owns the token encoder and the factored score of spans: what a span's first token, last
token, width and content add to a hidden layer are made once per token and summed per
span. It knows nothing of entities.
"""

from typing import List, Tuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

# of the logits of attention below the highest: the rest weighs nothing
ATTENTION_RANGE = 12.0
# the share of mentions among spans, to begin with
FIRST_BIAS = -2.0


class TokenEncoder(nn.Module):
    """A bidirectional LSTM over each sentence [n, D] -> [n, 2 * size].

    width (int): Width D of the vectors.
    size (int): Of the LSTM in each direction; 0 to pass the vectors through.
    dropout (float): On its inputs and outputs.
    """

    def __init__(self, width: int, size: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(width, size, bidirectional=True) if size else None
        self.width = 2 * size if size else width

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x (Tensor): Vectors of all tokens [n, D]. lengths (Tensor): Of the stretches that
        are read by themselves, int64 [n_stretches]; they sum to n."""
        x = self.dropout(x)
        if self.lstm is None or not len(x):
            return x if self.lstm is None else x.new_zeros(0, self.width)
        rows, batch_sizes = _packing(lengths)
        packed, _ = self.lstm(PackedSequence(x[rows.to(x.device)], batch_sizes))
        unpacked = torch.empty_like(packed.data)
        unpacked[rows.to(x.device)] = packed.data
        found: Tensor = self.dropout(unpacked)
        return found


def _packing(lengths: Tensor) -> Tuple[Tensor, Tensor]:
    """Rows in the order of a PackedSequence, and its batch sizes, both on the CPU."""
    lengths, order = lengths.sort(descending=True, stable=True)
    starts = torch.cumsum(lengths, 0) - lengths
    # where each stretch starts in the text
    firsts = torch.empty_like(starts)
    unsorted = torch.empty_like(lengths)
    unsorted[order] = lengths
    firsts = (torch.cumsum(unsorted, 0) - unsorted)[order]
    steps = torch.arange(int(lengths[0]))
    active = steps[:, None] < lengths[None, :]
    rows = (firsts[None, :] + steps[:, None])[active]
    return rows, active.sum(dim=1)


class FeedForward(nn.Module):
    """ReLU, dropout and a linear layer, `depth` times: hidden sums [..., H] -> [...].

    The first layer is what the caller has summed."""

    def __init__(self, hidden: int, depth: int, dropout: float) -> None:
        super().__init__()
        layers: List[nn.Module] = []
        for _ in range(depth - 1):
            layers += [nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, hidden)]
        layers += [nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, sums: Tensor) -> Tensor:
        found: Tensor = self.layers(sums).squeeze(-1)
        return found


class MentionScorer(nn.Module):
    """The score of spans, and vectors of some.

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
        super().__init__()
        self.first, self.last = nn.Linear(width, hidden), nn.Linear(width, hidden, bias=False)
        self.content = nn.Linear(width, hidden, bias=False)
        self.widths = nn.Embedding(max_width, hidden)
        self.attention = nn.Linear(width, 1)
        self.score = FeedForward(hidden, depth, dropout)
        self.vector_widths = nn.Embedding(max_width, embedding_size)
        self.vector_size = 3 * width + embedding_size
        nn.init.zeros_(self.widths.weight)
        output = self.score.layers[-1]
        assert isinstance(output, nn.Linear)
        nn.init.constant_(output.bias, FIRST_BIAS)

    def forward(self, x: Tensor, first: Tensor, last: Tensor, weights: Tensor) -> Tensor:
        """RETURNS (Tensor): Scores of spans [n_spans].

        x (Tensor): Vectors of the tokens [n, D].
        first, last (Tensor): First and last token of each span, int64 [n_spans].
        weights (Tensor): Those of `attention_of` [n, 1].
        """
        sums = self.first(x).index_select(0, first) + self.last(x).index_select(0, last)
        sums = sums + self.widths(last - first)
        sums = sums + attended(self.content(x), weights, first, last)
        found: Tensor = self.score(sums)
        return found

    def attention_of(self, x: Tensor) -> Tensor:
        """RETURNS (Tensor): How much each token weighs in the spans it is in [n, 1]."""
        logits = self.attention(x)
        if not len(x):
            return logits
        highest = logits.detach().amax()
        return torch.exp((logits - highest).clamp(min=-ATTENTION_RANGE))

    def vectors(self, x: Tensor, first: Tensor, last: Tensor, weights: Tensor) -> Tensor:
        """RETURNS (Tensor): First token, last token, weighted mean and width of spans
        [n_spans, 3 * D + embedding_size]."""
        ends = x.index_select(0, first), x.index_select(0, last)
        mean = attended(x, weights, first, last)
        return torch.cat([*ends, mean, self.vector_widths(last - first)], dim=1)


def attended(x: Tensor, weights: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Weighted means within spans, by differences of prefix sums.

    In double precision: the sums are over the whole text, the differences over a few tokens.

    x (Tensor): [n, D].
    weights (Tensor): [n, 1].
    first, last (Tensor): int64 [n_spans].
    RETURNS (Tensor): [n_spans, D].
    """
    both = torch.cat([x * weights, weights], dim=1).double()
    sums = torch.cat([both.new_zeros(1, both.shape[1]), both.cumsum(dim=0)])
    totals = (sums.index_select(0, last + 1) - sums.index_select(0, first)).to(x.dtype)
    return totals[:, :-1] / totals[:, -1:].clamp(min=1e-9)
