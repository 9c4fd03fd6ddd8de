"""Index arrays for consecutive rows of different lengths."""

import numpy as np


def positions_within(lengths: np.ndarray) -> np.ndarray:
    """Return the position of each element within its row, for rows stored one after another.

    lengths (ndarray): The length of each row, int64 [n_rows].
    RETURNS (ndarray): `0 .. length - 1` for each row, concatenated, int64 [lengths.sum()].
    """
    starts = np.cumsum(lengths) - lengths
    positions: np.ndarray = np.arange(lengths.sum()) - np.repeat(starts, lengths)
    return positions


def concatenated_ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the elements of several ranges, concatenated.

    starts (ndarray): The first element of each range, int64 [n_ranges].
    lengths (ndarray): The length of each range, int64 [n_ranges].
    RETURNS (ndarray): `start .. start + length - 1` for each range, int64 [lengths.sum()].
    """
    elements: np.ndarray = np.repeat(starts, lengths) + positions_within(lengths)
    return elements


def elements_of(lengths: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the indices of the elements of selected rows, for rows stored one after another.

    lengths (ndarray): The length of each row, int64 [n_rows].
    rows (ndarray): The selected rows, int64.
    RETURNS (ndarray): Indices among all elements, in the order of the selection, int64.
    """
    starts = np.cumsum(lengths) - lengths
    return concatenated_ranges(starts[rows], lengths[rows])
