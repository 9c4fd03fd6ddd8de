"""The description of a readable format: how its files are written, read and used."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

# a digest of each object that was read, by name
Result = dict[str, str]


@dataclass(frozen=True)
class Target:
    """A format.

    name (str): Its name.
    make (Callable[[Path], None]): Writes undamaged files to a folder.
    read (Callable[[Path], Result]): Reads and uses the files.
    files (Tuple[str, ...]): Patterns of the files that are damaged.
    has_digest (bool): Whether the format has a digest, so that damage must either raise an error or
        have no effect.
    foreign (Tuple[Type[Exception], ...]): Errors of other libraries that are accepted in addition
        to the documented errors.
    weight (int): Number of mutations relative to other formats.
    """

    name: str
    make: Callable[[Path], None]
    read: Callable[[Path], Result]
    files: tuple[str, ...] = ("**/*",)
    has_digest: bool = False
    foreign: tuple[type[Exception], ...] = ()
    weight: int = 2


def digest(*values: Any) -> str:
    """RETURNS (str): A digest of texts, bytes, arrays and tensors with their dtypes and shapes."""
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
