"""The matrix products of an LSTM layer in integers of 8 bits, forward on a CPU.

Owns how numbers are rounded: each row of a weight and each row that is multiplied has a scale
of its own, its largest magnitude / 127. Sums of integers are exact, so that here, too, the
vectors of a sentence do not depend on those beside it. The operators of oneDNN are private to
torch and need a processor with instructions for such products (VNNI, AMX): they are tried out,
and without them the same integers are multiplied in float32.
"""

import warnings
from functools import cache

import torch
from torch import Tensor

from .matmul import TYPICAL_ROWS, Weights, pad_rows

LARGEST = 127
# the operators are fast for rows without a sign alone
ZERO_POINT = 128
TINY = 1e-30  # a row of zeros has a scale, too


class Int8Products:
    """One direction. Results have the type of the weights.

    weights (Weights): Without a direction axis.
    doubled (bool): Whether the weights are those for `SigmoidArithmetic`.
    """

    def __init__(self, weights: Weights, doubled: bool = False) -> None:
        input_weight, state_weight, bias, projection = weights
        self.doubled = doubled
        self.input_weight, self.state_weight = (
            RoundedWeight(input_weight),
            RoundedWeight(state_weight),
        )
        self.bias = bias
        self.projects = projection is not None
        self.projection = None if projection is None else RoundedWeight(projection)

    def inputs(self, x: Tensor) -> Tensor:
        product, scales = self.input_weight.times(x)
        return torch.addcmul(self.bias, product, scales)

    def add_state(self, sums: Tensor, h: Tensor) -> Tensor:
        return sums.addcmul_(*self.state_weight.times(h))

    def project(self, out: Tensor) -> Tensor:
        if self.projection is None:
            return out
        product, scales = self.projection.times(out)
        return product.mul_(scales)


class RoundedWeight:
    """A weight in integers.

    weight (Tensor): [n, m].
    """

    def __init__(self, weight: Tensor) -> None:
        rounded, scales = _round(weight)
        self.scales = scales.flatten()
        self.zeros = torch.zeros(len(weight), dtype=torch.int64, device="cpu")
        self.packed: Tensor | None = None
        if int8_works() and weight.dtype == torch.float32:
            self.packed = _pack(rounded)
        else:
            self.rounded = rounded.to(weight.dtype)

    def times(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """RETURNS (Tuple[Tensor, Tensor]): What of rows [r, m] becomes x W^T [r, n] when it is
        multiplied with the second, a scale for each row [r, 1]."""
        rounded, scales = _round(x)
        if self.packed is None:
            product = torch.nn.functional.linear(rounded.to(x.dtype), self.rounded)
            return product.mul_(self.scales), scales
        return _linear(rounded, self.packed, self.scales, self.zeros), scales


def _round(x: Tensor) -> tuple[Tensor, Tensor]:
    """RETURNS (Tuple[Tensor, Tensor]): Whole numbers from -127 to 127, int8, and what each row
    of them is to be multiplied with."""
    scales = x.abs().amax(dim=-1, keepdim=True).clamp_(min=TINY).div_(LARGEST)
    return torch.mul(x, scales.reciprocal()).round_().to(torch.int8), scales


@cache
def int8_works() -> bool:
    """RETURNS (bool): Whether torch multiplies integers of 8 bits here, and exactly: some
    processors add products of pairs in 16 bits, which do not hold the largest."""
    generator = torch.Generator("cpu").manual_seed(0)
    x, weight = (
        torch.randint(
            -LARGEST, LARGEST + 1, (n, 40), generator=generator, dtype=torch.int8, device="cpu"
        )
        for n in (3, 16)
    )
    x[0] = weight[0] = LARGEST
    x[1] = weight[1] = -LARGEST
    scales = torch.linspace(0.5, 2, 16, dtype=torch.float32, device="cpu")
    zeros = torch.zeros(16, dtype=torch.int64, device="cpu")
    try:
        found = _linear(x, _pack(weight), scales, zeros)
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return bool(torch.allclose(found, (x.float() @ weight.float().t()) * scales, rtol=1e-6))


@cache
def warn_of_slow_int8() -> None:
    """Say once that integers are multiplied in float32 here."""
    if not int8_works():
        warnings.warn(
            "The precision is int8, for which this processor or this build of torch has no "
            "products: they are made in float32, with no gain. Set precision to float32, or to "
            "bfloat16 where the processor has instructions for that.",
            stacklevel=2,
        )


def _pack(rounded: Tensor) -> Tensor:
    packed: Tensor = torch.ops.onednn.qlinear_prepack(rounded, [TYPICAL_ROWS, rounded.shape[1]])
    return packed


def _linear(rounded: Tensor, packed: Tensor, scales: Tensor, zeros: Tensor) -> Tensor:
    # + 128 of a signed byte turns its first bit
    unsigned = rounded.view(torch.uint8).bitwise_xor(ZERO_POINT)
    of_x, of_weight, of_output = (1.0, ZERO_POINT), (packed, scales, zeros), (1.0, 0, torch.float32)
    product: Tensor = torch.ops.onednn.qlinear_pointwise(
        pad_rows(unsigned), *of_x, *of_weight, None, *of_output, "none", [], ""
    )
    return product[: len(rounded)]
