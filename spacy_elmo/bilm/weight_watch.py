"""Detecting changes of a module's weights.

PyTorch counts the in-place changes of a tensor, and a replaced tensor has another address.
Changes through `.data` (`param.data.mul_(2)`) are not counted. On a CPU they are detected by
comparing a few values of each tensor, which takes about 10 microseconds. On a GPU, reading values
would wait for the work in progress, so only counts and addresses are compared.
"""

from itertools import count
from typing import Any

import torch
from torch import Tensor

N_SAMPLED = 16

_numbers = count(1)


class WeightWatch:
    """The state of some tensors at the last call of `accept`. Copies start without a state.

    version (int): Changes with each call of `accept`; unique in the process.
    """

    def __init__(self) -> None:
        self.version = next(_numbers)
        self._counts: list[tuple[int, int]] = []
        self._sampled: list[Tensor] = []
        self._values = b""

    def __reduce__(self) -> tuple[Any, ...]:
        return WeightWatch, ()

    def changed(self, tensors: list[Tensor]) -> bool:
        """RETURNS (bool): Whether the tensors differ from the tensors at the last `accept`."""
        return self._counts != _counts(tensors) or self._values != _values(self._sampled)

    def accept(self, tensors: list[Tensor]) -> None:
        """Record the current state of the tensors as a new version.

        tensors (List[Tensor]): Parameters and buffers, of any shape and dtype.
        """
        self.version = next(_numbers)
        self._counts = _counts(tensors)
        self._sampled = [_sample(tensor) for tensor in tensors if tensor.device.type == "cpu"]
        self._values = _values(self._sampled)


def _counts(tensors: list[Tensor]) -> list[tuple[int, int]]:
    return [
        (tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version) for tensor in tensors
    ]


def _sample(tensor: Tensor) -> Tensor:
    """RETURNS (Tensor): A view of up to `N_SAMPLED` values, evenly spaced in memory."""
    values = tensor.detach()
    size = values.untyped_storage().nbytes() // values.element_size() - values.storage_offset()
    n = min(N_SAMPLED, values.numel(), size)
    return values.as_strided((n,), (size // n if n else 1,))


def _values(sampled: list[Tensor]) -> bytes:
    with torch.no_grad():
        return torch.cat(sampled).float().numpy().tobytes() if sampled else b""
