import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spacy_elmo.bilm import WordBatch
from spacy_elmo.bilm.packed_words import END, N_BOUNDARIES, START, pack_words

LENGTHS = st.lists(st.integers(0, 6), max_size=8)


@given(LENGTHS, st.integers(1, 20))
def test_chunks_contain_every_sentence_once_within_the_budget(lengths, max_tokens):
    batch = WordBatch([], np.arange(sum(lengths)), np.array(lengths, dtype=np.int64))
    chunks = [chunk.tolist() for chunk in batch.chunks(max_tokens)]
    assert sorted(k for chunk in chunks for k in chunk) == list(range(len(lengths)))
    for chunk in chunks:
        assert sum(lengths[k] + N_BOUNDARIES for k in chunk) <= max_tokens or len(chunk) == 1
    found = [lengths[k] for chunk in chunks for k in chunk]
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


def test_boundary_tokens_have_the_ids_of_the_boundary_words():
    sentences = [["</S>", "a", "b", "<S>"], ["<S>", "a"]]
    batch = WordBatch.from_sentences(sentences, boundaries=("<S>", "</S>"))
    assert batch.words == ["a", "b"]
    packed = pack_words(batch.ids, batch.lengths)
    rows = packed.inputs[0][packed.outputs[0]].tolist()
    assert rows == [END, 2, 3, START, START, 2]
