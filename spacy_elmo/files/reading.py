"""Reading text files in chunks, and checking and digesting whole files before they are used."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from .chunks import CHUNK_BYTES, read_chunks
from .decoding import decode_text, normalize_line_ends
from .streams import open_bytes

SCAN_BYTES = 1 << 20
DIGEST_BYTES = 16


def read_text(
    stream: BinaryIO, path: Path, *, lines: bool, offset: int = 0, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[tuple[bytes, str]]:
    r"""Read the rest of a text file in chunks; see `read_chunks`.

    stream (BinaryIO): The open file.
    path (Path): The file, for error messages.
    lines, chunk_bytes: As for `read_chunks`.
    offset (int): The current position of the stream.
    YIELDS (Tuple[bytes, str]): The bytes of each chunk, and its text with "\n" for all kinds of
        line ends.
    RAISES (ValueError): If the file is not UTF-8 text; see `decode_text`.
    """
    for data in read_chunks(stream, lines=lines, chunk_bytes=chunk_bytes):
        yield data, normalize_line_ends(decode_text(data, path, offset))
        offset += len(data)


class Scan(NamedTuple):
    """Size and digests of a decompressed file.

    size (int): Size in bytes.
    digest (str): Digest of all bytes.
    rest (str): Digest of the bytes from the `start` of the scan on.
    """

    size: int
    digest: str
    rest: str


def scan_file(path: Path, *, is_text: bool, start: int = 0) -> Scan:
    """Read a file once, from its start to its end.

    path (Path): The file.
    is_text (bool): Whether to check that the file is UTF-8 text.
    start (int): Position, in bytes, from which the digest `rest` is computed.
    RETURNS (Scan): Size and digests.
    RAISES (ValueError): If the file should be text and is not, or cannot be decompressed.
    """
    whole, rest, size = new_digest(), new_digest(), 0
    with open_bytes(path) as stream:
        for data in _checked_bytes(stream, path, is_text):
            whole.update(data)
            rest.update(data[max(0, start - size) :])
            size += len(data)
    return Scan(size, whole.hexdigest(), rest.hexdigest())


def new_digest() -> "hashlib.blake2b":
    """Return an empty digest of the kind that `scan_file` computes."""
    return hashlib.blake2b(digest_size=DIGEST_BYTES)


def _checked_bytes(stream: BinaryIO, path: Path, is_text: bool) -> Iterator[bytes]:
    rest, offset = b"", 0
    while data := stream.read(SCAN_BYTES):
        yield data
        if is_text:
            data = rest + data
            end = _last_character_end(data)
            decode_text(data[:end], path, offset)
            rest, offset = data[end:], offset + end
    if rest:
        decode_text(rest, path, offset)


def _last_character_end(data: bytes) -> int:
    """Return the end of the last complete character."""
    for start in range(len(data) - 1, max(len(data) - 4, -1), -1):
        if data[start] & 0xC0 != 0x80:  # the first byte of a character
            return start if data[start] >= 0xC0 else len(data)
    return len(data)
