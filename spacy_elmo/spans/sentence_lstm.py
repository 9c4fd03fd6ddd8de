"""A bidirectional LSTM over the tokens of each sentence."""

import torch
from torch import Tensor, nn

from ..lstm.cell import Bounds
from ..lstm.lstm import LSTMLayer

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
            self.lstm = LSTMLayer(N_DIRECTIONS, size, size, False, Bounds(None, None))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x (Tensor): Vectors of all tokens [n, D]. lengths (Tensor): Of the stretches that
        are read by themselves, int64 [n_stretches]; they sum to n."""
        x = self.dropout(x)
        if not self.size or not len(x):
            return x.new_zeros(0, self.width) if self.size else x
        rows, active = packing(lengths)
        rows = rows.to(x.device)
        inputs = self.inputs(x).view(len(x), N_DIRECTIONS, self.size)
        packed = torch.stack([inputs[:, d].index_select(0, rows[d]) for d in range(N_DIRECTIONS)])
        # thinc changes weights behind torch's back; these are packed in no time
        self.lstm.drop_caches()
        start = x.new_zeros(N_DIRECTIONS, len(lengths), self.size)
        outputs, _, _ = self.lstm(packed, active, start, start)
        # from the order of the packing back to that of the text
        places = rows.argsort(dim=1)
        sides = [outputs[d].index_select(0, places[d]) for d in range(N_DIRECTIONS)]
        found: Tensor = self.dropout(torch.cat(sides, dim=1))
        return found


def packing(lengths: Tensor) -> tuple[Tensor, list[int]]:
    """How stretches share a batch without padding: all first tokens, then all second ones,
    those of long stretches first; the backward direction reads each from its end.

    lengths (Tensor): Of the stretches, one after the other, int64 [n_stretches].
    RETURNS (Tuple[Tensor, List[int]]): The token of each packed row, for each direction,
        int64 [2, n], and the stretches that are running at each step.
    """
    firsts = torch.cumsum(lengths, 0) - lengths
    lengths, order = lengths.sort(descending=True, stable=True)
    firsts = firsts[order]
    steps = torch.arange(int(lengths[0]), dtype=torch.int64, device=lengths.device)
    running = steps[:, None] < lengths[None, :]
    forward = (firsts[None, :] + steps[:, None])[running]
    backward = ((firsts + lengths - 1)[None, :] - steps[:, None])[running]
    return torch.stack([forward, backward]), running.sum(dim=1).tolist()
