"""Reading and writing safetensors files with metadata, sealed by a digest.

The metadata contain the digest, which covers every byte of the file; see `digest`. Files without a
digest are read without the check.
"""

import json
import mmap
from collections.abc import Collection
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from .digest import BLANK, KEY, REMEDY, Buffer, check_seal, seal, write_seal

# raised by safetensors and torch for damaged files
DAMAGED = (safetensors.SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OSError)
LENGTH_BYTES = 8


def to_bytes(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """Return the bytes of a sealed safetensors file. The same arguments give the same bytes.

    tensors (Dict[str, Tensor]): Contiguous tensors on the CPU, by name.
    metadata (Dict[str, str]): Metadata for the header, without the key "digest".
    RETURNS (bytes): The content of the file.
    """
    data = bytearray(_sort_metadata(safetensors.torch.save(tensors, {**metadata, KEY: BLANK})))
    place, digest = seal(data, _header_end(data))
    data[place : place + len(digest)] = digest
    return bytes(data)


def write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a sealed safetensors file.

    path (Path): The file.
    tensors, metadata: As for `to_bytes`.
    """
    safetensors.torch.save_file(tensors, path, {**metadata, KEY: BLANK})
    with path.open("rb") as file:
        end = _header_end(file.read(LENGTH_BYTES))
    write_seal(path, end)


class TensorFile:
    """The tensors and metadata of a safetensors file. The values of a tensor are read from disk
    when they are used.

    content (Union[Path, bytes]): The file, or its bytes.
    source (str): Name of the file for error messages.
    known (Collection[str]): The metadata keys that the file may have.
    remedy (str): What the user can do, for error messages.
    RAISES (ValueError): If the file is not a safetensors file, is truncated, or has other metadata
        keys.
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
                with safetensors.safe_open(content, "pt") as file:
                    self.metadata = dict(file.metadata() or {})
                self.tensors = safetensors.torch.load_file(content)
            else:
                self.tensors = safetensors.torch.load(content)
                # safetensors reads the metadata of files only, not of bytes
                self.metadata = dict(_header(content).get("__metadata__") or {})
        except DAMAGED as error:
            raise ValueError(
                f"{source} is not a complete safetensors file: {error}. {remedy}"
            ) from error
        self._sealed = KEY in self.metadata
        others = sorted(self.metadata.keys() - {KEY, *known})
        if others:
            raise ValueError(
                f"{source} has the unknown key {others[0]!r} in its metadata; expected "
                f"{', '.join(known) or 'none'}. {remedy} If it was written by a newer version, "
                f"update spacy-elmo."
            )
        self.metadata.pop(KEY, None)

    def check(self) -> None:
        """Read the whole file, and compare it with its digest if it has one.

        RAISES (ValueError): If the file has changed since it was written.
        """
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
        check_seal(data, self.source, min(_header_end(data), len(data)), self.remedy)


def _header_end(data: Buffer) -> int:
    return LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "little")


def _header(data: bytes) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(data[LENGTH_BYTES : _header_end(data)])
    return header


def _sort_metadata(data: bytes) -> bytes:
    """Return a safetensors file with its metadata sorted by key. safetensors writes them in random
    order, and the same model must give the same bytes."""
    header = _header(data)
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf8")
    text += b" " * (-len(text) % LENGTH_BYTES)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text + data[_header_end(data) :]
