"""Decoding text files: UTF-8, or an error that names the line and the offset.

Other encodings and binary files are recognized by bytes that UTF-8 does not allow and by control
characters that text does not contain. Invalid bytes are never replaced.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from .paths import PathLike
from .streams import open_bytes

BOM = b"\xef\xbb\xbf"
# all but tabs, line and page breaks, the DOS end-of-file mark (0x1a) and information separators
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x19\x1b\x7f]")
CONTROL_BYTES = bytes(byte for byte in range(128) if CONTROL.match(bytes([byte])))
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
# document formats whose files can be plain ASCII
DOCUMENTS = {b"%PDF-": "PDF", b"{\\rtf": "RTF", b"%!PS": "PostScript"}
READ_BYTES = 1 << 20


def decode_text(data: bytes, path: Path, offset: int) -> str:
    """Decode bytes of a text file, and check that they are text.

    data (bytes): Whole characters.
    path (Path): The file that the bytes come from. It is read again to find the line of an error.
    offset (int): Position of the bytes in the decompressed file. At 0, a byte order mark is
        removed.
    RETURNS (str): The text, with the line ends of the file.
    RAISES (ValueError): If the bytes are not UTF-8, contain control characters, or start like a
        UTF-16, PDF, RTF or PostScript file.
    """
    if not offset:
        _check_start(data, path)
    # deleting a set of bytes is many times as fast as searching for them
    has_control = len(data.translate(None, CONTROL_BYTES)) < len(data)
    control = CONTROL.search(data) if has_control else None
    try:
        text = data.decode("utf8")
    except UnicodeDecodeError as error:
        if control is None or error.start < control.start():
            place = offset + error.start
            raise ValueError(
                f"{_not_utf8(path, _line_at(path, place), place, data[error.start])} Compressed "
                f"files must end in .gz or .zst."
            ) from error
    if control is not None:
        raise _control_character(path, offset + control.start(), data[control.start()])
    return text if offset else text.removeprefix("\ufeff")


def decode_utf8(data: bytes, path: PathLike, *, line: int = 1, offset: int = 0) -> str:
    """Decode bytes of a file in which control characters are allowed, such as a vocabulary.

    data (bytes): Whole characters.
    path (Union[str, Path]): The file that the bytes come from.
    line (int): The line, from 1, at which the bytes start.
    offset (int): Position of the bytes in the file.
    RETURNS (str): The text; a byte order mark is not removed.
    RAISES (ValueError): If the bytes are not UTF-8.
    """
    try:
        return data.decode("utf8")
    except UnicodeDecodeError as error:
        line += data.count(b"\n", 0, error.start)
        message = _not_utf8(path, line, offset + error.start, data[error.start])
        raise ValueError(message) from error


def normalize_line_ends(text: str) -> str:
    r"""Return a text with "\n" for all kinds of line ends, without the DOS end-of-file mark."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x1a", "")


def split_lines(text: str) -> Iterator[list[str]]:
    """YIELDS (List[str]): The words of each line; an empty list for a blank line."""
    for line in text.removesuffix("\n").split("\n"):
        yield line.split()


def _check_start(data: bytes, path: Path) -> None:
    if data.startswith(UTF16_BOMS):
        raise ValueError(
            f"{path}, line 1: the file starts with the byte order mark of UTF-16 (offset 0); "
            f"expected UTF-8. Convert it, for example with 'iconv -f utf-16 -t utf8'."
        )
    start = data.removeprefix(BOM).lstrip()
    for mark, name in DOCUMENTS.items():
        if start.startswith(mark):
            raise ValueError(
                f"{path} is a {name} file (it starts with {mark.decode()!r}); expected UTF-8 text. "
                f"Extract its text first."
            )


def _not_utf8(path: PathLike, line: int, offset: int, byte: int) -> str:
    return (
        f"{path}, line {line}: the byte 0x{byte:02x} is not UTF-8 (offset {offset}). Convert the "
        f"file, for example with 'iconv -f latin1 -t utf8'."
    )


def _control_character(path: Path, offset: int, byte: int) -> ValueError:
    guess = "it may be binary" if byte else "it may be binary, or UTF-16 without a byte order mark"
    return ValueError(
        f"{path}, line {_line_at(path, offset)}: the byte 0x{byte:02x} is a control character "
        f"(offset {offset}), which UTF-8 text does not contain; {guess}. Convert the file, for "
        f"example with 'iconv -f utf-16le -t utf8', or remove the character."
    )


def _line_at(path: Path, offset: int) -> int:
    """Return the line, from 1, that contains a byte of a file."""
    n_ends, last = 0, b""
    with open_bytes(path) as stream:
        while data := stream.read(min(READ_BYTES, offset)):
            offset -= len(data)
            n_ends += data.count(b"\n") + data.count(b"\r") - (last + data).count(b"\r\n")
            last = data[-1:]
    return n_ends + 1
