import numpy as np
import pytest
import spacy
from numpy.testing import assert_array_equal
from spacy.tokens import Doc
from thinc.api import Model, concatenate

from spacy_elmo.models.concatenate import side_by_side

VOCAB = spacy.blank("en").vocab
WIDTHS = (3, 1, 4)


def docs_of(lengths):
    return [Doc(VOCAB, words=["a"] * length) for length in lengths]


def make(kind, gradients):
    """Models that make random vectors and keep the gradients that they get."""

    def layer(width, kept):
        def forward(model, docs, is_train):
            random = np.random.default_rng(width)
            parts = [random.normal(size=(len(doc), width)).astype("f") for doc in docs]

            def backprop(d_parts):
                kept.extend(d_parts)
                return []

            return parts, backprop

        return Model(f"vectors{width}", forward, dims={"nO": width})

    kept = [[] for _ in WIDTHS]
    gradients.extend(kept)
    model = kind(*map(layer, WIDTHS, kept))
    model.initialize()
    return model


@pytest.mark.parametrize("lengths", [[5], [2, 0, 3], [0], [0, 0], [1, 1]])
def test_as_thincs_concatenate(lengths):
    docs, mine, theirs = docs_of(lengths), [], []
    model, plain = make(side_by_side, mine), make(concatenate, theirs)
    assert model.get_dim("nO") == sum(WIDTHS)
    assert [node.name for node in model.walk()] == [node.name for node in plain.walk()]
    (found, backprop), (expected, plain_backprop) = (m(docs, True) for m in (model, plain))
    random = np.random.default_rng(9)
    gradient = [random.normal(size=part.shape).astype("f") for part in expected]
    assert backprop(gradient) == plain_backprop(gradient) == []
    for one, other in zip((found, *mine), (expected, *theirs)):
        assert len(one) == len(other) == len(docs)
        for a, b in zip(one, other):
            assert a.dtype == np.float32 and a.flags.c_contiguous
            assert_array_equal(a, b)


def test_no_docs():
    model = make(side_by_side, [])
    found, backprop = model([], True)
    assert found == [] and backprop([]) == []
