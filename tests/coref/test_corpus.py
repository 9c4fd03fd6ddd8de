"""Speakers and genres are passed from a corpus to the component, as in `spacy train`."""

import warnings

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Corpus
from thinc.api import Config

from spacy_elmo.coref.clusters import set_clusters

from .test_component import pipeline

CONFIG = """
[corpus]
@readers = "spacy-elmo.MetadataCorpus.v1"

[corpus.corpus]
@readers = "spacy.Corpus.v1"
path = null
gold_preproc = false
max_length = 0
limit = 0
augmenter = null
"""


def make_doc(nlp, words, speakers, genre, spaces=None):
    doc = Doc(nlp.vocab, words, spaces)
    doc.user_data["genre"] = genre
    doc.spans["speakers"] = [Span(doc, start, end, name) for start, end, name in speakers]
    set_clusters(doc, [[(0, 1)]], "coref_clusters")
    return doc


def corpus_of(path, *docs):
    DocBin(docs=docs, store_user_data=True).to_disk(path)
    config = Config().from_str(CONFIG, overrides={"corpus.corpus.path": str(path)})
    return spacy.registry.resolve(config)["corpus"]


def test_speakers_and_genre_are_copied_to_the_predicted_docs(tmp_path):
    nlp = spacy.blank("en")
    doc = make_doc(nlp, ["I", "see", "you", "too"], [(0, 2, "Ann"), (2, 4, "Bob")], "tc")
    (example,) = corpus_of(tmp_path / "a.spacy", doc)(nlp)
    found = [(span.text, span.label_) for span in example.predicted.spans["speakers"]]
    assert found == [("I see", "Ann"), ("you too", "Bob")]
    assert example.predicted.user_data["genre"] == "tc"
    assert set(example.predicted.spans) == {"speakers"}


def test_speakers_are_aligned_to_other_tokens(tmp_path):
    nlp = spacy.blank("en")
    doc = make_doc(
        nlp, ["Don't", "go", "!"], [(0, 2, "Ann"), (2, 3, "Bob")], "tc", [True, False, False]
    )
    (example,) = corpus_of(tmp_path / "a.spacy", doc)(nlp)
    assert [token.text for token in example.predicted] == ["Do", "n't", "go", "!"]
    found = [(span.text, span.label_) for span in example.predicted.spans["speakers"]]
    assert found == [("Don't go", "Ann"), ("!", "Bob")]


def test_docs_without_metadata_are_not_changed(tmp_path):
    nlp = spacy.blank("en")
    (example,) = corpus_of(tmp_path / "a.spacy", Doc(nlp.vocab, ["I"]))(nlp)
    assert not example.predicted.spans and not example.predicted.user_data


def test_missing_metadata_is_a_warning(tmp_path):
    nlp = pipeline(model={"use_speakers": True, "use_genres": True})
    doc = make_doc(nlp, ["I", "see"], [(0, 2, "Ann")], "tc")
    corpus = corpus_of(tmp_path / "a.spacy", doc)
    with pytest.warns(UserWarning, match="MetadataCorpus") as found:
        nlp.initialize(lambda: Corpus(tmp_path / "a.spacy")(nlp))
    assert [str(warning.message).split()[0] for warning in found] == ["use_speakers", "use_genres"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp.initialize(lambda: corpus(nlp))


def test_speakers_are_learned_from_a_corpus(tmp_path):
    # two mentions "I" of one speaker are one person; only the speaker distinguishes the documents
    nlp = pipeline(model={"use_speakers": True})
    docs = []
    for same in (True, False) * 3:
        words = ["I", "ran", ".", "I", "fell", "."]
        doc = Doc(nlp.vocab, words, sent_starts=[i % 3 == 0 for i in range(6)])
        doc.spans["speakers"] = [Span(doc, 0, 3, "A"), Span(doc, 3, 6, "A" if same else "B")]
        set_clusters(doc, [[(0, 1), (3, 4)]] if same else [[(0, 1)], [(3, 4)]], "coref_clusters")
        docs.append(doc)
    given = list(corpus_of(tmp_path / "a.spacy", *docs)(nlp))
    spacy.util.fix_random_seed(0)
    optimizer = nlp.initialize(lambda: given)
    optimizer.learn_rate = 0.01
    for _ in range(60):
        nlp.update(given, sgd=optimizer)
    scores = nlp.evaluate(given)
    assert scores["coref_conll_f"] == 1.0
