"""The words that each row reads at each step, and the words that follow them."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_elmo.corpus.corpus import Corpus
from spacy_elmo.lm.vocab import Vocab
from spacy_elmo.lm.word_codes import AFTER, BEFORE, FIRST_WORD
from spacy_elmo.pretrain.windows import InDocuments, Shuffled, Windows, make_windows

from .toys import config, documents

DIRECTIONS = pytest.mark.parametrize("reverse", [False, True])
shapes = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=5), min_size=1, max_size=6)
counts = st.integers(1, 6)


class InTurn(Shuffled):
    """An order that reads the sentences without shuffling."""

    def _shuffle(self, passes):
        self.passes, self.taken = passes, 0
        self.order = np.arange(self.corpus.n_sentences)


def corpus_of(shape):
    """Return documents with sentences of given lengths, in which no word occurs twice."""
    numbers = iter(range(10**6))
    return Corpus.from_sentences(
        [[f"w{next(numbers)}" for _ in range(length)] for length in document] for document in shape
    )


def codes_of(corpus, sentence, reverse):
    """Return the codes of a sentence with its boundaries, in the order of reading."""
    words = np.arange(corpus.starts[sentence], corpus.starts[sentence + 1]) + FIRST_WORD
    codes = [BEFORE, *words.tolist(), AFTER]
    return codes[::-1] if reverse else codes


def pairs_of(corpus, sentence, reverse):
    codes = codes_of(corpus, sentence, reverse)
    return list(zip(codes, codes[1:]))


def all_pairs(corpus, reverse):
    return sorted(p for s in range(corpus.n_sentences) for p in pairs_of(corpus, s, reverse))


def streams(windows, n_windows):
    """Return the codes that each row reads in some windows, and the codes that follow."""
    read, follows = (
        np.concatenate(parts) for parts in zip(*(windows.next() for _ in range(n_windows)))
    )
    return [list(zip(*pair)) for pair in zip(read.T.tolist(), follows.T.tolist())]


def sentences_in(corpus, stream, reverse):
    """Return the sentences of a row, each read from its start to its end."""
    by_first = {pairs_of(corpus, s, reverse)[0]: s for s in range(corpus.n_sentences)}
    found, at = [], 0
    while at < len(stream):
        sentence = by_first[stream[at]]
        pairs = pairs_of(corpus, sentence, reverse)
        assert stream[at : at + len(pairs)] == pairs[: len(stream) - at]
        found.append(sentence)
        at += len(pairs)
    return found


def test_the_worked_example():
    lines = ["a strange .", "odd .", "a"]
    corpus = Corpus.from_sentences([[line.split() for line in lines]])
    vocab = Vocab(["<S>", "</S>", "<UNK>", "a", ".", "never"])
    ids = np.concatenate([[vocab.start, vocab.end], vocab.ids(corpus.words)])
    windows = Windows(corpus, InTurn(corpus, 2, ()), n_steps=3, reverse=False)
    found = [[ids[codes].T.tolist() for codes in windows.next()] for _ in range(2)]
    assert found == [
        [[[0, 3, 2], [0, 2, 4]], [[3, 2, 4], [2, 4, 1]]],
        [[[4, 0, 3], [0, 3, 2]], [[1, 3, 1], [3, 2, 4]]],
    ]
    windows = Windows(corpus, InTurn(corpus, 1, ()), n_steps=7, reverse=True)
    read, follows = (ids[codes].T.tolist() for codes in windows.next())
    assert (read, follows) == ([[1, 4, 2, 3, 1, 4, 2]], [[4, 2, 3, 0, 4, 2, 0]])


@DIRECTIONS
@settings(max_examples=60)
@given(shape=shapes, n_steps=counts, seed=st.integers(0, 99))
def test_an_epoch_reads_each_position_once(reverse, shape, n_steps, seed):
    corpus = corpus_of(shape)
    n = corpus.n_positions
    windows = Windows(corpus, Shuffled(corpus, 1, (seed,)), n_steps, reverse)
    (stream,) = streams(windows, 3 * n // n_steps + 1)
    for begin in (0, n, 2 * n):
        assert sorted(stream[begin : begin + n]) == all_pairs(corpus, reverse)


@DIRECTIONS
@settings(max_examples=60)
@given(shape=shapes, n_rows=counts, n_steps=counts, n_windows=st.integers(1, 30))
def test_rows_share_an_epoch(reverse, shape, n_rows, n_steps, n_windows):
    corpus = corpus_of(shape)
    windows = Windows(corpus, Shuffled(corpus, n_rows, (3,)), n_steps, reverse)
    rows = streams(windows, n_windows)
    assert {len(row) for row in rows} == {n_steps * n_windows}
    started = [s for row in rows for s in sentences_in(corpus, row, reverse)]
    # no sentence is read twice before all are read
    times = np.bincount(started, minlength=corpus.n_sentences)
    assert times.max() - times.min() <= 1


def test_epochs_and_directions_have_different_orders():
    corpus = corpus_of([[1] * 40])
    settings = config(batches={"n_rows": 1, "n_steps": 80, "order": "shuffled"})
    found = []
    for reverse in (False, True):
        windows = make_windows(settings, corpus, reverse)
        found += [sentences_in(corpus, streams(windows, 1)[0], reverse) for _ in range(2)]
    assert all(sorted(order) == list(range(40)) for order in found)
    assert len({tuple(order) for order in found} | {tuple(order[::-1]) for order in found}) == 8
    other = make_windows(config(batches=vars(settings.batches), training={"seed": 1}), corpus, 0)
    assert sentences_in(corpus, streams(other, 1)[0], False) not in found


@DIRECTIONS
@pytest.mark.parametrize("order", ["documents", "shuffled"])
@settings(max_examples=25)
@given(shape=shapes, n_rows=counts, n_steps=counts, before=st.integers(0, 12))
def test_windows_resume_from_a_state(reverse, order, shape, n_rows, n_steps, before):
    corpus = corpus_of(shape)
    settings = config(batches={"n_rows": n_rows, "n_steps": n_steps, "order": order})
    windows = make_windows(settings, corpus, reverse)
    for _ in range(before):
        windows.next()
    state = json.loads(json.dumps(windows.order.state()))
    expected = streams(windows, 10)
    resumed = make_windows(settings, corpus, reverse)
    resumed.order.restore(state)
    assert streams(resumed, 10) == expected
    assert resumed.order.state() == windows.order.state()


@DIRECTIONS
@settings(max_examples=60)
@given(shape=shapes, n_rows=counts, n_steps=counts)
def test_rows_read_documents_to_their_end(reverse, shape, n_rows, n_steps):
    corpus = corpus_of(shape)
    order = InDocuments(corpus, n_rows, reverse, (5,))
    windows = Windows(corpus, order, n_steps, reverse)
    n_windows = 2 * corpus.n_positions // n_steps + 1
    ends = set((corpus.documents[:-1] if reverse else corpus.documents[1:] - 1).tolist())
    for row in streams(windows, n_windows):
        read = sentences_in(corpus, row, reverse)
        # a row reads a document to its end before it starts another document
        for sentence, following in zip(read, read[1:]):
            assert sentence in ends or following == sentence + (-1 if reverse else 1)
        assert sorted(read[: corpus.n_sentences]) == list(range(corpus.n_sentences))


@DIRECTIONS
@settings(max_examples=100)
@given(shape=shapes, n_rows=st.integers(1, 12))
def test_rows_divide_the_text_evenly(reverse, shape, n_rows):
    corpus = corpus_of(shape)
    order = InDocuments(corpus, n_rows, reverse, (5,))
    firsts = np.searchsorted(order.begins, order.at)
    for row, (place, at) in enumerate(zip(firsts, order.at)):
        # the sentence with the position where an even division would begin the row
        assert order.begins[place] == at
        assert at * n_rows <= row * corpus.n_positions < order.ends[place] * n_rows
    bounds = [*order.at.tolist(), corpus.n_positions]
    sentences, positions = order.next(corpus.n_positions)
    # until the next row's begins
    read = [
        (int(sentence), int(position))
        for row, (begin, end) in enumerate(zip(bounds, bounds[1:]))
        for sentence, position in zip(sentences[row, : end - begin], positions[row])
    ]
    lengths = np.diff(corpus.starts)
    assert sorted(read) == [(n, k) for n, size in enumerate(lengths) for k in range(size + 1)]


@DIRECTIONS
def test_rows_start_at_different_sentences(reverse):
    for n_rows in (2, 3, 6, 7, 49):
        order = InDocuments(corpus_of([[2] * n_rows]), n_rows, reverse, (0,))
        assert sorted(order.next(1)[0][:, 0]) == list(range(n_rows))


def test_documents_are_shuffled():
    corpus = Corpus.from_sentences(documents(400))
    firsts = [InDocuments(corpus, 1, False, (seed,)).order[::10] for seed in range(2)]
    expected = list(range(0, 400, 10))
    assert all(sorted(first) == expected and list(first) != expected for first in firsts)
    assert firsts[0].tolist() != firsts[1].tolist()


def test_no_text_is_an_error():
    corpus = Corpus.from_sentences([])
    with pytest.raises(ValueError, match="no sentence in the text to train on"):
        Windows(corpus, InTurn(corpus, 1, ()), 1, False)
