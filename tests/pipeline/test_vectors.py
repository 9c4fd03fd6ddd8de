"""spaCy's vector attributes come from the vectors that `elmo` stores."""

import warnings
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_elmo import similarity

from ..pipelines import pipeline


@pytest.fixture(scope="module")
def nlp():
    return pipeline()


def cosine(one, other):
    return (one @ other) / np.linalg.norm(one) / np.linalg.norm(other)


def test_token_span_and_doc_vectors_come_from_doc_tensor(nlp):
    doc = nlp("He went to the bank of the river.")
    assert_array_equal(doc[4].vector, doc.tensor[4])
    assert_allclose(doc[3:5].vector, doc.tensor[3:5].mean(axis=0), rtol=1e-5)
    assert_allclose(doc.vector, doc.tensor.mean(axis=0), rtol=1e-5)
    assert doc[4].has_vector and doc[3:5].has_vector and doc.has_vector
    assert_allclose(doc[4].vector_norm, np.linalg.norm(doc.tensor[4]), rtol=1e-5)


def test_similarity_is_the_cosine_of_the_vectors(nlp):
    doc, other = nlp("He went to the bank."), nlp("The river was green.")
    for one, two in ((doc[4], other[1]), (doc[1:3], other[0:2]), (doc, other), (doc[4], other)):
        assert_allclose(similarity(one, two), cosine(one.vector, two.vector), rtol=1e-4)


def spans_of(doc, start, end):
    """Return the Doc, one of its spans and one of its tokens."""
    return doc, doc[start:end], doc[start]


@pytest.mark.parametrize("kind", [0, 1, 2], ids=["Doc", "Span", "Token"])
def test_equal_words_in_two_contexts_are_not_the_same(nlp, kind):
    river, money = nlp("The bank of the river."), nlp("He took money to the bank!")
    one, other = spans_of(river, 1, 2)[kind], spans_of(money, 5, 6)[kind]
    assert similarity(one, other) < 0.999
    assert_allclose(similarity(one, other), cosine(one.vector, other.vector), rtol=1e-5)


def test_same_word_as_a_doc_and_in_a_context_is_not_the_same(nlp):
    alone, context = nlp("bank"), nlp("He took money to the bank!")
    assert_allclose(
        similarity(alone, context[5]), cosine(alone.vector, context[5].vector), rtol=1e-4
    )


def through_bytes(nlp, doc):
    return Doc(Vocab()).from_bytes(doc.to_bytes())


HISTORIES = {
    "annotated": lambda nlp, doc: doc,
    "copied": lambda nlp, doc: doc.copy(),
    "from bytes": through_bytes,
    "from bytes twice": lambda nlp, doc: through_bytes(nlp, through_bytes(nlp, doc)),
    "from a worker": lambda nlp, doc: next(nlp.pipe([doc.text], n_process=2)),
    "annotated twice": lambda nlp, doc: nlp(doc),
    "as_doc": lambda nlp, doc: doc[:].as_doc(),
    "from_docs": lambda nlp, doc: Doc.from_docs([doc], exclude=["user_data"]),
    "vectors were asked for before": lambda nlp, doc: (doc.vector_norm, doc[0:2].vector, doc)[2],
    "layers removed": lambda nlp, doc: (setattr(doc._, "elmo", None), doc)[1],
}


@pytest.mark.parametrize("history", HISTORIES)
def test_vectors_and_similarity_do_not_depend_on_the_history_of_a_doc(nlp, history):
    expected = nlp("The bank of the river."), nlp("He took money to the bank!")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # W109 would say that hooks are lost
        found = [HISTORIES[history](nlp, doc.copy()) for doc in expected]
    for doc, before in zip(found, expected):
        assert_allclose(doc.vector, before.vector, atol=1e-6)
        assert_allclose(doc[1].vector, before[1].vector, atol=1e-6)
        assert_allclose(doc[1:3].vector, before[1:3].vector, atol=1e-6)
        assert not doc.user_hooks and not doc.user_span_hooks and not doc.user_token_hooks
    pairs = zip(spans_of(found[0], 1, 2), spans_of(found[1], 5, 6))
    former = zip(spans_of(expected[0], 1, 2), spans_of(expected[1], 5, 6))
    for (one, other), (a, b) in zip(pairs, former):
        assert_allclose(similarity(one, other), similarity(a, b), rtol=1e-5)


def test_similarity_of_one_token(nlp):
    doc = nlp("The \n bank")
    assert_allclose(similarity(doc[2], doc[2]), 1.0, rtol=1e-6)
    assert doc[1].is_space and similarity(doc[1], doc[2]) == 0.0
    assert similarity(doc[0:0], doc[2]) == 0.0 == similarity(nlp(""), doc)


def test_most_similar_token_of_a_text(nlp):
    doc = nlp("The bank of the river was green .")
    assert max(doc, key=partial(similarity, doc[1])).i == 1


def test_similarity_uses_elmo_if_the_vocab_has_static_vectors(nlp):
    other = pipeline()
    other.vocab.set_vector("bank", np.ones(4, dtype="f"))
    texts = "The bank of the river.", "He took money to the bank!"
    found, expected = [other(text) for text in texts], [nlp(text) for text in texts]
    assert similarity(found[0][1], found[1][5]) == similarity(expected[0][1], expected[1][5])


def test_similarity_can_be_a_hook(nlp):
    doc = nlp("The bank of the bank")
    assert doc[1].similarity(doc[4]) == 1.0  # spaCy's rule for equally spelled words
    doc.user_token_hooks["similarity"] = similarity
    assert doc[1].similarity(doc[4]) == similarity(doc[1], doc[4]) < 0.999
    assert nlp(doc).user_token_hooks == {"similarity": similarity}


def test_similarity_without_vectors(nlp):
    doc = nlp("The bank")
    bare = pipeline(elmo={"store_tensor": False})("The bank")
    for other in (bare, bare[1], bare[0:1], nlp.make_doc("The bank")):
        with pytest.raises(ValueError, match="has 2 tokens, but doc.tensor.*store_tensor = true"):
            similarity(doc, other)
    with pytest.raises(ValueError, match="was given a Lexeme"):
        similarity(doc[1], nlp.vocab["bank"])
    bare.tensor = None  # as spaCy's doc_cleaner sets it
    with pytest.raises(ValueError, match="has 2 tokens, but doc.tensor has the shape"):
        similarity(doc, bare)
    bare.tensor = np.ones((2, 5), dtype="f")
    with pytest.raises(ValueError, match="widths 12 and 5"):
        similarity(doc, bare)


def test_vectors_that_spacy_has_cached_are_dropped(nlp):
    doc = nlp.make_doc("The bank of the river.")
    assert doc.vector_norm == 0 and not doc.vector.any()
    doc = nlp(doc)
    assert_allclose(doc.vector, doc.tensor.mean(axis=0), rtol=1e-5)
    assert_allclose(doc.vector_norm, np.linalg.norm(doc.vector), rtol=1e-5)
    nlp.get_pipe("elmo").mix = [-9e10, 0.0, -9e10]
    try:
        doc = nlp(doc)
    finally:
        nlp.get_pipe("elmo").mix = None
    assert_array_equal(doc.tensor, doc._.elmo[1])
    assert_allclose(doc.vector, doc.tensor.mean(axis=0), rtol=1e-5)


def test_a_doc_made_from_a_span_has_its_own_vectors(nlp):
    whole = nlp.make_doc("The bank of the river.")
    cut = nlp(whole[1:5].as_doc())
    assert_allclose(cut.vector, cut.tensor.mean(axis=0), rtol=1e-5)
    other = nlp("The river was green.")
    assert_allclose(similarity(cut, other), cosine(cut.vector, other.vector), rtol=1e-4)
    again = nlp(nlp(whole)[1:5].as_doc())
    assert_array_equal(again.vector, cut.vector)
