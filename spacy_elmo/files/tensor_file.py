"""Reading and writing safetensors files with metadata, sealed by a digest.

The metadata contain the digest, which covers every byte of the file; see `digest`. Files without a
digest are read without the check.
"""

import json
import mmap
from collections.abc import Collection
from pathlib import Path

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
    data = bytearray(safetensors.torch.save(tensors, {**metadata, KEY: BLANK}))
    end = _header_end(data)
    data[LENGTH_BYTES:end] = _sort_metadata(data[LENGTH_BYTES:end])
    place, digest = seal(data, end)
    data[place : place + len(digest)] = digest
    return bytes(data)


def write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a sealed safetensors file.

    path (Path): The file.
    tensors, metadata: As for `to_bytes`.
    """
    safetensors.torch.save_file(tensors, path, {**metadata, KEY: BLANK})
    with path.open("rb+") as file:
        end = _header_end(file.read(LENGTH_BYTES))
        header = file.read(end - LENGTH_BYTES)
        file.seek(LENGTH_BYTES)
        file.write(_sort_metadata(header))
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
                # safetensors only reads the metadata of files, not of bytes
                header = json.loads(content[LENGTH_BYTES : _header_end(content)])
                self.metadata = dict(header.get("__metadata__") or {})
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


def _sort_metadata(header: bytes | bytearray) -> bytes:
    """Return a header of the same length with its metadata sorted by key. safetensors writes them
    in random order, and the same content must give the same bytes."""
    values = json.loads(header)
    values["__metadata__"] = dict(sorted(values["__metadata__"].items()))
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode("utf8")
    assert len(text) <= len(header)
    return text.ljust(len(header))
