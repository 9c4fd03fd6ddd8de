"""Bytes of files as text: UTF-8 or an error that names the place.

Other encodings and binary files are recognized by bytes that UTF-8 does not have and by control
characters that text does not have. Nothing is replaced.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from .decoding import BOM, PIECE_BYTES, normalize_line_ends, read_pieces
from .streams import open_bytes

# all but tabs, line and page breaks, the end mark of DOS (0x1a) and separators of information
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x19\x1b\x7f]")
CONTROL_BYTES = bytes(byte for byte in range(128) if CONTROL.match(bytes([byte])))
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# formats of documents that may be ASCII throughout
DOCUMENTS = {b"%PDF-": "PDF", b"{\\rtf": "RTF", b"%!PS": "PostScript"}
SCAN_BYTES = 1 << 20
DIGEST_BYTES = 16


def decode_text(data: bytes, path: Path, offset: int) -> str:
    """Decode bytes of a text file.

    data (bytes): Whole characters.
    path (Path): The file, for messages.
    offset (int): Where the bytes start in the decompressed file. At 0 a byte order mark is left
        out.
    RETURNS (str): The text; its line ends are as in the file.
    RAISES (ValueError): If this is not UTF-8 text. The message has the line and the offset.
    """
    if not offset:
        _check_start(data, path)
    # the removal of some bytes is many times as fast as a search for them
    has_control = len(data.translate(None, CONTROL_BYTES)) < len(data)
    control = CONTROL.search(data) if has_control else None
    try:
        text = data.decode("utf8")
    except UnicodeDecodeError as error:
        if control is None or error.start < control.start():
            raise _unreadable(path, offset, data, error.start) from error
    if control is not None:
        raise _unreadable(path, offset, data, control.start())
    return text if offset else text.removeprefix("\ufeff")


def read_text(
    stream: BinaryIO, path: Path, *, lines: bool, offset: int = 0, piece_bytes: int = PIECE_BYTES
) -> Iterator[tuple[bytes, str]]:
    """Read the rest of a text file in pieces; see `read_pieces`.

    stream (BinaryIO): Where to read.
    path (Path): The file, for messages.
    lines, piece_bytes: As for `read_pieces`.
    offset (int): Where the stream is.
    YIELDS (Tuple[bytes, str]): Each piece, and its text with "\\n" for all kinds of line ends.
    RAISES (ValueError): If the file is not UTF-8 text.
    """
    for data in read_pieces(stream, lines=lines, piece_bytes=piece_bytes):
        yield data, normalize_line_ends(decode_text(data, path, offset))
        offset += len(data)


class Scan(NamedTuple):
    """What a file holds.

    size (int): Bytes, decompressed.
    digest (str): Of all of them.
    rest (str): Digest of the bytes from a place on.
    """

    size: int
    digest: str
    rest: str


def scan_file(path: Path, *, is_text: bool, start: int = 0) -> Scan:
    """Read a file once to the end.

    path (Path): The file.
    is_text (bool): Whether it must be UTF-8 text.
    start (int): Where the digest of the rest begins.
    RETURNS (Scan): What it holds.
    RAISES (ValueError): If it should be text and is not, or cannot be decompressed.
    """
    whole, rest, size = new_digest(), new_digest(), 0
    with open_bytes(path) as stream:
        for data in _chunks(stream, path, is_text):
            whole.update(data)
            rest.update(data[max(0, start - size) :])
            size += len(data)
    return Scan(size, whole.hexdigest(), rest.hexdigest())


def new_digest() -> "hashlib.blake2b":
    """RETURNS (blake2b): An empty digest of the kind that `scan_file` returns."""
    return hashlib.blake2b(digest_size=DIGEST_BYTES)


def _chunks(stream: BinaryIO, path: Path, is_text: bool) -> Iterator[bytes]:
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
    """RETURNS (int): Where the last character ends that is not cut off."""
    for start in range(len(data) - 1, max(len(data) - 4, -1), -1):
        if data[start] & 0xC0 != 0x80:  # the first byte of a character
            return start if data[start] >= 0xC0 else len(data)
    return len(data)


def _check_start(data: bytes, path: Path) -> None:
    if data.startswith(UTF16_MARKS):
        raise ValueError(
            f"{path}, line 1: the file begins with the mark of UTF-16 (offset 0), so it is not "
            f"UTF-8. Convert it, for example with 'iconv -f utf-16 -t utf8'."
        )
    start = data.removeprefix(BOM).lstrip()
    for mark, name in DOCUMENTS.items():
        if start.startswith(mark):
            raise ValueError(
                f"{path} is a {name} file (it begins with {mark.decode()!r}); expected UTF-8 text. "
                f"Extract its text first."
            )


def _unreadable(path: Path, offset: int, data: bytes, index: int) -> ValueError:
    byte, place = data[index], offset + index
    where = f"{path}, line {_line_at(path, place)}"
    if byte >= 0x80:
        return ValueError(
            f"{where}: the byte 0x{byte:02x} is not UTF-8 (offset {place}). Convert the file, for "
            f"example with 'iconv -f latin1 -t utf8'; compressed files must end in .gz or .zst."
        )
    looks = "it may be UTF-16 without a mark, or binary" if not byte else "it may be binary"
    return ValueError(
        f"{where}: the byte 0x{byte:02x} is a control character (offset {place}), which UTF-8 text "
        f"does not have; {looks}. Convert the file, for example with 'iconv -f utf-16le -t utf8', "
        f"or remove the character."
    )


def _line_at(path: Path, offset: int) -> int:
    """RETURNS (int): The line, from 1, in which a byte of a file stands."""
    n_ends, last = 0, b""
    with open_bytes(path) as stream:
        while data := stream.read(min(SCAN_BYTES, offset)):
            offset -= len(data)
            n_ends += data.count(b"\n") + data.count(b"\r") - (last + data).count(b"\r\n")
            last = data[-1:]
    return n_ends + 1
