"""Ends of segments by punctuation, computed on arrays of token ids."""

from collections.abc import Sequence

import numpy as np
from spacy.strings import get_string_id

FINAL = (".", "!", "?", "...", "....", "…", "?!", "!?", "!!", "??", "。", "！", "？", "।", "؟", "۔")
CLOSING = ("”", "’", "''", ")", "]", "}", "»", "」", "』", "）", "›")
STRAIGHT_QUOTE = '"'


def rows_after_ends(orths: np.ndarray, breaks: np.ndarray) -> np.ndarray:
    """Return the words that follow final punctuation and the closing marks after it.

    orths (ndarray): Id of each word's text, uint64 [n].
    breaks (ndarray): Whether a blank line precedes each word, bool [n].
    RETURNS (ndarray): Indices of the words, ascending, int64.
    """
    index = np.arange(len(orths))
    final = np.isin(orths, _FINAL_IDS)
    marks = final | _closing_mask(orths, breaks)
    # start of the sequence of marks that each mark belongs to; a blank line starts a new sequence
    last_before = np.where(marks, np.where(breaks, index - 1, -1), index)
    sequence_start = np.maximum.accumulate(last_before) + 1
    # closing marks before the first final mark of their sequence do not end a segment
    first_final = _next_true(final)[np.minimum(sequence_start, len(index) - 1)]
    is_end = marks & (first_final <= index)
    return np.flatnonzero(is_end[:-1] & ~marks[1:]) + 1


def _closing_mask(orths: np.ndarray, breaks: np.ndarray) -> np.ndarray:
    """Return whether each word is a closing quote or bracket, bool [n]. A straight quote closes if
    an odd number of straight quotes precede it in its paragraph."""
    straight = orths == _STRAIGHT_ID
    quotes = np.cumsum(straight)
    quotes -= np.maximum.accumulate(np.where(breaks, quotes - straight, 0))
    closing: np.ndarray = np.isin(orths, _CLOSING_IDS) | (straight & (quotes % 2 == 0))
    return closing


def _next_true(mask: np.ndarray) -> np.ndarray:
    """Return the index of the first True at or after each position, or the length."""
    where = np.where(mask, np.arange(len(mask)), len(mask))
    return np.minimum.accumulate(where[::-1])[::-1]


def _ids(strings: Sequence[str]) -> np.ndarray:
    return np.array([get_string_id(string) for string in strings], dtype=np.uint64)


_FINAL_IDS = _ids(FINAL)
_CLOSING_IDS = _ids(CLOSING)
_STRAIGHT_ID = get_string_id(STRAIGHT_QUOTE)
