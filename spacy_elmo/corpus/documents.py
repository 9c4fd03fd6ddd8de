"""Where the documents of a text file start: one document per file, or blank lines between them."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np

DocumentRule = Literal["file", "blank_line"]
"""Which documents a text file holds: one, or one for each group of lines between blank lines."""

FILE: DocumentRule = "file"
BLANK_LINE: DocumentRule = "blank_line"
# a line end and the blank lines that follow it
BLANK_LINES = re.compile(r"\n\s*\n")


def split_running_text(chunks: Iterable[tuple[bytes, str]]) -> Iterator[tuple[int, str]]:
    r"""Split running text at blank lines. A line that holds only whitespace is blank.

    The chunks may be cut anywhere, also in a blank line or within a CR LF.

    chunks (Iterable[tuple[bytes, str]]): The bytes of each chunk, and its text with "\n" for all
        kinds of line ends, as `read_text` yields them.
    YIELDS (tuple[int, str]): The index of a document, ascending, and its text. A document of
        several chunks comes as several texts. An index without words is no document.
    """
    document, line_is_blank, after_cr = 0, True, False
    for data, text in chunks:
        if after_cr and data.startswith(b"\n"):  # the second half of a CR LF
            text = text.removeprefix("\n")
        after_cr = data.endswith(b"\r")
        # up to here the line is blank, and the chunk may begin with its end
        line_end = "\n" if line_is_blank else ""
        first, *later = BLANK_LINES.split(line_end + text)
        if first := first.removeprefix(line_end):
            yield document, first
        for next_text in later:
            document += 1
            if next_text:
                yield document, next_text
        _, found, line = (line_end + text).rpartition("\n")
        line_is_blank = bool(found) and not line.strip()


def count_blank_lines(sentences: Sequence[Sequence[str]], before: int) -> np.ndarray:
    """Count the blank lines up to each line of tokenized text, which is the index of its document
    if blank lines separate documents.

    sentences (Sequence[Sequence[str]]): The words of each line; none for a blank line.
    before (int): The number of blank lines before the first of these lines.
    RETURNS (ndarray): int64 [n_lines].
    """
    blank = np.fromiter((not words for words in sentences), dtype=np.int64, count=len(sentences))
    counts: np.ndarray = before + np.cumsum(blank)
    return counts
