"""Lines of text files with their numbers, as the readers want them.

Owns the encoding, and what is said about a file in another one. It knows no format.
"""

from pathlib import Path
from typing import Iterator, Tuple, Union

PathLike = Union[str, Path]


def numbered_lines(path: PathLike) -> Iterator[Tuple[int, str]]:
    """Read a UTF-8 file.

    path (Union[str, Path]): The file.
    YIELDS (Tuple[int, str]): The number of a line, from 1, and the line without its end.
        Lines end at newlines only, since words may have other breaks in them.
    """
    with Path(path).open("rb") as file:
        for number, data in enumerate(file, start=1):
            try:
                line = data.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                found = error.object[error.start]
                raise ValueError(
                    f"{path}, line {number}: the byte 0x{found:02x} is not UTF-8. Convert the "
                    f"file, for example with 'iconv -f latin1 -t utf8'."
                ) from error
            yield number, line.rstrip("\r\n")
