"""The loop over the steps of an LSTM layer on packed rows, forward and backward."""

import torch
from torch import Tensor

from .cell import Bounds, CellOps, SavedActivations, SigmoidCellOps, TorchCellOps
from .fused_cell import TritonCellOps, is_fusible
from .matmul import BackwardMatmul, Matmul

# Rows whose gates are computed at once at inference. They are enough for full GEMM speed, and bound
# the memory: each row takes 4H values.
GATE_ROWS, GATE_ROWS_ON_GPU = 512, 8192


def run(
    x: Tensor,
    h: Tensor,
    c: Tensor,
    *,
    matmul: Matmul,
    active: list[int],
    bounds: Bounds,
    outputs: Tensor,
    saved: SavedActivations | None = None,
) -> None:
    """Run the steps of a packed batch.

    x (Tensor): Inputs [..., R, P].
    h, c (Tensor): States before the first step, [..., n_sequences, P] and
        [..., n_sequences, H]; overwritten by the states after each sequence's last step.
    matmul (Matmul): The weights.
    active (List[int]): Sequences running at each step; they sum to R.
    bounds (Bounds): Bounds at which to clip.
    outputs (Tensor): Written: outputs [..., R, P].
    saved (Optional[SavedActivations]): Written for the backward pass; None at inference.
    """
    ops = _cell_ops(c, bounds, matmul.projects, matmul.doubled)
    if matmul.doubled:
        c.mul_(2)
    state, cell = h, c
    row = 0
    for steps in split_steps(active, None if saved is not None else gate_rows(x.device)):
        n_rows = sum(steps)
        # [..., n_rows, 4H]: the contribution of the inputs of these steps to the gates
        chunk = matmul.inputs(x[..., row : row + n_rows, :])
        if saved is not None:
            same_dtype = chunk.dtype == c.dtype
            saved.gates = chunk if same_dtype else torch.empty_like(chunk, dtype=c.dtype)
        step_gates = chunk.split_with_sizes(steps, dim=-2)
        step_outputs = outputs[..., row : row + n_rows, :].split_with_sizes(steps, dim=-2)
        for n, gates, output in zip(steps, step_gates, step_outputs):
            if n < state.shape[-2]:
                state, cell = h[..., :n, :], c[..., :n, :]
            sums = matmul.add_state(gates, state)
            saved_step = None if saved is None else saved.rows(slice(row, row + n))
            ops.output(matmul.project(ops.cell(sums, cell, saved_step)), state, output)
            row += n
    if matmul.doubled:
        c.mul_(0.5)


def run_backward(
    d_out: Tensor,
    d_h: Tensor,
    d_c: Tensor,
    *,
    matmul: BackwardMatmul,
    active: list[int],
    bounds: Bounds,
    start_cell: Tensor,
    outputs: Tensor,
    saved: SavedActivations,
    d_gates: Tensor,
    d_projected: Tensor,
) -> Tensor:
    """Backward pass of `run`.

    d_out (Tensor): Gradient of the outputs [..., R, P].
    d_h, d_c (Tensor): Gradients of the states after the last steps, [..., n_sequences, P] and
        [..., n_sequences, H]; overwritten by the gradients of the states before the first step.
    matmul (BackwardMatmul): The weights.
    active (List[int]): Sequences running at each step; they sum to R.
    bounds (Bounds): Bounds at which `run` clipped.
    start_cell (Tensor): Cells before the first step [..., n_sequences, H].
    outputs (Tensor): Outputs of the forward pass [..., R, P].
    saved (SavedActivations): Activations of the forward pass.
    d_gates (Tensor): Written: gradient of the gates before activation [..., R, 4H].
    d_projected (Tensor): Written: gradient of the projected outputs before clipping [..., R, P].
    RETURNS (Tensor): Gradient of the bias [..., 4H].
    """
    ops = _cell_ops(d_c, bounds)
    end = outputs.shape[-2]
    for step in reversed(range(len(active))):
        n = active[step]
        rows = slice(end - n, end)
        end -= n
        d_state, d_cell = d_h[..., :n, :], d_c[..., :n, :]
        before = saved.cell[..., end - active[step - 1] :, :] if step else start_cell
        step_d_projected, step_d_gates = d_projected[..., rows, :], d_gates[..., rows, :]
        ops.output_backward(d_state, d_out[..., rows, :], outputs[..., rows, :], step_d_projected)
        ops.cell_backward(
            matmul.projected(step_d_projected),
            d_cell,
            before=before[..., :n, :],
            saved=saved.rows(rows),
            d_gates=step_d_gates,
        )
        d_state.copy_(matmul.state(step_d_gates))
    return ops.bias_gradient(d_gates)


def gate_rows(device: torch.device) -> int:
    """RETURNS (int): Rows whose gates are computed at once at inference."""
    return GATE_ROWS_ON_GPU if device.type == "cuda" else GATE_ROWS


def split_steps(active: list[int], max_rows: int | None) -> list[list[int]]:
    """Split the steps into chunks of at most `max_rows` rows, and of at least one step.

    active (List[int]): Rows of each step.
    max_rows (Optional[int]): Rows of a chunk; None for one chunk of all steps.
    RETURNS (List[List[int]]): Rows of each step, for each chunk.
    """
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


def _cell_ops(c: Tensor, bounds: Bounds, projects: bool = False, doubled: bool = False) -> CellOps:
    if doubled:
        return SigmoidCellOps(bounds)
    return TritonCellOps(bounds, projects) if is_fusible(c) else TorchCellOps(bounds)
