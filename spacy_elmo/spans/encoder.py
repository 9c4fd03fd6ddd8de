"""A bidirectional LSTM over the tokens of each sentence."""

from typing import Tuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence


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
