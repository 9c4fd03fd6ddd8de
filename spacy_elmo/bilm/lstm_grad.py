"""The LSTM layer's backward pass, written by hand.

Autograd over the time loop would form each weight's gradient once per step. Here
the loop only carries the gradient of the state back, and the weights' gradients
are a few large products after it.
"""

from typing import Any, List, Optional, Sequence, Tuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .products import (
    BatchedGradients,
    BatchedProducts,
    GradientProducts,
    PackedGradients,
    PackedProducts,
    Weights,
)
from .recurrence import Bounds, Tape, run


class LSTMFunction(torch.autograd.Function):
    """`recurrence.run` with gradients for the inputs, the states and all weights.

    All tensors have a direction axis. With `packed`, each direction is run by itself
    with packed weights, else all of them together. What lies exactly on a bound counts
    as clipped and passes no gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        h: Tensor,
        c: Tensor,
        input_weight: Tensor,
        state_weight: Tensor,
        bias: Tensor,
        projection: Optional[Tensor],
        active: List[int],
        bounds: Bounds,
        dtype: torch.dtype,
        packed: bool = False,
    ) -> Tuple[Tensor, Tensor, Tensor]:
        weights = input_weight, state_weight, bias, projection
        make_products = PackedProducts if packed else BatchedProducts
        end_h, end_c = h.clone(), c.clone()
        outputs = torch.empty_like(x)
        tapes: List[Tensor] = []
        for part in _parts(len(bias), packed):
            tape = Tape(
                gates=c.new_empty(0),
                cell=c.new_empty(*x[part].shape[:-1], c.shape[2]),
                tanh_cell=c.new_empty(*x[part].shape[:-1], c.shape[2]),
            )
            products = make_products(_of(weights, part), dtype)
            run(x[part], end_h[part], end_c[part], products, active, bounds, outputs[part], tape)
            tapes.extend(vars(tape).values())
        ctx.save_for_backward(x, h, c, outputs, *weights, *tapes)
        ctx.settings = active, bounds, dtype, packed
        return outputs, end_h, end_c

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor, d_h: Tensor, d_c: Tensor) -> Any:
        x, h, c, outputs, *saved = ctx.saved_tensors
        weights, tapes = tuple(saved[:4]), saved[4:]
        active, bounds, dtype, packed = ctx.settings
        make_gradients = PackedGradients if packed else BatchedGradients
        d_h, d_c = d_h.clone(), d_c.clone()
        d_x, dim = torch.empty_like(x), x.shape[2]
        d_input_weight, d_state_weight, d_bias = (torch.empty_like(w) for w in weights[:3])
        d_projection = None if weights[3] is None else torch.empty_like(weights[3])
        # what the gates were made of
        joint = torch.cat([x, _before(outputs, h, active)], dim=2).to(dtype)
        for n, part in enumerate(_parts(len(weights[2]), packed)):
            tape = Tape(*tapes[3 * n : 3 * n + 3])
            gradients = make_gradients(_of(weights, part), dtype)
            d_gates = torch.empty_like(tape.gates, dtype=dtype)
            d_projected = torch.empty_like(outputs[part], dtype=dtype)
            d_bias[part] = _run_back(
                (d_out[part], d_h[part], d_c[part]),
                (d_gates, d_projected),
                c[part],
                outputs[part],
                tape,
                gradients,
                active,
                bounds,
            )
            d_x[part] = gradients.inputs(d_gates)
            d_joint = torch.matmul(d_gates.mT, joint[part])
            d_input_weight[part], d_state_weight[part] = d_joint.split(dim, dim=-1)
            if d_projection is not None:
                o = tape.gates.split(c.shape[2], dim=-1)[2]
                d_projection[part] = torch.matmul(d_projected.mT, (tape.tanh_cell * o).to(dtype))
        d_weights = d_input_weight, d_state_weight, d_bias, d_projection
        return (d_x, d_h, d_c, *d_weights, None, None, None, None)


def _parts(n_directions: int, packed: bool) -> Sequence[Any]:
    """Indices of what is run at once: each direction, or all of them."""
    return range(n_directions) if packed else [slice(None)]


def _of(weights: Weights, part: Any) -> Weights:
    input_weight, state_weight, bias, projection = weights
    return (
        *(input_weight[part], state_weight[part], bias[part]),
        None if projection is None else projection[part],
    )


def _run_back(
    d_states: Tuple[Tensor, Tensor, Tensor],
    d_rows: Tuple[Tensor, Tensor],
    start_cell: Tensor,
    outputs: Tensor,
    tape: Tape,
    gradients: GradientProducts,
    active: List[int],
    bounds: Bounds,
) -> Tensor:
    """The time loop backwards, with or without a direction axis in front.

    d_states (Tuple[Tensor, Tensor, Tensor]): Gradients of the outputs [..., R, P], and of
        the states after the last steps, which become those of the states at the start.
    d_rows (Tuple[Tensor, Tensor]): Written: gradients of the gates before activation
        [..., R, 4H] and of the projections before clipping [..., R, P].
    start_cell (Tensor): Cells before the first step [..., n_sentences, H].
    outputs (Tensor): Outputs of the forward pass [..., R, P].
    RETURNS (Tensor): The gradient of the bias [..., 4H].
    """
    (d_out, d_h, d_c), (d_gates, d_projected) = d_states, d_rows
    hidden = d_c.shape[-1]
    # of one step, in the type of the weights, and small enough to stay in the processor's cache
    d_step = torch.empty_like(tape.gates[..., : active[0], :])
    d_bias = torch.zeros_like(tape.gates[..., 0, :])
    end = outputs.shape[-2]
    for step in reversed(range(len(active))):
        n = active[step]
        rows = slice(end - n, end)
        end -= n
        d_state, d_cell = d_h[..., :n, :], d_c[..., :n, :]
        before = tape.cell[..., end - active[step - 1] :, :] if step else start_cell
        d_y = d_state + d_out[..., rows, :]
        if bounds.output is not None:
            d_y = _through_clip(d_y, outputs[..., rows, :], bounds.output)
        d_projected[..., rows, :] = d_y
        d_y = gradients.projected(d_projected[..., rows, :])
        gates = tape.gates[..., rows, :]
        i, f, o, g = gates.split(hidden, dim=-1)
        tanh_cell = tape.tanh_cell[..., rows, :]
        d = d_step[..., :n, :]
        d_i, d_f, d_o, d_g = d.split(hidden, dim=-1)
        torch.mul(d_y, tanh_cell, out=d_o)
        d_cell += torch.ops.aten.tanh_backward(d_y * o, tanh_cell)
        if bounds.cell is not None:
            d_cell.copy_(_through_clip(d_cell, tape.cell[..., rows, :], bounds.cell))
        torch.mul(d_cell, g, out=d_i)
        torch.mul(d_cell, before[..., :n, :], out=d_f)
        torch.mul(d_cell, i, out=d_g)
        d_cell *= f
        sigmoids = gates[..., : 3 * hidden]
        d[..., : 3 * hidden] = torch.ops.aten.sigmoid_backward(d[..., : 3 * hidden], sigmoids)
        d_g.copy_(torch.ops.aten.tanh_backward(d_g, g))
        d_bias += d.sum(dim=-2)
        d_gates[..., rows, :] = d
        d_state.copy_(gradients.state(d_gates[..., rows, :]))
    return d_bias


def _through_clip(gradient: Tensor, clipped: Tensor, bound: float) -> Tensor:
    """The gradient where a clipped value lies within its bound, else zero."""
    passed: Tensor = torch.ops.aten.hardtanh_backward(gradient, clipped, -bound, bound)
    return passed


def _before(outputs: Tensor, h: Tensor, active: List[int]) -> Tensor:
    """The state that each row started from [D, R, P]."""
    before = torch.empty_like(outputs)
    before[:, : active[0]] = h[:, : active[0]]
    row = 0
    for n, following in zip(active, active[1:]):
        before[:, row + n : row + n + following] = outputs[:, row : row + following]
        row += n
    return before
