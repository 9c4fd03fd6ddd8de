"""Reading byte streams in chunks that end at line ends or blank lines.

The end of a chunk depends only on the bytes from its start on, so that a reader can resume at any
chunk. Streams are only read forward.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

# below the input limit of Sudachi, the lowest limit of all tokenizers
CHUNK_BYTES = 48_000
# a line end that is followed by a blank line
BEFORE_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?=[ \t]*[\r\n])")


def read_chunks(
    stream: BinaryIO, *, lines: bool, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[bytes]:
    """Read the rest of a stream in chunks.

    stream (BinaryIO): The stream. Only its last read may return fewer bytes than requested.
    lines (bool): Whether chunks consist of whole lines, which may be longer than `chunk_bytes`. If
        false, the stream is running text. It is cut before the last blank line of a chunk, without
        blank lines at the last line end, without line ends at the last space or tab, and otherwise
        between two characters.
    chunk_bytes (int): Maximum size of a chunk in bytes, except for longer lines.
    YIELDS (bytes): The chunks in order; none is empty.
    """
    data, size = b"", chunk_bytes
    while True:
        # one extra byte shows whether the stream continues after this chunk
        data += stream.read(max(size + 1 - len(data), 0))
        if len(data) <= size:
            break
        end = _last_line_end(data[:size]) if lines else _end_of_text(data[:size])
        if end:
            yield data[:end]
            data, size = data[end:], chunk_bytes
        else:
            size *= 2
    if data:
        yield data


def _end_of_text(data: bytes) -> int:
    """Return the end of a chunk of running text; at least 1."""
    blank = 0
    for match in BEFORE_BLANK_LINE.finditer(data):
        blank = match.end()
    end = blank or _last_line_end(data) or max(data.rfind(b" "), data.rfind(b"\t")) + 1
    if not end:  # no whitespace: cut between two characters
        end = len(data)
        while end > len(data) - 4 and data[end - 1] & 0xC0 == 0x80:
            end -= 1
        end = end - 1 if data[end - 1] >= 0xC0 else len(data)
    return end


def _last_line_end(data: bytes) -> int:
    """Return the end of the last complete line, or 0. A CR as the last byte does not end a line,
    because it may be the first half of a CR LF."""
    return max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1)) + 1
