import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_elmo.lstm.packing import longest_first, pack

LENGTHS = st.lists(st.integers(0, 6), max_size=8)


def descending(lengths):
    return np.array(sorted(lengths, reverse=True), dtype=np.int64)


@given(LENGTHS, st.integers(0, 2))
def test_rows_equal_a_plain_loop(lengths, first_step):
    lengths = descending(lengths)
    packing = pack(lengths + first_step)
    rows, row = {}, 0
    for step in range(int(max(lengths + first_step, default=0))):
        assert packing.active[step] == (lengths + first_step > step).sum()
        for k in range(packing.active[step]):
            rows[k, step] = row
            row += 1
    assert packing.n_rows == row == len(packing.row_steps())
    assert list(rows) == list(zip(packing.row_sequences().tolist(), packing.row_steps().tolist()))
    positions = [(k, p) for k, n in enumerate(lengths.tolist()) for p in range(n)]
    forward = [rows[k, first_step + p] for k, p in positions]
    backward = [rows[k, first_step + int(lengths[k]) - 1 - p] for k, p in positions]
    assert packing.element_rows(lengths, first_step).tolist() == [forward, backward]


def test_lengths_that_are_not_descending_are_an_error():
    with pytest.raises(ValueError, match="must be descending. Sort .* by `longest_first`"):
        pack(np.array([2, 3]))


def test_longest_first_is_stable():
    assert longest_first(np.array([1, 3, 1, 3])).tolist() == [1, 3, 0, 2]


def test_no_sequences():
    packing = pack(np.zeros(0, dtype=np.int64))
    assert packing.active == [] and packing.n_rows == 0
