"""The torch module of `spacy-elmo.SpanScorer.v1`."""

import torch
from torch import Tensor, nn

from .sentence_lstm import SentenceLSTM
from .span_scorer import SpanScorer

# Initial bias against labels, because nearly all spans have no label. Without this bias, the
# gradients of the first batches are so large that Adam takes small steps for many batches.
NO_LABEL_BIAS = 4.0


class SpanNetwork(nn.Module):
    """An LSTM over sentences and a scorer of spans.

    width (int): Width D of the token vectors.
    n_scores (int): Number of scores of each span.
    hidden_size, depth, dropout, lstm_size, max_span_width, exclusive_classes: See
        `build_span_scorer_v1`.
    """

    def __init__(
        self,
        width: int,
        n_scores: int,
        hidden_size: int,
        depth: int,
        dropout: float,
        lstm_size: int,
        max_span_width: int,
        exclusive_classes: bool,
    ) -> None:
        super().__init__()
        self.tokens = SentenceLSTM(width, lstm_size, dropout)
        self.spans = SpanScorer(
            width=self.tokens.width,
            hidden=hidden_size,
            depth=depth,
            dropout=dropout,
            max_width=max_span_width,
            n_scores=n_scores,
        )
        with torch.no_grad():
            bias = self.spans.score.output.bias.zero_()
            if exclusive_classes:
                bias[-1] = NO_LABEL_BIAS
            else:
                bias.fill_(-NO_LABEL_BIAS)

    def forward(self, x: Tensor, lengths: Tensor, first: Tensor, last: Tensor) -> Tensor:
        """Return the logits of spans.

        x (Tensor): Vectors of all words [n, D].
        lengths (Tensor): Words of each sequence that the LSTM reads, int64 [n_sequences]; their sum
            is n.
        first, last (Tensor): First and last word of each span, int64 [n_spans].
        RETURNS (Tensor): [n_spans, n_scores].
        """
        x = self.tokens(x, lengths)
        logits: Tensor = self.spans(x, first, last, self.spans.attention_of(x))
        return logits
