"""Numbered lines of text files."""

from collections.abc import Iterator
from pathlib import Path

from ...files.decoding import decode_text
from ...files.paths import PathLike
from ...files.streams import open_bytes


def numbered_lines(path: PathLike) -> Iterator[tuple[int, str]]:
    """Read a UTF-8 file, which may be compressed.

    path (Union[str, Path]): The file.
    YIELDS (Tuple[int, str]): The number of a line, from 1, and the line without its end.
        Lines end at newlines only, because words may contain other line breaks.
    RAISES (ValueError): If the file is not UTF-8 text.
    """
    path, offset = Path(path), 0
    with open_bytes(path) as file:
        for number, data in enumerate(file, start=1):
            yield number, decode_text(data, path, offset).rstrip("\r\n")
            offset += len(data)
