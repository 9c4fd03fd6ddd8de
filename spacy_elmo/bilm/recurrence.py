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
    """What the backward pass needs of the forward pass; R packed rows, D directions."""

    gates: Tensor  # [D, R, 4H] input, forget, output gate and candidate, after activation
    cell_before: Tensor  # [D, R, H]
    tanh_cell: Tensor  # [D, R, H] of the clipped cell
    state_before: Tensor  # [D, R, P]
    cell_inside: Optional[Tensor]  # [D, R, H] bool, where the clip let the cell pass
    output_inside: Optional[Tensor]  # [D, R, P] bool


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
            tape.gates = chunk
        for n in steps:
            rows = slice(row, row + n)
            state, cell = h[..., :n, :], c[..., :n, :]
            if tape is not None:
                tape.cell_before[..., rows, :] = cell
                tape.state_before[..., rows, :] = state
            gates = products.add_state(chunk[..., row - begin : row - begin + n, :], state)
            gates[..., : 3 * hidden].sigmoid_()
            gates[..., 3 * hidden :].tanh_()
            i, f, o, g = gates.split(hidden, dim=-1)
            cell.mul_(f).addcmul_(i, g)
            if bounds.cell is not None:
                if tape is not None and tape.cell_inside is not None:
                    torch.le(cell.abs(), bounds.cell, out=tape.cell_inside[..., rows, :])
                cell.clamp_(-bounds.cell, bounds.cell)
            out = torch.tanh(cell)
            if tape is not None:
                tape.tanh_cell[..., rows, :] = out
            out = products.project(out.mul_(o))
            if bounds.output is not None:
                if tape is not None and tape.output_inside is not None:
                    torch.le(out.abs(), bounds.output, out=tape.output_inside[..., rows, :])
                out.clamp_(-bounds.output, bounds.output)
            state.copy_(out)
            outputs[..., rows, :] = out
            row += n


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
