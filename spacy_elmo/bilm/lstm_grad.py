"""The LSTM layer's backward pass, written by hand.

Autograd over the time loop would form each weight's gradient once per step. Here
the loop only carries the gradient of the state back, and the weights' gradients
are a few large products after it.
"""

from typing import Any, List, Optional, Tuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .products import BatchedProducts
from .recurrence import Bounds, Tape, run


class LSTMFunction(torch.autograd.Function):
    """`recurrence.run` with gradients for the inputs, the states and all weights."""

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
    ) -> Tuple[Tensor, Tensor, Tensor]:
        shape = x.shape[:2]
        tape = Tape(
            gates=c.new_empty(0),
            cell_before=c.new_empty(*shape, c.shape[2]),
            tanh_cell=c.new_empty(*shape, c.shape[2]),
            state_before=h.new_empty(*shape, h.shape[2]),
            cell_inside=_mask(c, shape) if bounds.cell is not None else None,
            output_inside=_mask(h, shape) if bounds.output is not None else None,
        )
        products = BatchedProducts((input_weight, state_weight, bias, projection), dtype)
        h, c = h.clone(), c.clone()
        outputs = torch.empty_like(x)
        run(x, h, c, products, active, bounds, outputs, tape)
        ctx.save_for_backward(x, input_weight, state_weight, projection, *vars(tape).values())
        ctx.active, ctx.dtype = active, dtype
        return outputs, h, c

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor, d_h: Tensor, d_c: Tensor) -> Any:
        x, input_weight, state_weight, projection, *saved = ctx.saved_tensors
        tape, dtype = Tape(*saved), ctx.dtype
        hidden = d_c.shape[2]
        cast_state = state_weight.to(dtype)
        cast_projection = None if projection is None else projection.to(dtype)
        d_gates = torch.empty_like(tape.gates, dtype=dtype)
        d_projected = torch.empty_like(d_out, dtype=dtype)
        d_h, d_c = d_h.clone(), d_c.clone()
        end = x.shape[1]
        for n in reversed(ctx.active):
            rows = slice(end - n, end)
            end -= n
            d_state, d_cell = d_h[:, :n], d_c[:, :n]
            d_y = d_state + d_out[:, rows]
            if tape.output_inside is not None:
                d_y *= tape.output_inside[:, rows]
            d_projected[:, rows] = d_y
            if cast_projection is not None:
                d_y = torch.bmm(d_projected[:, rows], cast_projection).to(d_c.dtype)
            i, f, o, g = tape.gates[:, rows].split(hidden, dim=2)
            tanh_cell = tape.tanh_cell[:, rows]
            d_cell += d_y * o * (1 - tanh_cell * tanh_cell)
            if tape.cell_inside is not None:
                d_cell *= tape.cell_inside[:, rows]
            d_i, d_f, d_o, d_g = d_gates[:, rows].split(hidden, dim=2)
            d_i.copy_(d_cell * g * i * (1 - i))
            d_f.copy_(d_cell * tape.cell_before[:, rows] * f * (1 - f))
            d_o.copy_(d_y * tanh_cell * o * (1 - o))
            d_g.copy_(d_cell * i * (1 - g * g))
            d_cell *= f
            d_state.copy_(torch.bmm(d_gates[:, rows], cast_state))
        d_gates_t = d_gates.transpose(1, 2)
        d_x = torch.bmm(d_gates, input_weight.to(dtype)).to(x.dtype)
        d_input_weight = torch.bmm(d_gates_t, x.to(dtype)).to(x.dtype)
        d_state_weight = torch.bmm(d_gates_t, tape.state_before.to(dtype)).to(x.dtype)
        d_bias = d_gates.to(x.dtype).sum(dim=1)
        d_projection = None
        if projection is not None:
            before = tape.tanh_cell * tape.gates[..., 2 * hidden : 3 * hidden]
            d_projection = torch.bmm(d_projected.transpose(1, 2), before.to(dtype)).to(x.dtype)
        return (
            *(d_x, d_h, d_c, d_input_weight, d_state_weight, d_bias, d_projection),
            *(None, None, None),
        )


def _mask(like: Tensor, shape: Tuple[int, ...]) -> Tensor:
    return torch.empty(*shape, like.shape[2], dtype=torch.bool, device=like.device)
