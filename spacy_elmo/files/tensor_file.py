"""Tensors and metadata in one safetensors file or its bytes, sealed by a digest.

The digest stands in the metadata and covers every byte of the file, see `digest`. Files and
bytes that were written without one are read without the check.
"""

import json
import mmap
from collections.abc import Collection
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from .digest import BLANK, KEY, REMEDY, Buffer, check_seal, seal, write_seal

# what the readers of safetensors and JSON raise
DAMAGED = (safetensors.SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OSError)
LENGTH_BYTES = 8


def to_bytes(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """RETURNS (bytes): A sealed safetensors file.

    tensors (Dict[str, Tensor]): Contiguous tensors on the CPU, by name.
    metadata (Dict[str, str]): Further content of its header.
    """
    data = bytearray(safetensors.torch.save(tensors, {**metadata, KEY: BLANK}))
    end = _header_end(data)
    data[LENGTH_BYTES:end] = _ordered(data[LENGTH_BYTES:end])
    place, digest = seal(data, end)
    data[place : place + len(digest)] = digest
    return bytes(data)


def write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a sealed safetensors file; arguments as for `to_bytes`."""
    safetensors.torch.save_file(tensors, path, {**metadata, KEY: BLANK})
    with path.open("rb+") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        header = file.read(length)
        file.seek(LENGTH_BYTES)
        file.write(_ordered(header))
    write_seal(path, LENGTH_BYTES + length)


class TensorFile:
    """The content of a safetensors file. Values of tensors are read when they are used.

    content (Union[Path, bytes]): The file, or its bytes.
    source (str): Its name for messages.
    known (Collection[str]): The keys that its metadata may have.
    remedy (str): The end of messages.
    RAISES (ValueError): If the header is damaged or has other keys.
    """

    metadata: dict[str, str]
    tensors: dict[str, Tensor]

    def __init__(
        self,
        content: Path | bytes,
        source: str,
        known: Collection[str],
        remedy: str = REMEDY,
    ) -> None:
        self.source, self.remedy = source, remedy
        self._content = content
        try:
            if isinstance(content, Path):
                with content.open("rb") as file:
                    start = file.read(LENGTH_BYTES)
                    header = file.read(_header_length(start, content.stat().st_size))
                self.tensors = safetensors.torch.load_file(content)
            else:
                header = content[LENGTH_BYTES:][: _header_length(content, len(content))]
                self.tensors = safetensors.torch.load(content)
            self.metadata = dict(json.loads(header).get("__metadata__") or {})
        except (*DAMAGED, RecursionError) as error:
            raise ValueError(
                f"{source} is not a whole safetensors file: {error}. {remedy}"
            ) from error
        self._sealed = KEY in self.metadata
        others = sorted(self.metadata.keys() - {KEY, *known})
        if others:
            raise ValueError(
                f"{source} has the key {others[0]!r} in its header, which this release does not "
                f"know. {remedy} If it was written by a newer version, update spacy-elmo."
            )
        self.metadata.pop(KEY, None)

    def check(self) -> None:
        """Raise a ValueError unless the file is as it was written; nothing happens if it was
        written without a digest. Reads the whole file."""
        if not self._sealed:
            return
        if isinstance(self._content, bytes):
            self._check(self._content)
            return
        with (
            self._content.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            self._check(data)

    def _check(self, data: Buffer) -> None:
        check_seal(data, self.source, _header_end(data), self.remedy)


def _ordered(header: bytes | bytearray) -> bytes:
    """A header of the same length with its metadata in order, which is random in what
    safetensors writes: the same content gives the same bytes."""
    values = json.loads(header)
    values["__metadata__"] = dict(sorted(values["__metadata__"].items()))
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode("utf8")
    assert len(text) <= len(header)
    return text.ljust(len(header))


def _header_length(data: Buffer, size: int) -> int:
    length = int.from_bytes(data[:LENGTH_BYTES], "little")
    if size < LENGTH_BYTES or length > size - LENGTH_BYTES:
        raise ValueError(f"its header should have {length:,} bytes, but the file ends before")
    return length


def _header_end(data: Buffer) -> int:
    return LENGTH_BYTES + _header_length(data, len(data))
