"""Finding and reading the datasets of an HDF5 file, with limits against hostile files.

A hostile file can contain millions of groups, groups inside themselves, links to other files, and
arrays of any declared size in a few bytes. A weight file contains a few dozen arrays at a small
depth, with the sizes that its options give.
"""

from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from ..files.expansion import check_expansion

# raised by h5py for damaged files
DAMAGED = (OSError, RuntimeError, KeyError, TypeError, AttributeError, UnicodeDecodeError)
MAX_OBJECTS, MAX_DEPTH = 10_000, 8


class Datasets:
    """The datasets of a file by name. Each is checked before it is read.

    file (h5py.File): The open file.
    path (Path): Path of the file for error messages.
    RAISES (ValueError): If the file has more than `MAX_OBJECTS` groups and datasets, or groups more
        than `MAX_DEPTH` deep.
    """

    def __init__(self, file: h5py.File, path: Path) -> None:
        self.path = path
        self._datasets = _find_datasets(file, path)
        self._read: set[str] = set()
        self._size = self._stored = 0

    @property
    def names(self) -> list[str]:
        return list(self._datasets)

    @property
    def unread(self) -> list[str]:
        """RETURNS (List[str]): Names of the datasets that `get` has not returned."""
        return [name for name in self._datasets if name not in self._read]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a dataset, or an empty tuple if no dataset has this name."""
        return tuple(self._datasets[name].shape or ()) if name in self._datasets else ()

    def get(self, names: tuple[str, ...], *shape: int) -> Tensor:
        """Read a dataset.

        names (Tuple[str, ...]): Alternative names; the first that exists is read.
        shape (int): The expected shape.
        RETURNS (Tensor): The values, float32.
        RAISES (ValueError): If there is no such dataset, if it has another shape or type, is stored
            in other files, or expands too far.
        """
        name = next((name for name in names if name in self._datasets), None)
        if name is None:
            raise ValueError(
                f"{self.path} has no dataset {names[0]}. It is damaged or not a biLM, or the "
                f"options belong to another model."
            )
        dataset = self._datasets[name]
        if dataset.shape != shape:
            raise ValueError(
                f"{self.path}: {name} has shape {list(dataset.shape or ())}; the options require "
                f"{list(shape)}. The options belong to another model."
            )
        if dataset.dtype.kind != "f":
            raise ValueError(
                f"{self.path}: {name} holds values of type {dataset.dtype}; expected floating "
                f"point numbers. The file is damaged or not a biLM."
            )
        if dataset.is_virtual or dataset.external:
            raise ValueError(
                f"{self.path}: {name} refers to values in other files, which are not read; "
                f"expected values in this file. Copy the datasets to a new file."
            )
        self._size += dataset.size * dataset.dtype.itemsize
        self._stored += dataset.id.get_storage_size()
        check_expansion(self._size, self._stored, str(self.path))
        self._read.add(name)
        return torch.from_numpy(np.ascontiguousarray(dataset[...], dtype=np.float32))


def _find_datasets(file: h5py.File, path: Path) -> dict[str, h5py.Dataset]:
    """Return the datasets in all groups of a file by name. Links are not followed."""
    found: dict[str, h5py.Dataset] = {}
    groups: list[tuple[str, h5py.Group]] = [("", file)]
    n_objects = 0
    while groups:
        prefix, group = groups.pop()
        n_objects += len(group)
        if n_objects > MAX_OBJECTS or prefix.count("/") > MAX_DEPTH:
            raise ValueError(
                f"{path} has more than {MAX_OBJECTS:,} groups and datasets, or groups nested more "
                f"than {MAX_DEPTH} deep. It is damaged or not a biLM."
            )
        for name in group:
            if isinstance(group.get(name, getlink=True), h5py.HardLink):
                item = group[name]
                if isinstance(item, h5py.Dataset):
                    found[prefix + name] = item
                elif isinstance(item, h5py.Group):
                    groups.append((f"{prefix}{name}/", item))
    return found
