import numpy as np
import pytest

from spacy_elmo.runtime.ragged import concatenated_ranges, positions_within


@pytest.mark.parametrize("lengths", [[], [0], [3], [2, 0, 3], [0, 0, 1, 4, 0]])
def test_positions_are_counted_within_each_row(lengths):
    lengths = np.array(lengths, dtype=np.int64)
    found = positions_within(lengths)
    assert found.dtype == np.int64
    assert found.tolist() == [k for n in lengths for k in range(n)]


def test_ranges_are_concatenated():
    starts, lengths = np.array([7, 0, 2]), np.array([2, 0, 3])
    assert concatenated_ranges(starts, lengths).tolist() == [7, 8, 2, 3, 4]
