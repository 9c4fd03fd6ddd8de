"""The hidden layers that score spans and pairs of mentions."""

import torch
from torch import Tensor, nn


class FeedForward(nn.Module):
    """ReLU, dropout and a linear layer, `depth` times, [..., H] -> [..., n_scores].

    The caller computes the first hidden layer. The rows of a group share a dropout mask, because
    drawing a mask for each row would take longer than computing the layers.

    hidden (int): Width H of the hidden layers.
    depth (int): Number of hidden layers.
    dropout (float): Dropout rate of the hidden layers.
    n_scores (int): Number of scores.
    """

    def __init__(self, hidden: int, depth: int, dropout: float, n_scores: int = 1) -> None:
        super().__init__()
        self.dropout = dropout
        self.layers = nn.ModuleList(
            nn.Linear(hidden, hidden, dtype=torch.float32) for _ in range(depth - 1)
        )
        self.output = nn.Linear(hidden, n_scores, dtype=torch.float32)

    def forward(self, hidden: Tensor, groups: Tensor | None = None) -> Tensor:
        """Return the scores.

        hidden (Tensor): First hidden layer before the ReLU [n, H]; or [n, m, H], where the m rows
            of each item share a dropout mask.
        groups (Optional[Tensor]): Group of each of n rows, int64 [n]. Rows of the same group share
            a dropout mask.
        RETURNS (Tensor): Scores [n, n_scores] or [n, m, n_scores].
        """
        x = self._activate(hidden, groups)
        for layer in self.layers:
            x = self._activate(layer(x), groups)
        scores: Tensor = self.output(x)
        return scores

    def _activate(self, x: Tensor, groups: Tensor | None) -> Tensor:
        x = torch.relu(x)
        if not self.training or not self.dropout:
            return x
        if groups is None:
            mask = x.new_ones(len(x), *[1] * (x.dim() - 2), x.shape[-1])
        else:
            mask = x.new_ones(int(groups.max()) + 1 if len(groups) else 0, x.shape[-1])
        mask = nn.functional.dropout(mask, self.dropout)
        return x * (mask if groups is None else mask.index_select(0, groups))
