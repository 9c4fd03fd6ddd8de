"""Elementwise operations of an LSTM step, forward and backward, in PyTorch operators.

They compute the gates, the memory cell and the clipped output of one step, for one direction or
for several directions at once. `matmul` contains the matrix products, and `recurrence` the loop
over steps.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Bounds:
    """Bounds at which values are clipped; None for no clipping.

    cell (Optional[float]): Bound of the memory cell.
    output (Optional[float]): Bound of the projected output.
    """

    cell: float | None
    output: float | None


@dataclass
class SavedActivations:
    """Activations of the forward pass that the backward pass needs, for R packed rows.

    gates (Tensor): Input, forget and output gate and candidate, after activation [..., R, 4H].
    cell (Tensor): Memory cells after clipping [..., R, H].
    tanh_cell (Tensor): tanh of the clipped cells [..., R, H].
    """

    gates: Tensor
    cell: Tensor
    tanh_cell: Tensor

    def rows(self, rows: slice) -> "SavedActivations":
        """RETURNS (SavedActivations): Views of some rows."""
        return SavedActivations(
            gates=self.gates[..., rows, :],
            cell=self.cell[..., rows, :],
            tanh_cell=self.tanh_cell[..., rows, :],
        )


class CellOps(Protocol):
    """Elementwise operations between the matrix products of a step, on n rows."""

    def cell(self, sums: Tensor, cell: Tensor, saved: SavedActivations | None) -> Tensor:
        """Compute the gates, update the cells and return the output before projection.

        sums (Tensor): Gates before activation [..., n, 4H]; may be overwritten.
        cell (Tensor): Cells [..., n, H], updated in place.
        saved (Optional[SavedActivations]): Written for the backward pass; None at inference.
        RETURNS (Tensor): Output before projection [..., n, H].
        """

    def output(self, projected: Tensor, state: Tensor, outputs: Tensor) -> None:
        """Clip the projected output [..., n, P] and write it to `state` and to `outputs`."""

    def output_backward(
        self, d_state: Tensor, d_out: Tensor, outputs: Tensor, d_projected: Tensor
    ) -> None:
        """Backward pass of `output`; all tensors are [..., n, P].

        d_state (Tensor): Gradient of the state.
        d_out (Tensor): Gradient of the outputs.
        outputs (Tensor): Outputs of the forward pass.
        d_projected (Tensor): Written: gradient of the projected output before clipping.
        """

    def cell_backward(
        self,
        d_y: Tensor,
        d_cell: Tensor,
        before: Tensor,
        saved: SavedActivations,
        d_gates: Tensor,
    ) -> None:
        """Backward pass of `cell`.

        d_y (Tensor): Gradient of the output before projection [..., n, H].
        d_cell (Tensor): Gradient of the cells after the step [..., n, H]; overwritten by the
            gradient of the cells before the step.
        before (Tensor): Cells before the step [..., n, H].
        saved (SavedActivations): Activations of the step.
        d_gates (Tensor): Written: gradient of the gates before activation [..., n, 4H].
        """

    def bias_gradient(self, d_gates: Tensor) -> Tensor:
        """Return the gradient of the bias. Call this after the last call of `cell_backward`.

        d_gates (Tensor): Gradient of the gates before activation, all rows [..., R, 4H].
        RETURNS (Tensor): Gradient of the bias [..., 4H].
        """


class TorchCellOps:
    """`CellOps` in PyTorch operators.

    bounds (Bounds): Bounds at which to clip.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        # buffer for the float32 gradient of one step's gates if the GEMMs have another dtype
        self.scratch: Tensor | None = None
        self.d_bias: Tensor | None = None

    def cell(self, sums: Tensor, cell: Tensor, saved: SavedActivations | None) -> Tensor:
        hidden = cell.shape[-1]
        gates = sums if saved is None else saved.gates
        if sums.dtype != cell.dtype:
            gates = sums = sums.to(cell.dtype) if saved is None else gates.copy_(sums)
        torch.sigmoid(sums[..., : 3 * hidden], out=gates[..., : 3 * hidden])
        i, f, o, g = gates.chunk(4, dim=-1)
        tanh(sums[..., 3 * hidden :], g)
        cell.mul_(f).addcmul_(i, g)
        if self.bounds.cell is not None:
            cell.clamp_(-self.bounds.cell, self.bounds.cell)
        if saved is None:
            return tanh(cell, torch.empty_like(cell)) * o
        saved.cell.copy_(cell)
        return tanh(cell, saved.tanh_cell) * o

    def output(self, projected: Tensor, state: Tensor, outputs: Tensor) -> None:
        projected = projected.to(state.dtype)
        if self.bounds.output is not None:
            projected.clamp_(-self.bounds.output, self.bounds.output)
        state.copy_(projected)
        outputs.copy_(projected)

    def output_backward(
        self, d_state: Tensor, d_out: Tensor, outputs: Tensor, d_projected: Tensor
    ) -> None:
        d_y = d_state + d_out
        if self.bounds.output is not None:
            _clip_backward(d_y, outputs, self.bounds.output, out=d_y)
        d_projected.copy_(d_y)

    def cell_backward(
        self,
        d_y: Tensor,
        d_cell: Tensor,
        before: Tensor,
        saved: SavedActivations,
        d_gates: Tensor,
    ) -> None:
        n, hidden = d_cell.shape[-2:]
        i, f, o, g = saved.gates.chunk(4, dim=-1)
        # [..., n, 4H] in the dtype of the weights
        d = d_gates if d_gates.dtype == d_cell.dtype else self._scratch_rows(saved.gates, n)
        d_i, d_f, d_o, d_g = d.chunk(4, dim=-1)
        torch.mul(d_y, saved.tanh_cell, out=d_o)
        d_cell += torch.ops.aten.tanh_backward(d_y * o, saved.tanh_cell)
        if self.bounds.cell is not None:
            _clip_backward(d_cell, saved.cell, self.bounds.cell, out=d_cell)
        torch.mul(d_cell, g, out=d_i)
        torch.mul(d_cell, before, out=d_f)
        torch.mul(d_cell, i, out=d_g)
        d_cell *= f
        d_sigmoids, sigmoids = d[..., : 3 * hidden], saved.gates[..., : 3 * hidden]
        torch.ops.aten.sigmoid_backward.grad_input(d_sigmoids, sigmoids, grad_input=d_sigmoids)
        torch.ops.aten.tanh_backward.grad_input(d_g, g, grad_input=d_g)
        d_bias = d.sum(dim=-2)
        self.d_bias = d_bias if self.d_bias is None else self.d_bias.add_(d_bias)
        if d is not d_gates:
            d_gates.copy_(d)

    def bias_gradient(self, d_gates: Tensor) -> Tensor:
        return d_gates.sum(dim=-2) if self.d_bias is None else self.d_bias

    def _scratch_rows(self, gates: Tensor, n: int) -> Tensor:
        if self.scratch is None or self.scratch.shape[-2] < n:
            self.scratch = torch.empty_like(gates)
        return self.scratch[..., :n, :]


class SigmoidCellOps(TorchCellOps):
    """`TorchCellOps` for inference, with half as many operations.

    Because tanh x = 2 sigmoid(2x) - 1, one sigmoid computes all gates if the sums of the
    candidate g are doubled. The cells are doubled as well. `cell` returns half the output, and the
    weights of the projection are doubled:

        2c' = f 2c + 4i sigmoid(2g) - 2i
        o tanh(c') / 2 = o (sigmoid(2c') - 1/2)

    Doubling and halving are exact in floating point. `matmul.double_weights` prepares the weights.
    """

    def cell(self, sums: Tensor, cell: Tensor, saved: SavedActivations | None) -> Tensor:
        assert saved is None
        gates = sums.to(cell.dtype).sigmoid_()
        i, f, o, g = gates.chunk(4, dim=-1)
        cell.mul_(f).addcmul_(i, g, value=4).sub_(i, alpha=2)
        if self.bounds.cell is not None:
            cell.clamp_(-2 * self.bounds.cell, 2 * self.bounds.cell)
        return torch.sigmoid(cell).sub_(0.5).mul_(o)


def tanh(x: Tensor, out: Tensor) -> Tensor:
    """Compute tanh x, on a CPU as 2 sigmoid(2x) - 1 with an error of at most 1e-7.

    On a CPU, PyTorch computes the sigmoid several times as fast as tanh.

    x (Tensor): The values.
    out (Tensor): Written: tanh x, in the shape of `x`.
    RETURNS (Tensor): `out`.
    """
    if x.is_cuda:
        return torch.tanh(x, out=out)
    return torch.mul(x, 2, out=out).sigmoid_().mul_(2).sub_(1)


def _clip_backward(gradient: Tensor, clipped: Tensor, bound: float, out: Tensor) -> None:
    """Write the gradient where the clipped value lies within its bound, and 0 elsewhere."""
    torch.ops.aten.hardtanh_backward.grad_input(gradient, clipped, -bound, bound, grad_input=out)
