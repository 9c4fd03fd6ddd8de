"""Held-out text that also occurs in the training text."""

import warnings

import pytest

from spacy_elmo.corpus.corpus import Corpus
from spacy_elmo.corpus.overlap import overlap

from ..pretrain.toys import config, pretraining, write_text


def corpus(*sentences):
    return Corpus.from_sentences([[sentence.split() for sentence in sentences]])


LONG = [f"the fox {i} sees the hen {i + 1} near the pond ." for i in range(9)]


@pytest.mark.parametrize(
    "train, heldout, expected",
    [
        (LONG, LONG, 1.0),
        (LONG, LONG[3:4], 1.0),
        (LONG[:4], LONG[2:6], 0.5),
        (LONG[:4], LONG[4:], 0.0),
        (["yes .", *LONG[:2]], ["yes .", LONG[2]], 0.0),  # short sentences are in all texts
        (["yes .", "no ."], ["yes .", "oh ."], 0.5),
        (["a b c d e f g"], ["a b c d e g f"], 0.0),
        (["a b c d e f", "g"], ["a b c d e", "f g"], 0.0),
    ],
)
def test_overlap_is_the_fraction_of_words_in_shared_sentences(train, heldout, expected):
    assert overlap(corpus(*train), corpus(*heldout)) == expected


def test_overlap_does_not_depend_on_the_chunks(monkeypatch):
    monkeypatch.setattr("spacy_elmo.corpus.overlap.CHUNK_SENTENCES", 2)
    assert overlap(corpus(*LONG[:5]), corpus(*LONG[1:6])) == 0.8


def test_training_warns_about_overlap_when_it_starts(tmp_path):
    write_text(tmp_path)
    given = config(tmp_path, model={"n_layers": 1}, training={"epochs": 0.1})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pretraining(given, tmp_path / "apart")
    same = config(
        tmp_path, model={"n_layers": 1}, text={"heldout": [str(tmp_path / "train-01.txt")]}
    )
    with pytest.warns(UserWarning, match="100% of the held-out text is part of the training text"):
        pretraining(same, tmp_path / "same")
