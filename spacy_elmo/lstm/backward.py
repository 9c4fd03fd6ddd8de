"""The LSTM layer's backward pass, written by hand.

Autograd over the time loop would form each weight's gradient once per step. Here
the loop only carries the gradient of the state back, and the weights' gradients
are a few large products after it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .cell import Bounds, Tape
from .matmul import BatchedGradients, BatchedProducts, PackedGradients, PackedProducts, part_of
from .recurrence import run, run_back


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
        projection: Tensor | None,
        active: list[int],
        bounds: Bounds,
        dtype: torch.dtype,
        packed: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        weights = input_weight, state_weight, bias, projection
        make_products = PackedProducts if packed else BatchedProducts
        end_h, end_c = (s.clone(memory_format=torch.contiguous_format) for s in (h, c))
        outputs = torch.empty_like(x, memory_format=torch.contiguous_format)
        tapes: list[Tensor] = []
        for part in _parts(len(bias), packed):
            tape = Tape(
                gates=c.new_empty(0),
                cell=c.new_empty(*x[part].shape[:-1], c.shape[2]),
                tanh_cell=c.new_empty(*x[part].shape[:-1], c.shape[2]),
            )
            products = make_products(part_of(weights, part), dtype)
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
        d_h, d_c = (d.clone(memory_format=torch.contiguous_format) for d in (d_h, d_c))
        d_x, dim = torch.empty_like(x), x.shape[2]
        d_input_weight, d_state_weight, d_bias = (torch.empty_like(w) for w in weights[:3])
        d_projection = None if weights[3] is None else torch.empty_like(weights[3])
        # what the gates were made of
        joint = torch.cat([x, _before(outputs, h, active)], dim=2).to(dtype)
        for n, part in enumerate(_parts(len(weights[2]), packed)):
            tape = Tape(*tapes[3 * n : 3 * n + 3])
            gradients = make_gradients(part_of(weights, part), dtype)
            d_gates = torch.empty_like(tape.gates, dtype=dtype)
            d_projected = torch.empty_like(outputs[part], dtype=dtype)
            d_bias[part] = run_back(
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


def _before(outputs: Tensor, h: Tensor, active: list[int]) -> Tensor:
    """The state that each row started from [D, R, P]."""
    before = torch.empty_like(outputs)
    before[:, : active[0]] = h[:, : active[0]]
    row = 0
    for n, following in zip(active, active[1:]):
        before[:, row + n : row + n + following] = outputs[:, row : row + following]
        row += n
    return before
