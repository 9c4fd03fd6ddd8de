"""Matrix products of an LSTM layer with int8 weights and activations, for inference on a CPU.

Quantization is symmetric and dynamic: each row of a weight and each row of activations has its
own scale, its largest magnitude / 127. Integer sums are exact, so the vectors of a sequence do
not depend on the rest of the batch. The oneDNN operators are private to PyTorch and need a
processor with int8 dot products (VNNI, AMX). They are probed before they are used. Where they do
not work, the same integers are multiplied in float32.
"""

import warnings
from functools import cache

import torch
from torch import Tensor

from .matmul import TYPICAL_ROWS, Weights, pad_rows

LARGEST = 127
ZERO_POINT = 128  # the operators are fast for unsigned activations only
TINY = 1e-30  # replaces the largest magnitude of a row of zeros, to avoid division by 0


class Int8Matmul:
    """`Matmul` of one direction with int8 weights. Results have the dtype of the weights.

    weights (Weights): Without a direction axis.
    doubled (bool): Whether the weights are doubled for `SigmoidCellOps`.
    """

    def __init__(self, weights: Weights, doubled: bool = False) -> None:
        input_weight, state_weight, bias, projection = weights
        self.doubled = doubled
        self.input_weight = QuantizedWeight(input_weight)
        self.state_weight = QuantizedWeight(state_weight)
        self.bias = bias
        self.projects = projection is not None
        self.projection = None if projection is None else QuantizedWeight(projection)

    def inputs(self, x: Tensor) -> Tensor:
        product, scales = self.input_weight.matmul(x)
        return torch.addcmul(self.bias, product, scales)

    def add_state(self, sums: Tensor, h: Tensor) -> Tensor:
        product, scales = self.state_weight.matmul(h)
        return sums.addcmul_(product, scales)

    def project(self, out: Tensor) -> Tensor:
        if self.projection is None:
            return out
        product, scales = self.projection.matmul(out)
        return product.mul_(scales)


class QuantizedWeight:
    """A weight in int8 with one scale for each row.

    weight (Tensor): [n, m].
    """

    def __init__(self, weight: Tensor) -> None:
        rounded, scales = _quantize(weight)
        self.scales = scales.flatten()
        self.zeros = torch.zeros(len(weight), dtype=torch.int64, device="cpu")
        self.packed: Tensor | None = None
        if int8_works() and weight.dtype == torch.float32:
            self.packed = _pack(rounded)
        else:
            self.rounded = rounded.to(weight.dtype)

    def matmul(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Multiply rows by the transposed weight.

        x (Tensor): Rows [r, m].
        RETURNS (Tuple[Tensor, Tensor]): Products [r, n] and scales [r, 1], whose product is
            x W^T. The caller multiplies by the scales in the next elementwise operation.
        """
        rounded, scales = _quantize(x)
        if self.packed is None:
            product = torch.nn.functional.linear(rounded.to(x.dtype), self.rounded)
            return product.mul_(self.scales), scales
        return _linear(rounded, self.packed, self.scales, self.zeros), scales


@cache
def int8_works() -> bool:
    """Probe the private oneDNN operators.

    Some processors add pairs of products in 16-bit integers, which overflow for large values.

    RETURNS (bool): Whether PyTorch multiplies int8 matrices exactly on this machine.
    """
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
    """Warn once if int8 matrices are multiplied in float32 on this machine."""
    if not int8_works():
        warnings.warn(
            "The precision is int8, but this processor or this build of PyTorch has no int8 "
            "matrix products: they are computed in float32, without a speedup. Set precision to "
            "float32, or to bfloat16 if the processor has bfloat16 instructions.",
            stacklevel=2,
        )


def _quantize(x: Tensor) -> tuple[Tensor, Tensor]:
    """Round each row to integers from -127 to 127.

    x (Tensor): [n, m].
    RETURNS (Tuple[Tensor, Tensor]): Integers, int8 [n, m], and the scale of each row [n, 1].
    """
    scales = x.abs().amax(dim=-1, keepdim=True).clamp_(min=TINY).div_(LARGEST)
    return torch.mul(x, scales.reciprocal()).round_().to(torch.int8), scales


def _pack(rounded: Tensor) -> Tensor:
    packed: Tensor = torch.ops.onednn.qlinear_prepack(rounded, [TYPICAL_ROWS, rounded.shape[1]])
    return packed


def _linear(rounded: Tensor, packed: Tensor, scales: Tensor, zeros: Tensor) -> Tensor:
    # flipping the sign bit of a signed byte adds 128
    unsigned = pad_rows(rounded.view(torch.uint8).bitwise_xor(ZERO_POINT))
    product: Tensor = torch.ops.onednn.qlinear_pointwise(
        unsigned,
        1.0,  # scale of the activations, applied by the caller
        ZERO_POINT,  # zero point of the activations
        packed,
        scales,  # scales of the weight
        zeros,  # zero points of the weight
        None,  # bias
        1.0,  # scale of the output
        0,  # zero point of the output
        torch.float32,  # dtype of the output
        "none",  # fused operation
        [],  # arguments of the fused operation
        "",  # algorithm of the fused operation
    )
    return product if len(unsigned) == len(rounded) else product[: len(rounded)]
