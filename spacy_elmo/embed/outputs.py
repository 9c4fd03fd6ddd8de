"""Writing the output files of `embed` from its shards.

The file of vectors has one array per dataset, named by its number, as bilm-tf writes them. Line k
of the file of tokens contains the tokens of dataset k. The same shards give the same bytes.
"""

import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
from h5py import h5d, h5p, h5s, h5t

from ..files.atomic import move_file, named_write_errors
from ..files.hdf5_file import new_hdf5
from .shard import TOKENS
from .shards import Shards

HDF5, NPZ = ".hdf5", ".npz"
Put = Callable[[str, np.ndarray], None]


def tokens_path(output: Path) -> Path:
    """Return the path of the file of tokens that belongs to a file of vectors.

    output (Path): The file of vectors.
    RETURNS (Path): The file of tokens.
    """
    return output.with_name(f"{output.name}.tokens.txt")


def write_outputs(
    shards: Shards,
    output: Path,
    *,
    n_layers: int,
    width: int,
    drop_layer_axis: bool,
    report: Callable[[int], None],
) -> None:
    """Write the vectors and the tokens. Both are first written to the folder of the shards, so
    that a killed run leaves no files elsewhere.

    shards (Shards): The shards, all finished.
    output (Path): The file of vectors, .hdf5 or .npz.
    n_layers (int): Layers in each dataset.
    width (int): Width of the layers.
    drop_layer_axis (bool): Whether datasets are [n_tokens, width].
    report (Callable[[int], None]): Called with the number of tokens written since the last call.
    RAISES (ValueError): If a shard has changed since it was written.
    RAISES (OSError): If the output cannot be written.
    """
    lines, vectors = shards.folder / "tokens.tmp", shards.folder / "output.tmp"
    with named_write_errors(lines), lines.open("wb") as target:
        for shard in shards.finished:
            with (shard.folder / TOKENS).open("rb") as source:
                shutil.copyfileobj(source, target)
    number = 0
    with named_write_errors(vectors), WRITERS[output.suffix.lower()](vectors) as put:
        for shard in shards.finished:
            for array in shard.datasets(n_layers, width, drop_layer_axis):
                put(str(number), array)
                number += 1
                report(array.shape[-2])
    for source_path, path in ((lines, tokens_path(output)), (vectors, output)):
        move_file(source_path, path)


@contextmanager
def open_hdf5(path: Path) -> Iterator[Put]:
    """Create an HDF5 file. h5py's low-level API takes half the time of `create_dataset`.

    path (Path): The file.
    YIELDS (Callable[[str, ndarray], None]): A function that writes an array as a dataset of the
        root group.
    """
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_obj_track_times(False)
    with new_hdf5(path) as (file, check):

        def put(name: str, array: np.ndarray) -> None:
            space = h5s.create_simple(array.shape)
            dataset = h5d.create(file.id, name.encode(), h5t.IEEE_F32LE, space, properties)
            if array.size:
                dataset.write(h5s.ALL, h5s.ALL, array)
            check()

        yield put


@contextmanager
def open_npz(path: Path) -> Iterator[Put]:
    """Create an npz archive.

    path (Path): The file.
    YIELDS (Callable[[str, ndarray], None]): A function that writes an array as a member.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:

        def put(name: str, array: np.ndarray) -> None:
            # a fixed date, so that the same vectors give the same bytes
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            with archive.open(info, "w", force_zip64=array.nbytes > 2**30) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)

        yield put


WRITERS: dict[str, Callable[[Path], AbstractContextManager[Put]]] = {HDF5: open_hdf5, NPZ: open_npz}
