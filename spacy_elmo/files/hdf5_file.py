"""Writing HDF5 files without a crash when the disk is full.

The HDF5 library cannot close a file after a failed write, and the process crashes at exit. The
library therefore writes to a Python file object whose writes never fail. The first error is stored
and raised after the library has closed the file.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py


@contextmanager
def new_hdf5(path: Path) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """Create an HDF5 file, and close it when the block ends.

    path (Path): The file; an existing file is replaced.
    YIELDS (Tuple[h5py.File, Callable[[], None]]): The file, and a function that raises the stored
        error, if any. Long-running writers call it regularly to stop at the first error.
    RAISES (OSError): If a write has failed.
    """
    with _UnfailingFile(path) as raw:
        with h5py.File(raw, "w") as file:
            yield file, raw.check
        raw.check()


class _UnfailingFile(io.FileIO):
    """A file object whose writes never fail. It stores the first error and ignores later writes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self.error: BaseException | None = None

    def write(self, data: Any) -> int:
        done = 0
        try:
            while done < len(data) and self.error is None:
                done += super().write(data[done:]) or 0
        except BaseException as error:  # including KeyboardInterrupt: HDF5 would crash on it
            self.error = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size) if self.error is None else 0
        except BaseException as error:
            self.error = error
            return 0

    def check(self) -> None:
        if self.error is not None:
            raise self.error
