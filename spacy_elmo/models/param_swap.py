"""What thinc's shim for torch modules lacks: parameters that are put in for a while, such as
averages, do reach the module. Knows thinc and torch, and nothing of what the module is."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from thinc.api import CupyOps, Ops, xp2torch


@contextmanager
def swapped_params(
    module: torch.nn.Module | None, shim_id: int, params: dict[Any, Any]
) -> Iterator[bool]:
    """Run a module with other parameters, and put its own back after that.

    module (Optional[Module]): The module; None where there is none yet.
    shim_id (int): Of its shim.
    params (Dict[Tuple[int, str], Array]): Under the keys of `finish_update`: id and name.
    YIELDS (bool): Whether any of them is the module's.
    """
    backup: dict[str, torch.Tensor] = {}
    named = {} if module is None else dict(module.named_parameters())
    for name, param in named.items():
        if (shim_id, name) in params:
            backup[name] = param.data
            param.data = xp2torch(params[(shim_id, name)], device=param.device)
    try:
        yield bool(backup)
    finally:
        for name, data in backup.items():
            named[name].data = data


def device_of(ops: Ops) -> torch.device:
    """RETURNS (torch.device): Where arrays of these ops are."""
    return torch.device(f"cuda:{ops.device_id}" if isinstance(ops, CupyOps) else "cpu")
