"""The datasets of an HDF5 file, found and read within bounds.

A file from elsewhere can hold millions of groups, groups within themselves, links to other
files, and arrays of any declared size in a few bytes. A weight file has some dozen arrays, not
deep, which are as large as its options say.
"""

from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from ..files.expansion import check_expansion

# what h5py raises for a file that is not whole
DAMAGED = (OSError, RuntimeError, KeyError, TypeError, AttributeError, UnicodeDecodeError)
MAX_OBJECTS, MAX_DEPTH = 10_000, 8


class Datasets:
    """The datasets of a file by name, with a check of each that is read.

    file (h5py.File): The open file.
    path (Path): Its name for messages.
    RAISES (ValueError): If the file has more, or more deeply nested, groups than a biLM.
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
        """RETURNS (List[str]): Names of datasets that `get` has not been asked for."""
        return [name for name in self._datasets if name not in self._read]

    def shape(self, name: str) -> tuple[int, ...]:
        """RETURNS (Tuple[int, ...]): The shape of a dataset; empty if there is none."""
        return tuple(self._datasets[name].shape or ()) if name in self._datasets else ()

    def get(self, names: tuple[str, ...], *shape: int) -> Tensor:
        """Return the first dataset of these names, float32.

        RAISES (ValueError): If there is none, or if it has another shape or type.
        """
        name = next((name for name in names if name in self._datasets), None)
        if name is None:
            raise ValueError(
                f"{self.path} has no dataset {names[0]}. It is damaged, not a biLM, or the "
                f"options belong to another model."
            )
        dataset = self._datasets[name]
        if dataset.shape != shape:
            raise ValueError(
                f"{self.path}: {name} has shape {list(dataset.shape or ())}, but by the options it "
                f"must be {list(shape)}. The options belong to another model."
            )
        if dataset.dtype.kind != "f":
            raise ValueError(
                f"{self.path}: {name} holds values of type {dataset.dtype}; expected floating "
                f"point numbers. The file is damaged or holds something else."
            )
        if dataset.is_virtual or dataset.external:
            raise ValueError(
                f"{self.path}: {name} has its values in other files; expected them in this one. "
                f"Such a file is not read."
            )
        self._size += dataset.size * dataset.dtype.itemsize
        self._stored += dataset.id.get_storage_size()
        check_expansion(self._size, self._stored, str(self.path))
        self._read.add(name)
        return torch.from_numpy(np.ascontiguousarray(dataset[...], dtype=np.float32))


def _find_datasets(file: h5py.File, path: Path) -> dict[str, h5py.Dataset]:
    """Walk over the groups of a file. Links to other places or files are not followed."""
    found: dict[str, h5py.Dataset] = {}
    groups: list[tuple[str, h5py.Group]] = [("", file)]
    n_objects = 0
    while groups:
        prefix, group = groups.pop()
        n_objects += len(group)
        if n_objects > MAX_OBJECTS or prefix.count("/") > MAX_DEPTH:
            raise ValueError(
                f"{path} has more than {MAX_OBJECTS:,} groups and datasets, or groups in groups "
                f"more than {MAX_DEPTH} deep. It is damaged or not a biLM."
            )
        for name in group:
            if isinstance(group.get(name, getlink=True), h5py.HardLink):
                item = group[name]
                if isinstance(item, h5py.Dataset):
                    found[prefix + name] = item
                elif isinstance(item, h5py.Group):
                    groups.append((f"{prefix}{name}/", item))
    return found
