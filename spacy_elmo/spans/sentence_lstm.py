"""A bidirectional LSTM over the tokens of each sentence."""

import numpy as np
import torch
from torch import Tensor, nn

from ..lstm.cell import Bounds
from ..lstm.lstm import LSTMLayer
from ..lstm.packing import longest_first, pack
from ..runtime.ragged import elements_of

N_DIRECTIONS = 2


class SentenceLSTM(nn.Module):
    """A bidirectional LSTM over each sentence, [n, D] -> [n, 2 * size]. A linear layer projects the
    input to the width of the LSTM, separately for each direction.

    width (int): Width D of the token vectors.
    size (int): Width of the LSTM in each direction; 0 to return the token vectors.
    dropout (float): Dropout rate of the input and of the output.
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
        """Run the LSTM.

        x (Tensor): Vectors of all tokens, float32 [n, D].
        lengths (Tensor): Tokens of each sequence, int64 [n_sequences], on the CPU; their sum is n.
        RETURNS (Tensor): float32 [n, 2 * size], or [n, D] if `size` is 0.
        """
        x = self.dropout(x)
        if not self.size or not len(x):
            return x.new_zeros(0, self.width) if self.size else x
        rows, tokens, active = _pack(lengths.numpy())
        rows, tokens = rows.to(x.device), tokens.to(x.device)
        inputs = self.inputs(x).view(len(x), N_DIRECTIONS, self.size)
        packed = torch.stack([inputs[:, d].index_select(0, tokens[d]) for d in range(N_DIRECTIONS)])
        # thinc changes weights in place without updating torch's version counter, so packed weights
        # may be outdated; packing these weights is cheap
        self.lstm.drop_caches()
        start = x.new_zeros(N_DIRECTIONS, len(lengths), self.size)
        outputs, _, _ = self.lstm(packed, active, start, start)
        directions = [outputs[d].index_select(0, rows[d]) for d in range(N_DIRECTIONS)]
        result: Tensor = self.dropout(torch.cat(directions, dim=1))
        return result


def _pack(lengths: np.ndarray) -> tuple[Tensor, Tensor, list[int]]:
    """Pack sequences for both directions.

    lengths (ndarray): Tokens of each sequence, int64 [n_sequences].
    RETURNS (Tuple[Tensor, Tensor, List[int]]): The packed row of each token and the token of each
        packed row, for each direction, int64 [2, n]; and the number of sequences at each step.
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
