import numpy as np
import pytest
import spacy
from numpy.testing import assert_array_equal
from spacy.tokens import Doc
from thinc.api import Model, concatenate

from spacy_elmo.models.concatenate import concatenate_vectors

VOCAB = spacy.blank("en").vocab
WIDTHS = (3, 1, 4)


def docs_of(lengths):
    return [Doc(VOCAB, words=["a"] * length) for length in lengths]


def make(kind, gradients):
    """Concatenate layers that return random vectors and append their gradients to lists."""

    def layer(width, received):
        def forward(model, docs, is_train):
            random = np.random.default_rng(width)
            vectors = [random.normal(size=(len(doc), width)).astype("f") for doc in docs]

            def backprop(d_vectors):
                received.extend(d_vectors)
                return []

            return vectors, backprop

        return Model(f"vectors{width}", forward, dims={"nO": width})

    received = [[] for _ in WIDTHS]
    gradients.extend(received)
    model = kind(*map(layer, WIDTHS, received))
    model.initialize()
    return model


@pytest.mark.parametrize("lengths", [[5], [2, 0, 3], [0], [0, 0], [1, 1]])
def test_output_and_gradients_equal_those_of_thincs_concatenate(lengths):
    docs, mine, theirs = docs_of(lengths), [], []
    model, plain = make(concatenate_vectors, mine), make(concatenate, theirs)
    assert model.get_dim("nO") == sum(WIDTHS)
    assert [node.name for node in model.walk()] == [node.name for node in plain.walk()]
    (found, backprop), (expected, plain_backprop) = (m(docs, True) for m in (model, plain))
    random = np.random.default_rng(9)
    gradient = [random.normal(size=vectors.shape).astype("f") for vectors in expected]
    assert backprop(gradient) == plain_backprop(gradient) == []
    for one, other in zip((found, *mine), (expected, *theirs)):
        assert len(one) == len(other) == len(docs)
        for a, b in zip(one, other):
            assert a.dtype == np.float32 and a.flags.c_contiguous
            assert_array_equal(a, b)


def test_no_docs():
    model = make(concatenate_vectors, [])
    found, backprop = model([], True)
    assert found == [] and backprop([]) == []
