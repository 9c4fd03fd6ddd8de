"""Docs as arrays: spans, equal strings and gold labels, compared with plain loops."""

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc, Span

from spacy_elmo.coref.document import (
    KIND_NAME,
    KIND_OTHER,
    KIND_PRONOUN,
    Document,
    candidates,
    labels_of,
    span_features,
)
from spacy_elmo.coref.lexicon import Lexicon

LEXICON = Lexicon(pronouns=["she", "her"], leads=["the", "her"])
NLP = spacy.blank("en")


def document(words, **kwargs):
    return Document.from_doc(Doc(NLP.vocab, words, **kwargs), LEXICON)


@given(st.lists(st.integers(1, 6), max_size=6), st.integers(1, 8))
def test_candidates_are_all_spans_within_sentences(lengths, max_width):
    sentence = np.repeat(np.arange(len(lengths)), lengths).astype(np.int64)
    first, last = candidates(sentence, max_width)
    expected = [
        (i, j)
        for i in range(len(sentence))
        for j in range(i, min(i + max_width, len(sentence)))
        if sentence[i] == sentence[j]
    ]
    assert list(zip(first.tolist(), last.tolist())) == expected


@given(st.lists(st.sampled_from("a b c the".split()), min_size=1, max_size=30), st.data())
def test_hashes_are_equal_if_the_words_are(words, data):
    doc = document(words)
    n = len(words)
    spans = [
        sorted(data.draw(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)))) for _ in range(8)
    ]
    first, last = (np.array(part) for part in zip(*spans))
    found = span_features(doc, first, last).whole

    def content(i, j):
        return tuple(words[i + (words[i] == "the" and j > i) : j + 1])

    for x, (i, j) in zip(found, spans):
        for y, (k, m) in zip(found, spans):
            assert (x == y) == (content(i, j) == content(k, m))


def test_kinds_and_words_of_mentions():
    doc = document("The old Anna sees her miller She".split())
    spans = np.array([(0, 2), (4, 4), (4, 5), (6, 6), (2, 2), (0, 0)])
    found = span_features(doc, *spans.T)
    assert found.kind.tolist() == [
        KIND_NAME,
        KIND_PRONOUN,
        KIND_OTHER,
        KIND_PRONOUN,
        KIND_NAME,
        KIND_NAME,
    ]
    assert found.pronoun.tolist() == [0, 2, 0, 1, 0, 0]
    without = Document.from_doc(Doc(NLP.vocab, ["She", "sees"]), Lexicon([], []))
    assert without.pronoun.tolist() == [0, 0]
    hashes = [NLP.vocab.strings[word] for word in ("old", "her", "miller", "she", "anna", "the")]
    assert found.first.tolist() == hashes
    assert found.last[0] == NLP.vocab.strings["anna"]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.data())
def test_labels_equal_the_gold_clusters(lengths, data):
    sentence = np.repeat(np.arange(len(lengths)), lengths).astype(np.int64)
    first, last = candidates(sentence, 3)
    n = len(sentence)
    pairs = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).map(sorted)
    mentions = data.draw(st.lists(pairs, unique_by=tuple, max_size=8))
    gold = [[(i, j + 1)] for i, j in mentions]
    found = labels_of(first, last, gold)
    entity = {tuple(mention): number for number, mention in enumerate(mentions)}
    assert found.tolist() == [entity.get(span, -1) for span in zip(first.tolist(), last.tolist())]


def test_sentences_speakers_and_genre_are_read():
    doc = Doc(NLP.vocab, ["a", "b", "c"], sent_starts=[True, False, True])
    doc.spans["speakers"] = [Span(doc, 1, 3, label="Anna")]
    doc.user_data["genre"] = "news"
    found = Document.from_doc(doc, LEXICON)
    assert found.sentence.tolist() == [0, 0, 1]
    assert found.speaker.tolist() == [0, *[NLP.vocab.strings["Anna"]] * 2]
    assert found.genre == "news"
    assert found.cut(1, 3).sentence.tolist() == [0, 1]
    assert found.cut(1, 3).genre == "news"


def test_a_doc_without_boundaries_is_one_sentence():
    found = Document.from_doc(Doc(NLP.vocab, ["a", "b", "c"]), LEXICON)
    assert found.sentence.tolist() == [0, 0, 0] and found.genre == ""


@pytest.mark.parametrize("words", [[], ["a"]])
def test_docs_of_no_or_one_word(words):
    found = document(words)
    assert len(found) == len(words)
    first, last = candidates(found.sentence, 20)
    assert len(first) == len(last) == len(words)
    assert labels_of(first, last, [[(0, 1)]]).tolist() == [0] * len(words)
    assert span_features(found, first, last).kind.tolist() == [KIND_OTHER] * len(words)
