import numpy as np
import spacy
from numpy.testing import assert_allclose
from spacy.tokens import Doc
from thinc.api import Model, set_dropout_rate

from spacy_elmo.models.pool_words import build_pool_words_v1

from ..numeric import numeric

VOCAB = spacy.blank("en").vocab
WIDTH = 3


def doc_of(text):
    return Doc(VOCAB, words=text.split())


def vectors_of(docs, seed=0):
    random = np.random.default_rng(seed)
    return [random.normal(size=(len(doc), WIDTH)).astype("f") for doc in docs]


def make(vectors, gradients=None):
    def forward(model, docs, is_train):
        return vectors, gradients.extend if gradients is not None else None

    model = build_pool_words_v1(Model("vectors", forward, dims={"nO": WIDTH}))
    model.initialize()
    return model


def test_means_are_over_the_tokens_of_a_word_in_its_doc():
    docs = [doc_of("Laura saw the house and the House saw laura"), doc_of("Laura slept")]
    vectors = vectors_of(docs)
    model = make(vectors)
    found = model.predict(docs)
    assert model.get_dim("nO") == 2 * WIDTH
    for doc, mine, pooled in zip(docs, vectors, found):
        assert (pooled[:, :WIDTH] == mine).all()
        for token, mean in zip(doc, pooled[:, WIDTH:]):
            same = [other.i for other in doc if other.lower_ == token.lower_]
            assert_allclose(mean, mine[same].mean(axis=0), atol=1e-6)


def test_vectors_do_not_depend_on_the_batch():
    docs = [doc_of("a b a"), doc_of("b b c"), doc_of("")]
    vectors = vectors_of(docs)
    together = make(vectors).predict(docs)
    for doc, mine, found in zip(docs, vectors, together):
        assert_allclose(make([mine]).predict([doc])[0], found, atol=1e-6)


def test_the_gradient_equals_the_numerical_gradient():
    docs = [doc_of("a b a c"), doc_of(""), doc_of("a a b")]
    vectors, gradients = vectors_of(docs), []
    model = make(vectors, gradients)
    found, backprop = model(docs, is_train=True)
    random = np.random.default_rng(1)
    weights = [random.normal(size=output.shape).astype("f") for output in found]
    backprop(weights)

    for n, gradient in enumerate(gradients):

        def loss(moved, n=n):
            outputs = make([*vectors[:n], moved, *vectors[n + 1 :]]).predict(docs)
            return sum(float((output * weight).sum()) for output, weight in zip(outputs, weights))

        # a linear function, so any step will do
        assert_allclose(gradient, numeric(loss, vectors[n], step=0.5), atol=1e-4)


def test_dropout_is_applied_to_the_means_in_training_only():
    docs = [doc_of("a b c d e f g h a b c d")]
    vectors, gradients = vectors_of(docs), []
    model = make(vectors, gradients)
    set_dropout_rate(model, 0.5)
    found, backprop = model(docs, is_train=True)
    assert (found[0][:, :WIDTH] == vectors[0]).all()
    dropped = found[0][:, WIDTH:] == 0
    assert dropped.any() and not dropped.all()
    backprop([np.hstack([np.zeros_like(vectors[0]), dropped.astype("f")])])
    assert (gradients[0] == 0).all()
    assert (model.predict(docs)[0] != 0).all()


def test_no_docs_and_no_tokens():
    assert make([]).predict([]) == []
    assert make(vectors_of([doc_of("")])).predict([doc_of("")])[0].shape == (0, 2 * WIDTH)
