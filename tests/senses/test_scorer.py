"""The metrics of word senses."""

import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_elmo.senses.scorer import make_sense_scorer, score_senses

VOCAB = spacy.blank("en").vocab
NAMES = ("acc", "coverage", "macro_f", "mfs_acc")


def doc_of(words, *spans):
    doc = Doc(VOCAB, words=words.split())
    doc.spans["senses"] = [Span(doc, start, end, label) for start, end, label in spans]
    return doc


def scores(predicted, gold, **cfg):
    found = score_senses([Example(predicted, gold)], **cfg)
    return tuple(found[f"senses_{name}"] for name in NAMES)


def test_each_metric():
    gold = doc_of("a a a b", (0, 1, "a%1"), (1, 2, "a%1"), (2, 3, "a%2"), (3, 4, "b%1"))
    predicted = doc_of("a a a b", (0, 1, "a%1"), (1, 2, "a%2"), (2, 3, "a%2"))
    f_scores = [2 / 3, 2 / 3, 0.0]  # a%1, a%2, b%1
    found = scores(predicted, gold, most_frequent={"a": "a%1", "b": "b%1"})
    assert found == pytest.approx((2 / 4, 3 / 4, sum(f_scores) / 3, 3 / 4))
    assert scores(gold, gold)[:3] == (1.0, 1.0, 1.0)


def test_each_of_several_labels_is_right():
    gold = doc_of("a", (0, 1, "a%1"), (0, 1, "a%2"))
    for label, expected in (("a%1", 1.0), ("a%2", 1.0), ("a%3", 0.0)):
        predicted = doc_of("a", (0, 1, label))
        assert scores(predicted, gold)[:3] == (expected, 1.0, expected)
    assert scores(gold, gold, most_frequent={"a": "a%2"})[3] == 1.0


def test_spans_are_compared_by_characters():
    gold = doc_of("take place", (0, 2, "take place%1"))
    predicted = Doc(VOCAB, words=["take", " ", "place"], spaces=[True, False, False])
    predicted.spans["senses"] = [Span(predicted, 0, 3, "take place%1")]
    assert scores(predicted, gold)[:2] == (1.0, 1.0)


def test_predictions_without_a_gold_span_are_ignored():
    gold = doc_of("a b", (0, 1, "a%1"))
    assert scores(doc_of("a b", (0, 1, "a%1"), (1, 2, "b%1")), gold)[:3] == (1.0, 1.0, 1.0)


def test_there_are_no_scores_without_targets():
    empty = Doc(VOCAB, [])
    assert scores(empty, empty.copy()) == (None,) * 4
    assert scores(doc_of("a", (0, 1, "a%1")), Doc(VOCAB, words=["a"])) == (None,) * 4
    assert set(score_senses([])) == {f"senses_{name}" for name in NAMES}


def test_the_registered_scorer():
    assert make_sense_scorer() is score_senses
