"""The matrix products of an LSTM layer, on whatever does them best.

Owns the layout of the weights for the products, forward and backward. There are two:
all directions in one batched product, for GPUs, and one direction with weights packed
by oneDNN, for the CPU, which is up to twice as fast. Packing goes through private
operators of torch: they are tried out before they are used.
"""

import warnings
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

Weights = tuple[Tensor, Tensor, Tensor, Tensor | None]
"""Input weight [..., 4H, P], state weight [..., 4H, P], bias [..., 4H] with the 1 of the
forget gate, projection [..., P, H] or None; with or without a leading direction axis."""

TYPICAL_ROWS = 64  # only a hint for oneDNN: any number of rows may follow


class Products(Protocol):
    """What the recurrence multiplies. Results may have the type of the products.

    projects (bool): Whether `project` multiplies, or passes on what it is given.
    doubled (bool): Whether the weights are those for `SigmoidArithmetic`.
    """

    projects: bool
    doubled: bool

    def inputs(self, x: Tensor) -> Tensor:
        """[..., n, P] to what it adds to the gates [..., n, 4H], bias included."""

    def add_state(self, sums: Tensor, h: Tensor) -> Tensor:
        """The sums with the products of [..., n, P] added, in place or anew."""

    def project(self, out: Tensor) -> Tensor:
        """[..., n, H] to [..., n, P]."""


class GradientProducts(Protocol):
    """What the way back multiplies. Results may have the type of the products, but for those of
    `inputs`, which have that of the weights."""

    def inputs(self, d_gates: Tensor) -> Tensor:
        """[..., n, 4H] to [..., n, P]."""

    def state(self, d_gates: Tensor) -> Tensor:
        """[..., n, 4H] to [..., n, P]."""

    def projected(self, d_projected: Tensor) -> Tensor:
        """[..., n, P] to [..., n, H]."""


class BatchedProducts:
    """All directions together, by batched products.

    weights (Weights): With a direction axis.
    dtype (torch.dtype): Type to multiply in.
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


class LoneProducts(BatchedProducts):
    """`BatchedProducts` for a lone sentence on a CPU, which reads its way through the weights
    at each step: they are kept in the order that it reads them in.

    weights (Weights): With a direction axis and a projection.
    dtype (torch.dtype): Type to multiply in.
    """

    doubled = True

    def __init__(self, weights: Weights, dtype: torch.dtype) -> None:
        super().__init__(doubled(weights), dtype)
        self.input_weight = self.input_weight.contiguous()
        self.state_weight = self.state_weight.contiguous()
        assert self.projection is not None
        self.projection = self.projection.contiguous()


class BatchedGradients:
    """The way back of `BatchedProducts`.

    weights (Weights): With a direction axis.
    dtype (torch.dtype): Type to multiply in, that of the gradients given.
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


class PackedProducts:
    """One direction on the CPU, with weights that oneDNN has packed.

    weights (Weights): Without a direction axis.
    dtype (torch.dtype): Type to multiply in, float32 or bfloat16.
    doubled (bool): Whether the weights are those for `SigmoidArithmetic`.
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


class PackedGradients:
    """The way back of `PackedProducts`.

    weights (Weights): Without a direction axis.
    dtype (torch.dtype): Type to multiply in, that of the gradients given.
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


def part_of(weights: Weights, part: Any) -> Weights:
    """RETURNS (Weights): Those of a direction, or of a slice of the directions."""
    input_weight, state_weight, bias, projection = weights
    return (
        *(input_weight[part], state_weight[part], bias[part]),
        None if projection is None else projection[part],
    )


def doubled(weights: Weights) -> Weights:
    """RETURNS (Weights): Those for `SigmoidArithmetic`: what makes the candidate and the
    projection twice as large.

    weights (Weights): With a projection.
    """
    input_weight, state_weight, bias, projection = weights
    assert projection is not None
    factors = torch.ones_like(bias)
    factors[..., 3 * bias.shape[-1] // 4 :] = 2
    rows = factors.unsqueeze(-1)
    return input_weight * rows, state_weight * rows, bias * factors, projection * 2


@cache
def packing_works(dtype: torch.dtype) -> bool:
    """RETURNS (bool): Whether this build of torch packs weights of a type, and the
    products with them are right."""
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
        got = torch.stack([_linear(x, packed, biases[0]), _linear_add(x, biases, packed)]).float()
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    tolerance = 1e-5 if dtype == torch.float32 else 0.05
    return bool(torch.allclose(got, expected.expand_as(got), atol=tolerance))


@cache
def warn_of_slow_bfloat16(device_type: str) -> None:
    """Say once that a processor without instructions for bfloat16 imitates them: products
    then take some twenty times as long as in float32."""
    try:
        fast = device_type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    except (AttributeError, RuntimeError):  # a private operator
        fast = True
    if not fast:
        warnings.warn(
            "The precision is bfloat16, for which this processor has no instructions: float32 is "
            "many times faster here. Set precision to float32.",
            stacklevel=2,
        )


def _pack(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(
        weight.detach().contiguous(), TYPICAL_ROWS
    )
    return packed


def round_rows(n_rows: Any) -> Any:
    """Round numbers of rows up to a few sizes: 1 to 16, then eight in each octave.

    oneDNN and its binding in torch each keep the code for the last 1,024 shapes of a product, half
    a megabyte and more for each. Sentences of all lengths have all numbers of rows.

    n_rows (Union[int, ndarray]): Numbers of rows, int64.
    RETURNS (Union[int, ndarray]): Numbers at most an eighth larger.
    """
    step = 1 << np.maximum(np.frexp(n_rows)[1] - 4, 0)
    return -(-n_rows // step) * step


def pad_rows(x: Tensor) -> Tensor:
    """Append rows of zeros up to a size of `round_rows`; nothing is copied if x has such a size.

    x (Tensor): [n, m].
    RETURNS (Tensor): [at least n, m].
    """
    n = len(x)
    missing = int(round_rows(n)) - n
    return torch.nn.functional.pad(x, (0, 0, 0, missing)) if missing else x


def _linear(x: Tensor, packed: Tensor, bias: Tensor | None = None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(pad_rows(x), packed, bias, "none", [], "")
    return product[: len(x)]


def _linear_add(x: Tensor, addend: Tensor, packed: Tensor) -> Tensor:
    total: Tensor = torch.ops.mkldnn._linear_pointwise.binary(
        pad_rows(x), pad_rows(addend), packed, None, "add"
    )
    return total[: len(x)]
