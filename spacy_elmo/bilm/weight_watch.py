"""Notice that the weights of a module have changed, whoever changed them.

torch counts in-place changes of a tensor, and a tensor that is replaced has another address.
Changes past autograd (`param.data.mul_(2)`) are counted nowhere: on a CPU they are noticed by a
few values of each tensor, which takes some 10 microseconds. On a GPU that would wait for the work
in progress, so only the counts are compared there.
"""

from itertools import count

import torch
from torch import Tensor

N_SAMPLED = 16

_numbers = count(1)


class WeightWatch:
    """The state of some tensors when they were last looked at. Copies know of none.

    version (int): Another number after each change, unique in the process.
    """

    def __init__(self) -> None:
        self.version = next(_numbers)
        self._counts: list[tuple[int, int]] = []
        self._sampled: list[Tensor] = []
        self._values = b""

    def __reduce__(self):  # type: ignore[no-untyped-def]
        return WeightWatch, ()

    def changed(self, tensors: list[Tensor]) -> bool:
        """RETURNS (bool): Whether the tensors differ from those of the last `accept`."""
        return self._counts != _counts(tensors) or self._values != _values(self._sampled)

    def accept(self, tensors: list[Tensor]) -> None:
        """Take a new version: the state that the tensors are in now.

        tensors (List[Tensor]): Parameters and buffers, each of any shape and type.
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
    """RETURNS (Tensor): A view of up to `N_SAMPLED` values, evenly over the memory."""
    values = tensor.detach()
    size = values.untyped_storage().nbytes() // values.element_size() - values.storage_offset()
    n = min(N_SAMPLED, values.numel(), size)
    return values.as_strided((n,), (size // n if n else 1,))


def _values(sampled: list[Tensor]) -> bytes:
    with torch.no_grad():
        return torch.cat(sampled).float().numpy().tobytes() if sampled else b""
