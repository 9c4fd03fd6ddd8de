"""The elementwise arithmetic of an LSTM step: gates, cell, clips, and the way back.

Owns the formulas, on torch's operators. It works on one direction or on several side by
side, on the rows of one step, and leaves the matrix products and the loop to others.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Bounds:
    """Where the memory cell and the projected output are clipped, if they are."""

    cell: float | None
    output: float | None


@dataclass
class Tape:
    """What the backward pass needs of the forward pass; R packed rows, or those of a step."""

    gates: Tensor  # [..., R, 4H] input, forget, output gate and candidate, after activation
    cell: Tensor  # [..., R, H] after clipping
    tanh_cell: Tensor  # [..., R, H]

    def rows(self, rows: slice) -> "Tape":
        return Tape(*(part[..., rows, :] for part in vars(self).values()))


class Arithmetic(Protocol):
    """What a step does between the products, on n rows."""

    def cell(self, sums: Tensor, cell: Tensor, tape: Tape | None) -> Tensor:
        """Gates and cell; what lies on the tape is written.

        sums (Tensor): Sums for the gates [..., n, 4H], which may be overwritten.
        cell (Tensor): Cells [..., n, H], which become those after the step.
        RETURNS (Tensor): What is projected [..., n, H].
        """

    def output(self, projected: Tensor, state: Tensor, outputs: Tensor) -> None:
        """Clip [..., n, P] and write it to the state and the outputs."""

    def output_back(
        self, d_state: Tensor, d_out: Tensor, outputs: Tensor, d_projected: Tensor
    ) -> None:
        """From gradients of the state and the output [..., n, P] to that of what was clipped,
        which is written."""

    def cell_back(
        self, d_y: Tensor, d_cell: Tensor, before: Tensor, tape: Tape, d_gates: Tensor
    ) -> None:
        """The way back of `cell`.

        d_y (Tensor): Gradient of what is projected [..., n, H].
        d_cell (Tensor): Of the cells after the step, becomes that of those before it.
        before (Tensor): Cells before the step [..., n, H].
        d_gates (Tensor): Written: gradient of the sums [..., n, 4H].
        """

    def bias(self, d_gates: Tensor) -> Tensor:
        """The gradient of the bias [..., 4H], when all steps are done, from what `cell_back`
        has written."""


class PlainArithmetic:
    """By torch's operators.

    bounds (Bounds): Where to clip.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        # the gates' gradient of one step, where the products have another type than the weights
        self.scratch: Tensor | None = None
        self.d_bias: Tensor | None = None

    def cell(self, sums: Tensor, cell: Tensor, tape: Tape | None) -> Tensor:
        hidden = cell.shape[-1]
        gates = sums if tape is None else tape.gates
        if sums.dtype != cell.dtype:
            gates = sums = sums.to(cell.dtype) if tape is None else gates.copy_(sums)
        torch.sigmoid(sums[..., : 3 * hidden], out=gates[..., : 3 * hidden])
        i, f, o, g = gates.split(hidden, dim=-1)
        tanh(sums[..., 3 * hidden :], g)
        cell.mul_(f).addcmul_(i, g)
        if self.bounds.cell is not None:
            cell.clamp_(-self.bounds.cell, self.bounds.cell)
        if tape is None:
            return tanh(cell, torch.empty_like(cell)) * o
        tape.cell.copy_(cell)
        return tanh(cell, tape.tanh_cell) * o

    def output(self, projected: Tensor, state: Tensor, outputs: Tensor) -> None:
        projected = projected.to(state.dtype)
        if self.bounds.output is not None:
            projected.clamp_(-self.bounds.output, self.bounds.output)
        state.copy_(projected)
        outputs.copy_(projected)

    def output_back(
        self, d_state: Tensor, d_out: Tensor, outputs: Tensor, d_projected: Tensor
    ) -> None:
        d_y = d_state + d_out
        if self.bounds.output is not None:
            _through_clip(d_y, outputs, self.bounds.output, out=d_y)
        d_projected.copy_(d_y)

    def cell_back(
        self, d_y: Tensor, d_cell: Tensor, before: Tensor, tape: Tape, d_gates: Tensor
    ) -> None:
        n, hidden = d_cell.shape[-2:]
        i, f, o, g = tape.gates.split(hidden, dim=-1)
        # [..., n, 4H] in the type of the weights
        d = d_gates if d_gates.dtype == d_cell.dtype else self._scratch_rows(tape.gates, n)
        d_i, d_f, d_o, d_g = d.split(hidden, dim=-1)
        torch.mul(d_y, tape.tanh_cell, out=d_o)
        d_cell += torch.ops.aten.tanh_backward(d_y * o, tape.tanh_cell)
        if self.bounds.cell is not None:
            _through_clip(d_cell, tape.cell, self.bounds.cell, out=d_cell)
        torch.mul(d_cell, g, out=d_i)
        torch.mul(d_cell, before, out=d_f)
        torch.mul(d_cell, i, out=d_g)
        d_cell *= f
        d_sigmoids, sigmoids = d[..., : 3 * hidden], tape.gates[..., : 3 * hidden]
        torch.ops.aten.sigmoid_backward.grad_input(d_sigmoids, sigmoids, grad_input=d_sigmoids)
        torch.ops.aten.tanh_backward.grad_input(d_g, g, grad_input=d_g)
        of_step = d.sum(dim=-2)
        self.d_bias = of_step if self.d_bias is None else self.d_bias.add_(of_step)
        if d is not d_gates:
            d_gates.copy_(d)

    def _scratch_rows(self, gates: Tensor, n: int) -> Tensor:
        if self.scratch is None or self.scratch.shape[-2] < n:
            self.scratch = torch.empty_like(gates)
        return self.scratch[..., :n, :]

    def bias(self, d_gates: Tensor) -> Tensor:
        return d_gates.sum(dim=-2) if self.d_bias is None else self.d_bias


class SigmoidArithmetic(PlainArithmetic):
    """As `PlainArithmetic` where there is no tape, in half as many operations.

    As tanh x = 2 sigmoid(2x) - 1, all gates are one sigmoid where the sums for the candidate g
    come twice as large. Cells are held twice as large as well, and what is returned is half of
    the output, for a projection that is twice as large:

        2c' = f 2c + 4i sigmoid(2g) - 2i
        o tanh(c') / 2 = o (sigmoid(2c') - 1/2)

    To double and to halve is exact. `products.doubled` are the weights for it.
    """

    def cell(self, sums: Tensor, cell: Tensor, tape: Tape | None) -> Tensor:
        assert tape is None
        gates = sums.to(cell.dtype).sigmoid_()
        i, f, o, g = gates.split(cell.shape[-1], dim=-1)
        cell.mul_(f).addcmul_(i, g, value=4).sub_(i, alpha=2)
        if self.bounds.cell is not None:
            cell.clamp_(-2 * self.bounds.cell, 2 * self.bounds.cell)
        return torch.sigmoid(cell).sub_(0.5).mul_(o)


def tanh(x: Tensor, out: Tensor) -> Tensor:
    """tanh x = 2 sigmoid(2x) - 1, to 1e-7. On the CPU torch computes the sigmoid
    several times as fast as the tanh."""
    if x.is_cuda:
        return torch.tanh(x, out=out)
    return torch.mul(x, 2, out=out).sigmoid_().mul_(2).sub_(1)


def _through_clip(gradient: Tensor, clipped: Tensor, bound: float, out: Tensor) -> None:
    """Write the gradient where a clipped value lies within its bound, else zero."""
    torch.ops.aten.hardtanh_backward.grad_input(gradient, clipped, -bound, bound, grad_input=out)
