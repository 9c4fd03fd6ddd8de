"""Files of text read in pieces, each cut where it does the least harm.

Where a piece ends depends on the bytes from its start on and on nothing else. Files are read
forward only.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

# Below what Sudachi takes at once, the tokenizer with the lowest limit.
PIECE_BYTES = 48_000
BOM = b"\xef\xbb\xbf"
# the end of a line that a blank line follows
BEFORE_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?=[ \t]*[\r\n])")


def read_pieces(
    stream: BinaryIO, *, lines: bool, piece_bytes: int = PIECE_BYTES
) -> Iterator[bytes]:
    """Read the rest of a file in pieces.

    stream (BinaryIO): Where to read; a read must return less than asked for only at the end.
    lines (bool): Whether pieces are whole lines however long they are, or running text.
    piece_bytes (int): Size of a piece at the most, longer lines aside.
    YIELDS (bytes): The pieces in order; none is empty.
    """
    data, size = b"", piece_bytes
    while True:
        # one byte more than a piece tells whether it is the last one
        data += stream.read(size + 1 - len(data))
        if len(data) <= size:
            break
        end = _last_line_end(data[:size]) if lines else _end_of_text(data[:size])
        if end:
            yield data[:end]
            data, size = data[end:], piece_bytes
        else:
            size *= 2
    if data:
        yield data


def normalize_line_ends(text: str) -> str:
    """RETURNS (str): A text with "\\n" for all kinds of line ends, without the end mark of DOS."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x1a", "")


def split_lines(text: str) -> Iterator[list[str]]:
    """YIELDS (List[str]): The words of each line, whatever its number of them."""
    for line in text.removesuffix("\n").split("\n"):
        yield line.split()


def _end_of_text(data: bytes) -> int:
    """Where a piece of running text ends: before a blank line if there is one."""
    blank = 0
    for match in BEFORE_BLANK_LINE.finditer(data):
        blank = match.end()
    end = blank or _last_line_end(data) or max(data.rfind(b" "), data.rfind(b"\t")) + 1
    if not end:  # no whitespace at all: between two characters
        end = len(data)
        while end > len(data) - 4 and data[end - 1] & 0xC0 == 0x80:
            end -= 1
        end = end - 1 if data[end - 1] >= 0xC0 else len(data)
    return end


def _last_line_end(data: bytes) -> int:
    """Where the last whole line ends; 0 if there is none. A CR at the very end may be
    half of a CR LF."""
    return max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1)) + 1
