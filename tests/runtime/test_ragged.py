import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spacy_elmo.runtime.ragged import concatenated_ranges, elements_of, positions_within

LENGTHS = st.lists(st.integers(0, 6), max_size=8)


def test_ranges_are_concatenated():
    starts, lengths = np.array([7, 0, 2]), np.array([2, 0, 3])
    assert concatenated_ranges(starts, lengths).tolist() == [7, 8, 2, 3, 4]


@given(LENGTHS)
def test_positions_are_counted_within_each_row(lengths):
    expected = [p for n in lengths for p in range(n)]
    assert positions_within(np.array(lengths, dtype=np.int64)).tolist() == expected


@given(LENGTHS, st.randoms())
def test_elements_of_selected_rows(lengths, random):
    chosen = [k for k in range(len(lengths)) if random.random() < 0.5]
    random.shuffle(chosen)
    starts = [sum(lengths[:k]) for k in range(len(lengths))]
    expected = [t for k in chosen for t in range(starts[k], starts[k] + lengths[k])]
    found = elements_of(np.array(lengths, dtype=np.int64), np.array(chosen, dtype=np.int64))
    assert found.tolist() == expected
