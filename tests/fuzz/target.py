"""A readable format: how its files are written, and how they are read and used."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

# names of what was read, and a digest of each
Result = dict[str, str]


@dataclass(frozen=True)
class Target:
    """A format.

    name (str): Its name.
    make (Callable[[Path], None]): Writes undamaged files to a folder.
    read (Callable[[Path], Result]): Reads and uses the files.
    files (Tuple[str, ...]): Which of the files are damaged.
    has_digest (bool): Whether damage that is not refused must change nothing.
    foreign (Tuple[Type[Exception], ...]): What is raised by the reader of another library,
        besides the documented errors.
    share (int): How many of the mutations it gets, relative to the others.
    """

    name: str
    make: Callable[[Path], None]
    read: Callable[[Path], Result]
    files: tuple[str, ...] = ("**/*",)
    has_digest: bool = False
    foreign: tuple[type[Exception], ...] = ()
    share: int = 2


def digest(*values: Any) -> str:
    """RETURNS (str): A digest of texts, bytes, arrays and tensors, types and shapes included."""
    found = hashlib.blake2b(digest_size=12)
    for value in values:
        array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
        if isinstance(array, np.ndarray):
            found.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
        elif isinstance(array, bytes):
            found.update(array)
        else:
            found.update(repr(array).encode())
    return found.hexdigest()


def digest_of_module(module: torch.nn.Module) -> str:
    return digest(*(x for pair in sorted(module.state_dict().items()) for x in pair))
