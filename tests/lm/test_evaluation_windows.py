"""Evaluation windows contain each position once, in rows of different lengths."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_elmo.lm.evaluation_windows import EvaluationWindows

from ..pretrain.test_windows import all_pairs, corpus_of, counts, shapes


def rows_of(windows):
    """Return the codes that each row reads in each direction, and the codes that follow."""
    rows = [[[] for _ in windows.lengths] for _ in range(2)]
    for active, read, follows in windows:
        assert 0 < len(active) <= windows.n_steps
        assert active == sorted(active, reverse=True)
        assert read.shape == follows.shape == (2, sum(active))
        for direction in range(2):
            pairs = zip(read[direction].tolist(), follows[direction].tolist())
            for n in active:
                for row in range(n):
                    rows[direction][row].append(next(pairs))
    return rows


def sorted_pairs(rows):
    return sorted(pair for row in rows for pair in row)


@settings(max_examples=150)
@given(shape=shapes, n_rows=st.integers(1, 70), n_steps=counts)
def test_each_position_is_read_once_in_each_direction(shape, n_rows, n_steps):
    corpus = corpus_of(shape)
    forward, backward = rows_of(EvaluationWindows(corpus, n_rows, n_steps))
    assert sorted_pairs(forward) == all_pairs(corpus, False)
    assert sorted_pairs(backward) == all_pairs(corpus, True)
    assert len(forward) <= n_rows
    # a row holds the same sentences in both directions
    for there, back in zip(forward, backward):
        assert [(b, a) for a, b in reversed(back)] == there


def test_a_single_row_reads_the_text_in_order():
    corpus = corpus_of([[2, 1], [3]])
    forward, backward = rows_of(EvaluationWindows(corpus, 1, 4))
    assert [read for read, _ in forward[0]] == [0, 2, 3, 0, 4, 0, 5, 6, 7]
    assert [read for read, _ in backward[0]] == [1, 7, 6, 5, 1, 4, 1, 3, 2]


@settings(max_examples=60)
@given(shape=shapes, n_rows=st.integers(1, 20), n_shards=counts)
def test_shards_divide_the_rows(shape, n_rows, n_shards):
    corpus = corpus_of(shape)
    found = []
    for index in range(n_shards):
        windows = EvaluationWindows(corpus, n_rows, 3)
        windows.select_shard(index, n_shards)
        found += rows_of(windows)[0]
    assert sorted(found) == sorted(rows_of(EvaluationWindows(corpus, n_rows, 3))[0])


def test_any_number_of_rows_covers_any_text():
    for n_tokens in range(1, 60):
        corpus = corpus_of([[1] * n_tokens, [n_tokens]])
        for n_rows in range(1, 40):
            assert EvaluationWindows(corpus, n_rows, 1).lengths.sum() == corpus.n_positions


def test_rows_have_similar_lengths():
    corpus = corpus_of([[4] * 100])
    lengths = EvaluationWindows(corpus, 7, 20).lengths
    assert len(lengths) == 7 and np.ptp(lengths) <= 5
