"""Settings of a forward pass of the biLM: start state and precision."""

from collections.abc import Sequence

import torch

from ..lstm.int8 import warn_of_slow_int8
from ..lstm.matmul import warn_of_slow_bfloat16

WARM, ZERO = "warm", "zero"
START_STATES = (WARM, ZERO)
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "int8": torch.int8}


def check_start_state(start_state: str, known: Sequence[str] = START_STATES) -> None:
    """Check the state that the LSTMs start from.

    start_state (str): The setting.
    known (Sequence[str]): The values that are allowed.
    RAISES (ValueError): If the value is not allowed.
    """
    _check("start_state", start_state, known)


def check_precision(precision: str) -> None:
    """Check the precision of the matrix products.

    precision (str): The setting.
    RAISES (ValueError): If it is none of `PRECISIONS`.
    """
    _check("precision", precision, tuple(PRECISIONS))


def matmul_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """Return the dtype of the LSTMs' matrix products, and warn if it is slow on the device.

    precision (str): One of `PRECISIONS`.
    device (torch.device): Device of the biLM.
    RETURNS (Optional[torch.dtype]): The dtype; None for the dtype of the weights.
    RAISES (ValueError): If the precision is unknown, or int8 on a GPU.
    """
    check_precision(precision)
    dtype = PRECISIONS[precision]
    if dtype == torch.bfloat16:
        warn_of_slow_bfloat16(device.type)
    if dtype == torch.int8:
        if device.type != "cpu":
            raise ValueError(
                f"The precision is int8, which runs on a CPU only, but the biLM is on {device}. "
                f"Set precision to bfloat16."
            )
        warn_of_slow_int8()
    return dtype


def _check(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(known)}.")
