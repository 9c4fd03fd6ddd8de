"""An autograd function for the LSTM layer with a hand-written backward pass.

Autograd through the loop over steps would compute a gradient of each weight at each step. Here
the loop propagates only the gradient of the states, and a few large GEMMs after the loop compute
the gradients of the weights.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .cell import Bounds, SavedActivations
from .matmul import (
    BatchedBackwardMatmul,
    BatchedMatmul,
    MkldnnBackwardMatmul,
    MkldnnMatmul,
    select_directions,
)
from .recurrence import run, run_backward


class LSTMFunction(torch.autograd.Function):
    """`recurrence.run` with gradients for the inputs, the states and all weights.

    All tensors have a leading direction axis. With `use_mkldnn`, each direction runs separately
    with packed weights; otherwise all directions run in one batch. A value that equals its bound
    counts as clipped and receives no gradient.
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
        use_mkldnn: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        weights = input_weight, state_weight, bias, projection
        make_matmul = MkldnnMatmul if use_mkldnn else BatchedMatmul
        end_h = h.clone(memory_format=torch.contiguous_format)
        end_c = c.clone(memory_format=torch.contiguous_format)
        outputs = torch.empty_like(x, memory_format=torch.contiguous_format)
        activations: list[Tensor] = []
        for d in _direction_indices(len(bias), use_mkldnn):
            saved = SavedActivations(
                gates=c.new_empty(0),
                cell=c.new_empty(*x[d].shape[:-1], c.shape[2]),
                tanh_cell=c.new_empty(*x[d].shape[:-1], c.shape[2]),
            )
            run(
                x[d],
                end_h[d],
                end_c[d],
                matmul=make_matmul(select_directions(weights, d), dtype),
                active=active,
                bounds=bounds,
                outputs=outputs[d],
                saved=saved,
            )
            activations += [saved.gates, saved.cell, saved.tanh_cell]
        ctx.save_for_backward(x, h, c, outputs, *weights, *activations)
        ctx.settings = active, bounds, dtype, use_mkldnn
        return outputs, end_h, end_c

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor, d_h: Tensor, d_c: Tensor) -> Any:
        x, h, c, outputs, *others = ctx.saved_tensors
        weights, activations = tuple(others[:4]), others[4:]
        active, bounds, dtype, use_mkldnn = ctx.settings
        make_matmul = MkldnnBackwardMatmul if use_mkldnn else BatchedBackwardMatmul
        d_h = d_h.clone(memory_format=torch.contiguous_format)
        d_c = d_c.clone(memory_format=torch.contiguous_format)
        d_x, dim = torch.empty_like(x), x.shape[2]
        d_input_weight, d_state_weight, d_bias = (torch.empty_like(w) for w in weights[:3])
        d_projection = None if weights[3] is None else torch.empty_like(weights[3])
        # [D, R, 2P]: the inputs concatenated with the states before each step
        joint = torch.cat([x, _states_before(outputs, h, active)], dim=2).to(dtype)
        for n, d in enumerate(_direction_indices(len(weights[2]), use_mkldnn)):
            gates, cell, tanh_cell = activations[3 * n : 3 * n + 3]
            matmul = make_matmul(select_directions(weights, d), dtype)
            d_gates = torch.empty_like(gates, dtype=dtype)
            d_projected = torch.empty_like(outputs[d], dtype=dtype)
            d_bias[d] = run_backward(
                d_out[d],
                d_h[d],
                d_c[d],
                matmul=matmul,
                active=active,
                bounds=bounds,
                start_cell=c[d],
                outputs=outputs[d],
                saved=SavedActivations(gates=gates, cell=cell, tanh_cell=tanh_cell),
                d_gates=d_gates,
                d_projected=d_projected,
            )
            d_x[d] = matmul.inputs(d_gates)
            d_joint = torch.matmul(d_gates.mT, joint[d])
            d_input_weight[d], d_state_weight[d] = d_joint[..., :dim], d_joint[..., dim:]
            if d_projection is not None:
                o = gates.chunk(4, dim=-1)[2]
                d_projection[d] = torch.matmul(d_projected.mT, (tanh_cell * o).to(dtype))
        d_weights = d_input_weight, d_state_weight, d_bias, d_projection
        return (d_x, d_h, d_c, *d_weights, None, None, None, None)


# positional arguments as for `LSTMFunction.forward`
lstm_function: Callable[..., tuple[Tensor, Tensor, Tensor]] = LSTMFunction.apply


def _direction_indices(n_directions: int, one_by_one: bool) -> Sequence[Any]:
    """RETURNS (Sequence[Union[int, slice]]): Each direction, or one slice of all directions."""
    return range(n_directions) if one_by_one else [slice(None)]


def _states_before(outputs: Tensor, h: Tensor, active: list[int]) -> Tensor:
    """RETURNS (Tensor): The state before each row's step [D, R, P]."""
    before = torch.empty_like(outputs)
    before[:, : active[0]] = h[:, : active[0]]
    row = 0
    for n, following in zip(active, active[1:]):
        before[:, row + n : row + n + following] = outputs[:, row : row + following]
        row += n
    return before
