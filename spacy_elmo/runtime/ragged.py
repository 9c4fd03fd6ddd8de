"""Index arrays for consecutive rows of different lengths."""

import numpy as np


def positions_within(lengths: np.ndarray) -> np.ndarray:
    """Return the position of each element within its row, for rows stored one after another.

    lengths (ndarray): The length of each row, int64 [n_rows].
    RETURNS (ndarray): `0 .. length - 1` for each row, concatenated, int64 [lengths.sum()].
    """
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def concatenated_ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the elements of several ranges, concatenated.

    starts (ndarray): The first element of each range, int64 [n_ranges].
    lengths (ndarray): The length of each range, int64 [n_ranges].
    RETURNS (ndarray): `start .. start + length - 1` for each range, int64 [lengths.sum()].
    """
    return np.repeat(starts, lengths) + positions_within(lengths)
