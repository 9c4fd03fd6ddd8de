"""The bytes of a file, decompressed where its name says so.

Damage is an error in a sentence. What has been read can be counted and digested on the way.
"""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from .decoding import PIECE_BYTES
from .expansion import check_expansion

GZIP, ZSTANDARD = ".gz", ".zst"
COMPRESSED = (GZIP, ZSTANDARD)

# decompressed at once, which can become 32,768 times as many
COMPRESSED_BYTES = 1 << 12

Progress = Callable[[int], Any]
"""Told how many bytes of a file have been read since it was last told."""


class Digest(Protocol):
    """What `hashlib` returns."""

    def update(self, data: Any, /) -> None: ...


@contextmanager
def open_bytes(
    path: Path, progress: Progress | None = None, digest: Digest | None = None
) -> Iterator[BinaryIO]:
    """Read a file forward.

    path (Path): The file.
    progress (Optional[Callable[[int], Any]]): Told of the bytes read, before they are
        decompressed.
    digest (Optional[Digest]): Updated with the same bytes.
    YIELDS (BinaryIO): What it holds, decompressed.
    RAISES (ValueError): If it cannot be decompressed.
    """
    suffix = path.suffix.lower()
    with _Counted(path, progress, digest) as counted:
        raw = io.BufferedReader(counted, 1 << 16)
        try:
            if suffix == GZIP:
                unzipped = gzip.GzipFile(fileobj=raw, mode="rb")
                yield io.BufferedReader(_Bounded(unzipped, counted, path), PIECE_BYTES)
            elif suffix == ZSTANDARD:
                frames = _Zstandard(raw, path)
                yield io.BufferedReader(_Bounded(frames, counted, path), PIECE_BYTES)
            else:
                yield raw
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"{path} cannot be decompressed: {_damage(error)}") from error


def _damage(error: Exception) -> str:
    return f"{str(error).rstrip('.')}. The file is damaged or cut off; fetch or write it again."


class _Counted(io.FileIO):
    """A file that tells what is read of it."""

    def __init__(self, path: Path, progress: Progress | None, digest: Digest | None) -> None:
        super().__init__(path)
        self._progress, self._digest = progress, digest

    def readall(self) -> bytes:
        data = super().readall()
        self._tell(data)
        return data

    def readinto(self, buffer: Any) -> int:
        n_read = super().readinto(buffer) or 0
        self._tell(memoryview(buffer)[:n_read])
        return n_read

    def _tell(self, data: Any) -> None:
        if self._progress is not None:
            self._progress(len(data))
        if self._digest is not None:
            self._digest.update(data)


class _Bounded(io.RawIOBase):
    """Decompressed bytes, which end in an error if there are far too many of them."""

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
    """Frame after frame; zstandard's own reader stops at the first, and ends without a
    word where a file has been cut off."""

    def __init__(self, raw: BinaryIO, path: Path) -> None:
        try:
            import zstandard
        except ImportError as error:
            raise ImportError(
                f"{path} is compressed with Zstandard, which needs the package 'zstandard'. "
                f"Install it (pip install zstandard), or compress the file with gzip."
            ) from error
        self._errors = zstandard.ZstdError
        # any window that the command line tool can write
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
            found = self._frame.decompress(data)
        except self._errors as error:
            raise self._damaged(error) from error
        if self._frame.eof:
            self._rest, self._frame = self._frame.unused_data, None
        return found

    def _damaged(self, error: Exception) -> ValueError:
        return ValueError(f"{self._path} cannot be decompressed: {_damage(error)}")
