import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spacy_elmo.bilm.packed_words import END, N_BOUNDARIES, START, pack_words

LENGTHS = st.lists(st.integers(0, 6), max_size=8).map(lambda found: sorted(found, reverse=True))


def plain_pack(ids, lengths):
    """Compute the layout by loops over steps and sentences."""
    starts = [sum(lengths[:k]) for k in range(len(lengths))]
    active, inputs, outputs, row = [], [[], []], [{}, {}], 0
    for step in range(max(lengths, default=-2) + 2):
        running = [k for k in range(len(lengths)) if step < lengths[k] + 2]
        active.append(len(running))
        for k in running:
            for direction in (0, 1):
                position = step if direction == 0 else lengths[k] + 1 - step
                if position == 0:
                    inputs[direction].append(START)
                elif position == lengths[k] + 1:
                    inputs[direction].append(END)
                else:
                    token = starts[k] + position - 1
                    inputs[direction].append(ids[token] + N_BOUNDARIES)
                    outputs[direction][token] = row
            row += 1
    places = [[outputs[d][token] for token in range(len(ids))] for d in (0, 1)]
    return active, inputs, places


@given(LENGTHS)
def test_packed_words_equal_a_plain_loop(lengths):
    ids = np.arange(sum(lengths)) % 5
    packed = pack_words(ids, np.array(lengths, dtype=np.int64))
    active, inputs, outputs = plain_pack(ids.tolist(), lengths)
    assert packed.packing.active == active
    assert packed.inputs.tolist() == inputs
    assert packed.outputs.tolist() == outputs


def test_empty_sentences_are_their_two_boundary_words():
    packed = pack_words(np.zeros(0, dtype=np.int64), np.array([0, 0]))
    assert packed.packing.active == [2, 2]
    assert packed.inputs.tolist() == [[START, START, END, END], [END, END, START, START]]
    assert packed.outputs.shape == (2, 0)


def test_no_sentences():
    packed = pack_words(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    assert packed.packing.active == []
    assert packed.inputs.shape == (2, 0)
