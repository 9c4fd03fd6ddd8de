"""HDF5 files that can be written to a full disk without a crash.

The HDF5 library cannot close a file after a write to it has failed: the process crashes when it
ends. So the library writes to a Python file that never fails. The first error is kept and raised
once the library is done with the file.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py


@contextmanager
def new_hdf5(path: Path) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """Write an HDF5 file.

    path (Path): The file.
    YIELDS (Tuple[h5py.File, Callable[[], None]]): The file, and a function that raises the error
        of a write that has failed. It is called at the end as well.
    RAISES (OSError): If the file cannot be written.
    """
    with _UnfailingFile(path) as raw:
        with h5py.File(raw, "w") as file:
            yield file, raw.check
        raw.check()


class _UnfailingFile(io.FileIO):
    """A file that takes all that is written to it. After an error nothing more is written."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self.error: BaseException | None = None

    def write(self, data: Any) -> int:
        done = 0
        try:
            while done < len(data) and self.error is None:
                done += super().write(data[done:]) or 0
        except BaseException as error:  # an interrupt as well: HDF5 would fail on it
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
