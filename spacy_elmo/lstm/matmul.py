"""Matrix products of an LSTM layer, forward and backward, in one back end for each device.

The batched back end multiplies all directions in one `torch.bmm`, which suits GPUs. The oneDNN
back end multiplies one direction by weights that oneDNN has packed, which is up to twice as fast
on a CPU. It needs private operators of PyTorch, which are probed before they are used.
"""

import warnings
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

Weights = tuple[Tensor, Tensor, Tensor, Tensor | None]
"""Input weight [..., 4H, P], state weight [..., 4H, P], bias [..., 4H] with 1 added for the
forget gate, projection [..., P, H] or None; with or without a leading direction axis."""

TYPICAL_ROWS = 64  # a hint for oneDNN; any number of rows is allowed


class Matmul(Protocol):
    """Matrix products of the forward pass. Results may have the dtype of the products.

    projects (bool): Whether `project` multiplies; otherwise it returns its argument.
    doubled (bool): Whether the weights are doubled for `SigmoidCellOps`.
    """

    projects: bool
    doubled: bool

    def inputs(self, x: Tensor) -> Tensor:
        """Return the contribution of inputs [..., n, P] to the gates [..., n, 4H], with bias."""

    def add_state(self, sums: Tensor, h: Tensor) -> Tensor:
        """Return sums [..., n, 4H] plus the contribution of states [..., n, P]; may be in place."""

    def project(self, out: Tensor) -> Tensor:
        """Return outputs [..., n, H] projected to [..., n, P]."""


class BackwardMatmul(Protocol):
    """Matrix products of the backward pass.

    Results of `inputs` have the dtype of the weights. Results of the other methods may have the
    dtype of the products.
    """

    def inputs(self, d_gates: Tensor) -> Tensor:
        """Return the gradient of the inputs [..., n, P] from the gates' gradient [..., n, 4H]."""

    def state(self, d_gates: Tensor) -> Tensor:
        """Return the gradient of the states [..., n, P] from the gates' gradient [..., n, 4H]."""

    def projected(self, d_projected: Tensor) -> Tensor:
        """Return the gradient before projection [..., n, H] from the one after it [..., n, P]."""


class BatchedMatmul:
    """`Matmul` of all directions at once, in batched matrix products.

    weights (Weights): With a direction axis.
    dtype (torch.dtype): Dtype of the products.
    """

    doubled = False

    def __init__(self, weights: Weights, dtype: torch.dtype) -> None:
        input_weight, state_weight, bias, projection = weights
        self.dtype = dtype
        self.input_weight = input_weight.to(dtype).transpose(1, 2)
        self.state_weight = state_weight.to(dtype).transpose(1, 2)
        self.bias = bias.to(dtype).unsqueeze(1)
        self.projects = projection is not None
        self.projection = None if projection is None else projection.to(dtype).transpose(1, 2)

    def inputs(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x.to(self.dtype), self.input_weight)

    def add_state(self, sums: Tensor, h: Tensor) -> Tensor:
        return sums.baddbmm_(h.to(self.dtype), self.state_weight)

    def project(self, out: Tensor) -> Tensor:
        if self.projection is None:
            return out
        return torch.bmm(out.to(self.dtype), self.projection)


class SingleSequenceMatmul(BatchedMatmul):
    """`BatchedMatmul` for a single sequence on a CPU.

    Each step is a matrix-vector product, limited by memory bandwidth. The weights are therefore
    stored in the order in which the product reads them.

    weights (Weights): With a direction axis and a projection.
    dtype (torch.dtype): Dtype of the products.
    """

    doubled = True

    def __init__(self, weights: Weights, dtype: torch.dtype) -> None:
        super().__init__(double_weights(weights), dtype)
        self.input_weight = self.input_weight.contiguous()
        self.state_weight = self.state_weight.contiguous()
        assert self.projection is not None
        self.projection = self.projection.contiguous()


class BatchedBackwardMatmul:
    """Backward pass of `BatchedMatmul`.

    weights (Weights): With a direction axis.
    dtype (torch.dtype): Dtype of the products and of the gradients that are passed in.
    """

    def __init__(self, weights: Weights, dtype: torch.dtype) -> None:
        input_weight, state_weight, bias, projection = weights
        self.out_dtype = bias.dtype
        self.input_weight = input_weight.to(dtype)
        self.state_weight = state_weight.to(dtype)
        self.projection = None if projection is None else projection.to(dtype)

    def inputs(self, d_gates: Tensor) -> Tensor:
        return torch.bmm(d_gates, self.input_weight).to(self.out_dtype)

    def state(self, d_gates: Tensor) -> Tensor:
        return torch.bmm(d_gates, self.state_weight)

    def projected(self, d_projected: Tensor) -> Tensor:
        if self.projection is None:
            return d_projected
        return torch.bmm(d_projected, self.projection)


class MkldnnMatmul:
    """`Matmul` of one direction on a CPU, with weights packed by oneDNN (formerly MKL-DNN).

    weights (Weights): Without a direction axis.
    dtype (torch.dtype): Dtype of the products, float32 or bfloat16.
    doubled (bool): Whether the weights are doubled for `SigmoidCellOps`.
    """

    def __init__(self, weights: Weights, dtype: torch.dtype, doubled: bool = False) -> None:
        input_weight, state_weight, bias, projection = weights
        self.doubled = doubled
        self.dtype = dtype
        self.input_weight = _pack(input_weight.to(dtype))
        self.state_weight = _pack(state_weight.to(dtype))
        self.bias = bias.to(dtype)
        self.projects = projection is not None
        self.projection = None if projection is None else _pack(projection.to(dtype))

    def inputs(self, x: Tensor) -> Tensor:
        return _linear(x.to(self.dtype), self.input_weight, self.bias)

    def add_state(self, sums: Tensor, h: Tensor) -> Tensor:
        return _linear_add(h.to(self.dtype), sums, self.state_weight)

    def project(self, out: Tensor) -> Tensor:
        if self.projection is None:
            return out
        return _linear(out.to(self.dtype), self.projection).float()


class MkldnnBackwardMatmul:
    """Backward pass of `MkldnnMatmul`.

    weights (Weights): Without a direction axis.
    dtype (torch.dtype): Dtype of the products and of the gradients that are passed in.
    """

    def __init__(self, weights: Weights, dtype: torch.dtype) -> None:
        input_weight, state_weight, _, projection = weights
        self.input_weight = _pack(input_weight.to(dtype).t())
        self.state_weight = _pack(state_weight.to(dtype).t())
        self.projection = None if projection is None else _pack(projection.to(dtype).t())

    def inputs(self, d_gates: Tensor) -> Tensor:
        return _linear(d_gates, self.input_weight).float()

    def state(self, d_gates: Tensor) -> Tensor:
        return _linear(d_gates, self.state_weight).float()

    def projected(self, d_projected: Tensor) -> Tensor:
        if self.projection is None:
            return d_projected.float()
        return _linear(d_projected, self.projection).float()


def select_directions(weights: Weights, index: Any) -> Weights:
    """Return the weights of one direction or of a slice of the directions.

    weights (Weights): With a direction axis.
    index (Union[int, slice]): Index of the direction axis.
    RETURNS (Weights): Views.
    """
    input_weight, state_weight, bias, projection = weights
    selected = None if projection is None else projection[index]
    return input_weight[index], state_weight[index], bias[index], selected


def double_weights(weights: Weights) -> Weights:
    """Double the weights of the candidate and of the projection, for `SigmoidCellOps`.

    weights (Weights): With a projection.
    RETURNS (Weights): New tensors.
    """
    input_weight, state_weight, bias, projection = weights
    assert projection is not None
    factors = torch.ones_like(bias)
    factors[..., 3 * bias.shape[-1] // 4 :] = 2
    rows = factors.unsqueeze(-1)
    return input_weight * rows, state_weight * rows, bias * factors, projection * 2


@cache
def mkldnn_works(dtype: torch.dtype) -> bool:
    """Probe the private oneDNN operators.

    dtype (torch.dtype): Dtype of the products.
    RETURNS (bool): Whether this build of PyTorch packs weights of the dtype and multiplies by
        them correctly.
    """
    generator = torch.Generator("cpu").manual_seed(0)
    x, weight, bias = (
        torch.rand(*shape, generator=generator, dtype=torch.float32, device="cpu")
        for shape in ((3, 8), (16, 8), (16,))
    )
    expected = torch.nn.functional.linear(x, weight, bias)
    try:
        packed = _pack(weight.to(dtype))
        biases = bias.to(dtype).expand(3, 16).contiguous()
        x = x.to(dtype)
        found = torch.stack([_linear(x, packed, biases[0]), _linear_add(x, biases, packed)])
        found = found.float()
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    tolerance = 1e-5 if dtype == torch.float32 else 0.05
    return bool(torch.allclose(found, expected.expand_as(found), atol=tolerance))


@cache
def warn_of_slow_bfloat16(device_type: str) -> None:
    """Warn once if the processor has no bfloat16 instructions.

    Emulated bfloat16 GEMMs take about twenty times as long as float32 GEMMs.

    device_type (str): Type of the device that runs the products, "cpu" or "cuda".
    """
    try:
        fast = device_type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    except (AttributeError, RuntimeError):  # a private operator
        fast = True
    if not fast:
        warnings.warn(
            "The precision is bfloat16, but this processor has no bfloat16 instructions: float32 "
            "is many times faster here. Set precision to float32.",
            stacklevel=2,
        )


def _pack(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(
        weight.detach().contiguous(), TYPICAL_ROWS
    )
    return packed


def round_rows(n_rows: Any) -> Any:
    """Round numbers of rows up to a few sizes: 1 to 16, then eight in each octave.

    oneDNN and its binding in PyTorch each cache the compiled code for the last 1,024 shapes of a
    matrix product, half a megabyte or more for each. Sentences of different lengths would fill
    these caches with all numbers of rows.

    n_rows (Union[int, ndarray]): Numbers of rows, int64.
    RETURNS (Union[int, ndarray]): Numbers at most an eighth larger.
    """
    step = 1 << np.maximum(np.frexp(n_rows)[1] - 4, 0)
    return -(-n_rows // step) * step


def pad_rows(x: Tensor) -> Tensor:
    """Append rows of zeros up to the number of rows from `round_rows`.

    x (Tensor): [n, m].
    RETURNS (Tensor): [at least n, m]; `x` itself if no rows are missing.
    """
    n = x.shape[0]
    # `round_rows` in integers, since this runs several times per step
    missing = -n % (1 << max(n.bit_length() - 4, 0))
    return torch.nn.functional.pad(x, (0, 0, 0, missing)) if missing else x


def _linear(x: Tensor, packed: Tensor, bias: Tensor | None = None) -> Tensor:
    padded = pad_rows(x)
    product: Tensor = torch.ops.mkldnn._linear_pointwise(padded, packed, bias, "none", [], "")
    return product if padded is x else product[: len(x)]


def _linear_add(x: Tensor, addend: Tensor, packed: Tensor) -> Tensor:
    padded = pad_rows(x)
    total: Tensor = torch.ops.mkldnn._linear_pointwise.binary(
        padded, pad_rows(addend), packed, None, "add"
    )
    return total if padded is x else total[: len(x)]
