"""A bidirectional LSTM over the tokens of each sentence."""

import numpy as np
import torch
from torch import Tensor, nn

from ..lstm.cell import Bounds
from ..lstm.lstm import LSTMLayer
from ..lstm.packing import longest_first, pack
from ..runtime.ragged import elements_of

N_DIRECTIONS = 2


class TokenEncoder(nn.Module):
    """A bidirectional LSTM over each sentence [n, D] -> [n, 2 * size].

    A linear layer brings the vectors to the LSTM's own width, for each direction by itself.

    width (int): Width D of the vectors.
    size (int): Of the LSTM in each direction; 0 to pass the vectors through.
    dropout (float): On its inputs and outputs.
    """

    def __init__(self, width: int, size: int, dropout: float) -> None:
        super().__init__()
        self.size = size
        self.width = N_DIRECTIONS * size if size else width
        self.dropout = nn.Dropout(dropout)
        if size:
            self.inputs = nn.Linear(width, self.width, dtype=torch.float32)
            self.lstm = LSTMLayer(
                N_DIRECTIONS, size, size, projects=False, bounds=Bounds(None, None)
            )

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x (Tensor): Vectors of all tokens [n, D]. lengths (Tensor): Of the stretches that
        are read by themselves, int64 [n_stretches]; they sum to n."""
        x = self.dropout(x)
        if not self.size or not len(x):
            return x.new_zeros(0, self.width) if self.size else x
        rows, tokens, active = _pack(lengths.numpy())
        rows, tokens = rows.to(x.device), tokens.to(x.device)
        inputs = self.inputs(x).view(len(x), N_DIRECTIONS, self.size)
        packed = torch.stack([inputs[:, d].index_select(0, tokens[d]) for d in range(N_DIRECTIONS)])
        # thinc changes weights behind torch's back; these are packed in no time
        self.lstm.drop_caches()
        start = x.new_zeros(N_DIRECTIONS, len(lengths), self.size)
        outputs, _, _ = self.lstm(packed, active, start, start)
        directions = [outputs[d].index_select(0, rows[d]) for d in range(N_DIRECTIONS)]
        found: Tensor = self.dropout(torch.cat(directions, dim=1))
        return found


def _pack(lengths: np.ndarray) -> tuple[Tensor, Tensor, list[int]]:
    """Pack sentences for both directions.

    lengths (ndarray): Tokens of each sentence, int64 [n_sentences].
    RETURNS (Tuple[Tensor, Tensor, List[int]]): The packed row of each token and the token of each
        packed row, for each direction, int64 [2, n], and the sentences running at each step.
    """
    order = longest_first(lengths)
    packing = pack(lengths[order])
    sorted_tokens = elements_of(lengths, order)
    rows = np.empty((N_DIRECTIONS, packing.n_rows), dtype=np.int64)
    rows[:, sorted_tokens] = packing.element_rows(lengths[order])
    tokens = np.empty_like(rows)
    for direction in range(N_DIRECTIONS):
        tokens[direction, rows[direction]] = np.arange(packing.n_rows)
    return torch.from_numpy(rows), torch.from_numpy(tokens), packing.active
