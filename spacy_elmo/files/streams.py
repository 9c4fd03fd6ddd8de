"""Reading the bytes of a file, decompressed if its name ends in .gz or .zst.

The bytes that are read can be counted, for a progress bar, and digested.
"""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from .chunks import CHUNK_BYTES
from .expansion import check_expansion

GZIP, ZSTANDARD = ".gz", ".zst"
COMPRESSED = (GZIP, ZSTANDARD)

# how many bytes to decompress at once; Zstandard can expand them by a factor of 32,768
COMPRESSED_BYTES = 1 << 12

Progress = Callable[[int], Any]
"""Called with the number of bytes that have been read since the last call."""


class Digest(Protocol):
    """A digest of `hashlib`."""

    def update(self, data: Any, /) -> None: ...


@contextmanager
def open_bytes(
    path: Path, progress: Progress | None = None, digest: Digest | None = None
) -> Iterator[BinaryIO]:
    """Open a file for reading forward.

    path (Path): The file.
    progress (Optional[Callable[[int], Any]]): Called with the number of bytes read, counted
        before decompression.
    digest (Optional[Digest]): Updated with the same bytes.
    YIELDS (BinaryIO): The decompressed content.
    RAISES (ValueError): If the content cannot be decompressed, or expands far more than text does.
    RAISES (ImportError): If the file ends in .zst and the package 'zstandard' is not installed.
    """
    suffix = path.suffix.lower()
    with _Counted(path, progress, digest) as counted:
        raw = io.BufferedReader(counted, 1 << 16)
        try:
            if suffix == GZIP:
                unzipped = gzip.GzipFile(fileobj=raw, mode="rb")
                yield io.BufferedReader(_Bounded(unzipped, counted, path), CHUNK_BYTES)
            elif suffix == ZSTANDARD:
                frames = _Zstandard(raw, path)
                yield io.BufferedReader(_Bounded(frames, counted, path), CHUNK_BYTES)
            else:
                yield raw
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"{path} cannot be decompressed: {_damage(error)}") from error


def _damage(error: Exception) -> str:
    return f"{str(error).rstrip('.')}. The file is damaged or truncated; fetch or write it again."


class _Counted(io.FileIO):
    """A file that reports and digests the bytes that are read from it."""

    def __init__(self, path: Path, progress: Progress | None, digest: Digest | None) -> None:
        super().__init__(path)
        self._progress, self._digest = progress, digest

    def readall(self) -> bytes:
        data = super().readall()
        self._report(data)
        return data

    def readinto(self, buffer: Any) -> int:
        n_read = super().readinto(buffer) or 0
        self._report(memoryview(buffer)[:n_read])
        return n_read

    def _report(self, data: Any) -> None:
        if self._progress is not None:
            self._progress(len(data))
        if self._digest is not None:
            self._digest.update(data)


class _Bounded(io.RawIOBase):
    """Decompressed bytes. Reading fails if the data expands too far; see `check_expansion`."""

    def __init__(self, stream: Any, compressed: io.FileIO, path: Path) -> None:
        self._stream, self._compressed, self._path = stream, compressed, path
        self._n_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n_read: int = self._stream.readinto(buffer)
        self._n_bytes += n_read
        check_expansion(self._n_bytes, self._compressed.tell(), str(self._path))
        return n_read


class _Zstandard(io.RawIOBase):
    """Decompressed bytes of all frames of a Zstandard file. The reader in `zstandard` stops after
    the first frame, and does not report a truncated file."""

    def __init__(self, raw: BinaryIO, path: Path) -> None:
        try:
            import zstandard
        except ImportError as error:
            raise ImportError(
                f"{path} is compressed with Zstandard, which needs the package 'zstandard'. "
                f"Install it (pip install zstandard), or compress the file with gzip."
            ) from error
        self._errors = zstandard.ZstdError
        # the largest window that the command line tool writes
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 31)
        self._raw, self._path = raw, path
        self._frame: Any = None
        self._ready = memoryview(b"")
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            data = self._rest or self._raw.read(COMPRESSED_BYTES)
            self._rest = b""
            if not data:
                if self._frame is not None:
                    raise self._damaged(EOFError("it ends within a frame"))
                return 0
            self._ready = memoryview(self._decompress(data))
        n_read = min(len(buffer), len(self._ready))
        buffer[:n_read] = self._ready[:n_read]
        self._ready = self._ready[n_read:]
        return n_read

    def _decompress(self, data: bytes) -> bytes:
        try:
            if self._frame is None:
                self._frame = self._decompressor.decompressobj()
            found: bytes = self._frame.decompress(data)
        except self._errors as error:
            raise self._damaged(error) from error
        if self._frame.eof:
            self._rest, self._frame = self._frame.unused_data, None
        return found

    def _damaged(self, error: Exception) -> ValueError:
        return ValueError(f"{self._path} cannot be decompressed: {_damage(error)}")
