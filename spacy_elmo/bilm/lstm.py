"""One layer of the biLM: an LSTM with projection and clipping, both directions.

Owns the recurrence, forward here and backward in `lstm_grad`. It works on packed
rows (see `packing`), with all input products done in large pieces before the time
loop, and knows nothing of words or of other layers.
"""

from dataclasses import dataclass
from typing import List, Optional, Tuple

import torch
from torch import Tensor, nn

from .options import BiLMOptions

# Rows of gates held at once outside training: enough for full-speed products,
# little memory (4H floats a row and direction).
GATE_ROWS = 512


@dataclass(frozen=True)
class Bounds:
    """Where the memory cell and the projected output are clipped, if they are."""

    cell: Optional[float]
    output: Optional[float]


@dataclass
class Tape:
    """What the backward pass needs of the forward pass; R packed rows, D directions."""

    gates: Tensor  # [D, R, 4H] input, forget, output gate and candidate, after activation
    cell_before: Tensor  # [D, R, H]
    tanh_cell: Tensor  # [D, R, H] of the clipped cell
    state_before: Tensor  # [D, R, P]
    cell_inside: Optional[Tensor]  # [D, R, H] bool, where the clip let the cell pass
    output_inside: Optional[Tensor]  # [D, R, P] bool


class LSTMLayer(nn.Module):
    """Both directions of an LSTM layer with projection.

    Per step, with h and c the state before it (Sak et al. 2014):

        i, f, o = sigmoid(W x + U h + b)  (the forget gate's bias 1 higher)
        g = tanh(W x + U h + b)
        c = clip(f * c + i * g, cell_clip)
        h = clip(V (o * tanh(c)), proj_clip)

    Rows of the weights stand in the order i, f, o, g. The stored bias is without
    the 1 of the forget gate, as in the original weight files.

    options (BiLMOptions): The sizes.
    """

    def __init__(self, options: BiLMOptions) -> None:
        super().__init__()
        n, hidden, dim = options.n_directions, options.hidden_dim, options.projection_dim
        self.hidden_dim = hidden
        self.bounds = Bounds(
            options.cell_clip, options.proj_clip if options.state_projection else None
        )
        self.input_weight = nn.Parameter(torch.empty(n, 4 * hidden, dim))
        self.state_weight = nn.Parameter(torch.empty(n, 4 * hidden, dim))
        self.bias = nn.Parameter(torch.empty(n, 4 * hidden))
        self.projection: Optional[nn.Parameter] = None
        if options.state_projection:
            self.projection = nn.Parameter(torch.empty(n, dim, hidden))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Glorot-uniform on the joint input and state matrix, as the original."""
        _, rows, dim = self.input_weight.shape
        limit = (6.0 / (2 * dim + rows)) ** 0.5
        nn.init.uniform_(self.input_weight, -limit, limit)
        nn.init.uniform_(self.state_weight, -limit, limit)
        nn.init.zeros_(self.bias)
        if self.projection is not None:
            limit = (6.0 / (dim + self.hidden_dim)) ** 0.5
            nn.init.uniform_(self.projection, -limit, limit)

    def forward(
        self,
        x: Tensor,
        active: List[int],
        h: Tensor,
        c: Tensor,
        dtype: Optional[torch.dtype] = None,
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """Run over a packed batch.

        x (Tensor): Inputs [D, R, P].
        active (List[int]): Sentences running at each step; they sum to R.
        h, c (Tensor): States before the first step, [D, n_sentences, P] and
            [D, n_sentences, H]; left unchanged.
        dtype (Optional[torch.dtype]): Type of the matrix products; states and
            elementwise arithmetic keep the type of the weights.
        RETURNS (Tuple[Tensor, Tensor, Tensor]): Outputs [D, R, P] and the states
            after each sentence's own last step.
        """
        bias = self.bias.clone()
        bias[:, self.hidden_dim : 2 * self.hidden_dim] += 1.0
        weights = (self.input_weight, self.state_weight, bias, self.projection)
        dtype = dtype or self.bias.dtype
        if torch.is_grad_enabled() and (x.requires_grad or self.bias.requires_grad):
            from .lstm_grad import LSTMFunction

            return LSTMFunction.apply(x, h, c, *weights, active, self.bounds, dtype)
        return run(x, h.clone(), c.clone(), weights, active, self.bounds, dtype)


Weights = Tuple[Tensor, Tensor, Tensor, Optional[Tensor]]


def run(
    x: Tensor,
    h: Tensor,
    c: Tensor,
    weights: Weights,
    active: List[int],
    bounds: Bounds,
    dtype: torch.dtype,
    tape: Optional[Tape] = None,
) -> Tuple[Tensor, Tensor, Tensor]:
    """The recurrence itself. Writes the new states into `h` and `c`."""
    input_weight, state_weight, bias, projection = weights
    input_weight_t = input_weight.to(dtype).transpose(1, 2)
    state_weight_t = state_weight.to(dtype).transpose(1, 2)
    projection_t = None if projection is None else projection.to(dtype).transpose(1, 2)
    hidden = c.shape[2]
    x = x.to(dtype)
    bias = bias.to(dtype).unsqueeze(1)
    outputs = x.new_empty(x.shape[0], x.shape[1], h.shape[2], dtype=h.dtype)
    row = 0
    for steps in _chunks(active, None if tape is not None else GATE_ROWS):
        begin, n_rows = row, sum(steps)
        # [D, n_rows, 4H]: what the inputs of these steps add to the gates
        chunk = torch.baddbmm(bias, x[:, begin : begin + n_rows], input_weight_t).to(h.dtype)
        if tape is not None:
            tape.gates = chunk
        for n in steps:
            rows = slice(row, row + n)
            gates = chunk[:, row - begin : row - begin + n]
            state, cell = h[:, :n], c[:, :n]
            if tape is not None:
                tape.cell_before[:, rows] = cell
                tape.state_before[:, rows] = state
            if dtype == h.dtype:
                gates.baddbmm_(state, state_weight_t)
            else:
                gates += torch.bmm(state.to(dtype), state_weight_t)
            gates[..., : 3 * hidden].sigmoid_()
            gates[..., 3 * hidden :].tanh_()
            i, f, o, g = gates.split(hidden, dim=2)
            cell.mul_(f).addcmul_(i, g)
            if bounds.cell is not None:
                if tape is not None and tape.cell_inside is not None:
                    torch.le(cell.abs(), bounds.cell, out=tape.cell_inside[:, rows])
                cell.clamp_(-bounds.cell, bounds.cell)
            out = torch.tanh(cell)
            if tape is not None:
                tape.tanh_cell[:, rows] = out
            out *= o
            if projection_t is not None:
                out = torch.bmm(out.to(dtype), projection_t).to(h.dtype)
            if bounds.output is not None:
                if tape is not None and tape.output_inside is not None:
                    torch.le(out.abs(), bounds.output, out=tape.output_inside[:, rows])
                out.clamp_(-bounds.output, bounds.output)
            state.copy_(out)
            outputs[:, rows] = out
            row += n
    return outputs, h, c


def _chunks(active: List[int], max_rows: Optional[int]) -> List[List[int]]:
    """Consecutive steps of at most `max_rows` rows together, at least one step each."""
    if max_rows is None:
        return [active]
    chunks: List[List[int]] = []
    n_rows = 0
    for n in active:
        if not chunks or n_rows + n > max_rows:
            chunks.append([])
            n_rows = 0
        chunks[-1].append(n)
        n_rows += n
    return chunks
