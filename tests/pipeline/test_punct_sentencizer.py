"""Sentence boundaries of `punct_sentencizer` agree with the biLM's segments."""

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.training import Example

from spacy_elmo.pipeline.punct_sentencizer import PunctSentencizer
from spacy_elmo.text.segments import PunctSegments

NLP = spacy.blank("en")
TOKENS = ["the", "Bank", ".", "!", "”", '"', ")", "\n", "\n\n", " ", "7"]


def sentences(doc):
    return [sent.text for sent in PunctSentencizer()(doc).sents]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("It rains. We go!", ["It rains.", "We go!"]),
        ("“Is it so?” he said. “No.”", ["“Is it so?” he said.", "“No.”"]),
        ("Mr. Darcy bowed.", ["Mr. Darcy bowed."]),
        ("A title\n\nthe text", ["A title\n\n", "the text"]),
        ("One line\nand another", ["One line\nand another"]),
        ("\n\n  The start. The end.\n", ["\n\n  The start.", "The end.\n"]),
        ("Yes.  \n\n  No.", ["Yes.  \n\n  ", "No."]),
        (" ", [" "]),
        ("", []),
    ],
)
def test_sentences_of_texts(text, expected):
    assert sentences(NLP(text)) == expected


def test_long_sentences_are_not_cut():
    assert len(sentences(Doc(NLP.vocab, words=["word"] * 1000))) == 1


@given(st.lists(st.sampled_from(TOKENS), max_size=30))
def test_each_sentence_starts_where_a_segment_has_its_first_word(words):
    doc = PunctSentencizer()(Doc(NLP.vocab, words=words))
    assert len(doc) == sum(map(len, doc.sents))
    bounds = [*PunctSegments()(doc).tolist(), len(doc)]
    segments = [doc[start:end] for start, end in zip(bounds, bounds[1:])]
    firsts = [next((t.i for t in segment if not t.is_space), None) for segment in segments]
    firsts = [first for first in firsts if first is not None]
    expected = [0, *firsts[1:]] if firsts else [0] * bool(words)
    assert [sent.start for sent in doc.sents] == expected


def test_boundaries_set_by_other_components_stay():
    words = "One . Two three . Four".split()
    doc = Doc(NLP.vocab, words=words, sent_starts=[True, None, False, True, None, None])
    assert sentences(doc) == ["One . Two", "three .", "Four"]
    assert [s.text for s in PunctSentencizer(overwrite=True)(doc).sents] == [
        *("One .", "Two three .", "Four")
    ]


def test_no_other_annotation_of_a_doc_changes():
    words = "Anna came . She left .".split()
    heads, deps = [1, 1, 1, 4, 4, 4], ["nsubj", "ROOT", "punct"] * 2
    doc = Doc(NLP.vocab, words=words, heads=heads, deps=deps, ents=["B-PER", *"OOOOO"])
    PunctSentencizer(overwrite=True)(doc)
    assert [token.head.i for token in doc] == heads and [token.dep_ for token in doc] == deps
    assert [ent.text for ent in doc.ents] == ["Anna"]
    assert [sent.text for sent in doc.sents] == ["Anna came .", "She left ."]


def test_in_a_pipeline(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("punct_sentencizer", config={"overwrite": True})
    nlp.initialize()
    assert not any(nlp.analyze_pipes()["problems"].values())
    nlp.to_disk(tmp_path / "pipeline")
    again = spacy.load(tmp_path / "pipeline")
    assert again.get_pipe("punct_sentencizer").overwrite
    docs = list(again.pipe(["One. Two.", "", "Three."], n_process=2))
    assert [[sent.text for sent in doc.sents] for doc in docs] == [["One.", "Two."], [], ["Three."]]


def test_score():
    nlp = spacy.blank("en")
    nlp.add_pipe("punct_sentencizer")
    words = "One . Two three . Four".split()
    gold = Doc(NLP.vocab, words=words, sent_starts=[True, False, True, False, False, False])
    scores = nlp.evaluate([Example(Doc(nlp.vocab, words=words), gold)])
    assert scores["sents_p"] == pytest.approx(1 / 3) and scores["sents_r"] == pytest.approx(1 / 2)
