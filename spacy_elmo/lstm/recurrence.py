"""The time loop of an LSTM layer over packed rows, forward and backward.

Owns which rows run at which step. The arithmetic of a step is `arithmetic`'s, or `fused`'s on
a GPU, the matrix products are those of `products`.
"""

import torch
from torch import Tensor

from .cell import Arithmetic, Bounds, PlainArithmetic, SigmoidArithmetic, Tape
from .fused_cell import FusedArithmetic, is_fusible
from .matmul import GradientProducts, Products

# Rows of gates held at once outside of training: enough for products at full speed,
# and little memory (4H floats a row).
GATE_ROWS, GATE_ROWS_ON_GPU = 512, 8192


def run(
    x: Tensor,
    h: Tensor,
    c: Tensor,
    products: Products,
    active: list[int],
    bounds: Bounds,
    outputs: Tensor,
    tape: Tape | None = None,
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
    arithmetic = _arithmetic(c, bounds, products.projects, products.doubled)
    if products.doubled:
        c.mul_(2)
    state, cell = h, c
    row = 0
    for steps in split_steps(active, None if tape is not None else gate_rows(x.device)):
        n_rows = sum(steps)
        # [..., n_rows, 4H]: what the inputs of these steps add to the gates
        chunk = products.inputs(x[..., row : row + n_rows, :])
        if tape is not None:
            tape.gates = chunk if chunk.dtype == c.dtype else torch.empty_like(chunk, dtype=c.dtype)
        parts = (x.split(steps, dim=-2) for x in (chunk, outputs[..., row : row + n_rows, :]))
        for n, gates, output in zip(steps, *parts):
            if n < state.shape[-2]:
                state, cell = h[..., :n, :], c[..., :n, :]
            sums = products.add_state(gates, state)
            of_step = None if tape is None else tape.rows(slice(row, row + n))
            arithmetic.output(products.project(arithmetic.cell(sums, cell, of_step)), state, output)
            row += n
    if products.doubled:
        c.mul_(0.5)


def run_back(
    d_states: tuple[Tensor, Tensor, Tensor],
    d_rows: tuple[Tensor, Tensor],
    start_cell: Tensor,
    outputs: Tensor,
    tape: Tape,
    gradients: GradientProducts,
    active: list[int],
    bounds: Bounds,
) -> Tensor:
    """The way back of `run`.

    d_states (Tuple[Tensor, Tensor, Tensor]): Gradients of the outputs [..., R, P], and of
        the states after the last steps, which become those of the states at the start.
    d_rows (Tuple[Tensor, Tensor]): Written: gradients of the gates before activation
        [..., R, 4H] and of the projections before clipping [..., R, P].
    start_cell (Tensor): Cells before the first step [..., n_sentences, H].
    outputs (Tensor): Outputs of the forward pass [..., R, P].
    RETURNS (Tensor): The gradient of the bias [..., 4H].
    """
    (d_out, d_h, d_c), (d_gates, d_projected) = d_states, d_rows
    arithmetic = _arithmetic(d_c, bounds)
    end = outputs.shape[-2]
    for step in reversed(range(len(active))):
        n = active[step]
        rows = slice(end - n, end)
        end -= n
        d_state = d_h[..., :n, :]
        before = tape.cell[..., end - active[step - 1] :, :] if step else start_cell
        of_step = d_projected[..., rows, :], d_gates[..., rows, :]
        arithmetic.output_back(d_state, d_out[..., rows, :], outputs[..., rows, :], of_step[0])
        d_y = gradients.projected(of_step[0])
        d_cell, before = d_c[..., :n, :], before[..., :n, :]
        arithmetic.cell_back(d_y, d_cell, before, tape.rows(rows), of_step[1])
        d_state.copy_(gradients.state(of_step[1]))
    return arithmetic.bias(d_gates)


def _arithmetic(
    c: Tensor, bounds: Bounds, projects: bool = False, doubled: bool = False
) -> Arithmetic:
    if doubled:
        return SigmoidArithmetic(bounds)
    return FusedArithmetic(bounds, projects) if is_fusible(c) else PlainArithmetic(bounds)


def gate_rows(device: torch.device) -> int:
    """RETURNS (int): Rows of gates that are held at once outside of training."""
    return GATE_ROWS_ON_GPU if device.type == "cuda" else GATE_ROWS


def split_steps(active: list[int], max_rows: int | None) -> list[list[int]]:
    """Consecutive steps of at most `max_rows` rows together, at least one step each."""
    if max_rows is None:
        return [active]
    chunks: list[list[int]] = []
    n_rows = 0
    for n in active:
        if not chunks or n_rows + n > max_rows:
            chunks.append([])
            n_rows = 0
        chunks[-1].append(n)
        n_rows += n
    return chunks
