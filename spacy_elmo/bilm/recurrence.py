"""The time loop of an LSTM layer over packed rows.

Owns the elementwise arithmetic, the clipping and what the backward pass needs
remembered. It works on one direction or on several side by side, and leaves the
matrix products to `products`.
"""

from dataclasses import dataclass
from typing import List, Optional

import torch
from torch import Tensor

from .products import Products

# Rows of gates held at once outside of training: enough for products at full speed,
# and little memory (4H floats a row).
GATE_ROWS = 512


@dataclass(frozen=True)
class Bounds:
    """Where the memory cell and the projected output are clipped, if they are."""

    cell: Optional[float]
    output: Optional[float]


@dataclass
class Tape:
    """What the backward pass needs of the forward pass; R packed rows."""

    gates: Tensor  # [..., R, 4H] input, forget, output gate and candidate, after activation
    cell: Tensor  # [..., R, H] after clipping
    tanh_cell: Tensor  # [..., R, H]


def run(
    x: Tensor,
    h: Tensor,
    c: Tensor,
    products: Products,
    active: List[int],
    bounds: Bounds,
    outputs: Tensor,
    tape: Optional[Tape] = None,
) -> None:
    """Run over a packed batch.

    x (Tensor): Inputs [..., R, P].
    h, c (Tensor): States before the first step, [..., n_sentences, P] and
        [..., n_sentences, H]; become those after each sentence's last step.
    products (Products): The weights.
    active (List[int]): Sentences running at each step; they sum to R.
    bounds (Bounds): Where to clip.
    outputs (Tensor): [..., R, P], written.
    tape (Optional[Tape]): Filled for the backward pass, if given.
    """
    hidden = c.shape[-1]
    row = 0
    for steps in split_steps(active, None if tape is not None else GATE_ROWS):
        begin, n_rows = row, sum(steps)
        # [..., n_rows, 4H]: what the inputs of these steps add to the gates
        chunk = products.inputs(x[..., begin : begin + n_rows, :])
        if tape is not None:
            tape.gates = chunk if chunk.dtype == c.dtype else torch.empty_like(chunk, dtype=c.dtype)
        for n in steps:
            rows = slice(row, row + n)
            state, cell = h[..., :n, :], c[..., :n, :]
            sums = products.add_state(chunk[..., row - begin : row - begin + n, :], state)
            gates = sums if tape is None else tape.gates[..., rows, :]
            if sums.dtype != c.dtype:
                gates = sums = sums.to(c.dtype) if tape is None else gates.copy_(sums)
            torch.sigmoid(sums[..., : 3 * hidden], out=gates[..., : 3 * hidden])
            i, f, o, g = gates.split(hidden, dim=-1)
            tanh(sums[..., 3 * hidden :], g)
            cell.mul_(f).addcmul_(i, g)
            if bounds.cell is not None:
                cell.clamp_(-bounds.cell, bounds.cell)
            if tape is None:
                out = tanh(cell, torch.empty_like(cell))
            else:
                tape.cell[..., rows, :] = cell
                out = tanh(cell, tape.tanh_cell[..., rows, :])
            out = products.project(out * o)
            if bounds.output is not None:
                out.clamp_(-bounds.output, bounds.output)
            state.copy_(out)
            outputs[..., rows, :] = out
            row += n


def tanh(x: Tensor, out: Tensor) -> Tensor:
    """tanh x = 2 sigmoid(2x) - 1, to 1e-7. On the CPU torch computes the sigmoid
    several times as fast as the tanh."""
    if x.is_cuda:
        return torch.tanh(x, out=out)
    return torch.mul(x, 2, out=out).sigmoid_().mul_(2).sub_(1)


def split_steps(active: List[int], max_rows: Optional[int]) -> List[List[int]]:
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
