"""Docs in spaCy's memory zones, which forget the strings of new words."""

from numpy.testing import assert_allclose

from ..pipelines import pipeline


def test_words_of_a_zone_are_forgotten_and_vectors_stay_the_same():
    nlp = pipeline("tagger")
    n_strings = len(nlp.vocab.strings)
    found = []
    for n in range(3):
        with nlp.memory_zone():
            texts = [f"Ann saw Zone{n} .", "Bob likes Zweisimmen ."]
            docs = list(nlp.pipe(texts))
            found.append([(doc.tensor.copy(), doc[0].tag_) for doc in docs])
            del docs
        assert len(nlp.vocab.strings) == n_strings
    doc = nlp("Bob likes Zweisimmen .")
    for _, (vectors, tag) in found:
        assert_allclose(vectors, doc.tensor, atol=1e-6)
        assert tag == doc[0].tag_
