import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spacy_elmo.bilm import WordBatch
from spacy_elmo.lstm.packing import END, N_BOUNDARIES, START, pack

LENGTHS = st.lists(st.integers(0, 6), max_size=8)


def plain_pack(ids, lengths):
    """The layout by loops over steps and sentences."""
    order = sorted(range(len(lengths)), key=lambda k: -lengths[k])
    starts = [sum(lengths[:k]) for k in range(len(lengths))]
    active, inputs, outputs, row = [], [[], []], [{}, {}], 0
    for step in range(max(lengths, default=-2) + 2):
        running = [k for k in order if step < lengths[k] + 2]
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
    return order, active, inputs, places


@given(LENGTHS)
def test_pack_equals_a_plain_loop(lengths):
    ids = np.arange(sum(lengths)) % 5
    packing = pack(ids, np.array(lengths, dtype=np.int64))
    order, active, inputs, outputs = plain_pack(ids.tolist(), lengths)
    assert packing.order.tolist() == order
    assert packing.active == active
    assert packing.inputs.tolist() == inputs
    assert packing.outputs.tolist() == outputs


def test_empty_sentences_are_their_two_boundaries():
    packing = pack(np.zeros(0, dtype=np.int64), np.array([0, 0]))
    assert packing.active == [2, 2]
    assert packing.inputs.tolist() == [[START, START, END, END], [END, END, START, START]]
    assert packing.outputs.shape == (2, 0)


def test_no_sentences():
    packing = pack(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    assert packing.active == []
    assert packing.inputs.shape == (2, 0)


@given(LENGTHS, st.integers(1, 20))
def test_parts_hold_every_sentence_once_and_keep_to_the_budget(lengths, max_tokens):
    batch = WordBatch([], np.arange(sum(lengths)), np.array(lengths, dtype=np.int64))
    parts = [part.tolist() for part in batch.parts(max_tokens)]
    assert sorted(k for part in parts for k in part) == list(range(len(lengths)))
    for part in parts:
        assert sum(lengths[k] + N_BOUNDARIES for k in part) <= max_tokens or len(part) == 1
    found = [lengths[k] for part in parts for k in part]
    assert found == sorted(found, reverse=True)


@given(LENGTHS, st.randoms())
def test_tokens_of_some_sentences(lengths, random):
    batch = WordBatch([], np.arange(sum(lengths)), np.array(lengths, dtype=np.int64))
    chosen = [k for k in range(len(lengths)) if random.random() < 0.5]
    starts = [sum(lengths[:k]) for k in range(len(lengths))]
    expected = [t for k in chosen for t in range(starts[k], starts[k] + lengths[k])]
    assert batch.tokens_of(np.array(chosen, dtype=np.int64)).tolist() == expected


def test_batch_numbers_words_by_first_use():
    batch = WordBatch.from_sentences([["b", "a"], [], ["b"]])
    assert batch.words == ["b", "a"]
    assert batch.ids.tolist() == [0, 1, 0]
    assert batch.lengths.tolist() == [2, 0, 1]


def test_boundary_tokens_have_the_numbers_of_the_boundary_words():
    sentences = [["<S>", "a"], ["</S>", "a", "b", "<S>"]]
    batch = WordBatch.from_sentences(sentences, boundaries=("<S>", "</S>"))
    assert batch.words == ["a", "b"]
    packing = pack(batch.ids, batch.lengths)
    rows = packing.inputs[0][packing.outputs[0]].tolist()
    assert rows == [START, 2, END, 2, 3, START]
