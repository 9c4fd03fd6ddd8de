"""spaCy's own vector attributes follow from what `elmo` writes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from .pipelines import pipeline


@pytest.fixture(scope="module")
def nlp():
    return pipeline()


def cosine(one, other):
    return (one @ other) / np.linalg.norm(one) / np.linalg.norm(other)


def test_token_span_and_doc_vectors_are_those_of_the_tensor(nlp):
    doc = nlp("He went to the bank of the river.")
    assert_array_equal(doc[4].vector, doc.tensor[4])
    assert_allclose(doc[3:5].vector, doc.tensor[3:5].mean(axis=0), rtol=1e-5)
    assert_allclose(doc.vector, doc.tensor.mean(axis=0), rtol=1e-5)
    assert doc[4].has_vector and doc[3:5].has_vector and doc.has_vector
    assert_allclose(doc[4].vector_norm, np.linalg.norm(doc.tensor[4]), rtol=1e-5)


def test_similarity_is_the_cosine_of_the_vectors(nlp):
    doc, other = nlp("He went to the bank."), nlp("The river was green.")
    for one, two in ((doc[4], other[1]), (doc[1:3], other[0:2]), (doc, other), (doc[4], other)):
        assert_allclose(one.similarity(two), cosine(one.vector, two.vector), rtol=1e-4)


def test_same_word_in_two_contexts_is_not_the_same(nlp):
    river, money = nlp("The bank of the river."), nlp("He took money to the bank!")
    one, other = river[1], money[5]
    assert one.text == other.text
    assert one.similarity(other) < 0.999
    assert_allclose(one.similarity(other), cosine(one.vector, other.vector), rtol=1e-5)


def test_same_words_as_spans_of_two_contexts_are_not_the_same(nlp):
    river, money = nlp("At the bank of the river."), nlp("He took money to the bank!")
    one, other = river[1:3], money[4:6]
    assert one.text == other.text
    assert one.similarity(other) < 0.999


def test_same_word_as_a_doc_and_in_a_context_is_not_the_same(nlp):
    alone, context = nlp("bank"), nlp("He took money to the bank!")
    assert_allclose(
        alone.similarity(context[5]), cosine(alone.vector, context[5].vector), rtol=1e-4
    )


def test_a_token_is_as_similar_as_can_be_to_itself(nlp):
    doc = nlp("The bank")
    assert_allclose(doc[1].similarity(doc[1]), 1.0, rtol=1e-5)


def test_similarity_with_whitespace_is_zero(nlp):
    doc = nlp("The \n bank")
    assert doc[1].is_space
    assert doc[1].similarity(doc[2]) == 0.0


def test_most_similar_token_of_a_text_can_be_looked_up(nlp):
    doc = nlp("The bank of the river was green .")
    best = max(doc, key=doc[1].similarity)
    assert best.i == 1


def test_no_hooks_without_a_tensor():
    doc = pipeline(elmo={"store_tensor": False})("The bank")
    assert not doc.user_token_hooks and not doc.user_span_hooks and not doc.user_hooks


def test_hook_of_the_user_is_kept(nlp):
    doc = nlp.make_doc("He went to the bank.")
    doc.user_token_hooks["similarity"] = lambda one, other: 42.0
    assert nlp(doc)[1].similarity(doc[2]) == 42.0


def test_vectors_that_spacy_has_kept_are_forgotten(nlp):
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


def test_a_doc_that_was_cut_out_has_vectors_of_its_own(nlp):
    whole = nlp.make_doc("The bank of the river.")
    part = nlp(whole[1:5].as_doc())
    assert_allclose(part.vector, part.tensor.mean(axis=0), rtol=1e-5)
    other = nlp("The river was green.")
    assert_allclose(part.similarity(other), cosine(part.vector, other.vector), rtol=1e-4)
    # the one that it was cut out of is as it was
    assert not whole.user_hooks and not whole.user_span_hooks and not whole.user_token_hooks
    again = nlp(nlp(whole)[1:5].as_doc())
    assert_array_equal(again.vector, part.vector)
