"""A layer that is applied in chunks of rows at inference."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from thinc.api import Maxout, Model, chain, fix_random_seed

from spacy_elmo.models import chunked
from spacy_elmo.models.chunked import chunked_predict


def rows(n):
    return np.random.default_rng(0).normal(size=(n, 5)).astype("f")


@pytest.fixture
def layers(monkeypatch):
    monkeypatch.setattr(chunked, "CHUNK_ROWS", 4)
    fix_random_seed(0)
    layer = Maxout(nO=3, nI=5, nP=2, normalize=True, dropout=0.0)
    in_chunks = chunked_predict(layer)
    in_chunks.initialize(rows(2))
    return layer, in_chunks


@pytest.mark.parametrize("n", [0, 1, 4, 5, 8, 11])
def test_chunks_do_not_change_the_output(layers, n):
    layer, in_chunks = layers
    assert_allclose(in_chunks.predict(rows(n)), layer.predict(rows(n)), atol=1e-6)


def test_the_layer_never_gets_more_rows_than_a_chunk(layers):
    layer, _ = layers
    seen = []

    def record(model, X, is_train):
        seen.append(len(X))
        return X, lambda d_output: d_output

    chunked_predict(chain(layer, Model("record", record))).predict(rows(11))
    assert seen == [4, 4, 3]


def test_training_applies_the_layer_to_all_rows_at_once(layers):
    layer, in_chunks = layers
    output, backprop = in_chunks.begin_update(rows(11))
    expected, backprop_plain = layer.begin_update(rows(11))
    assert_allclose(output, expected, atol=1e-6)
    assert_allclose(backprop(output), backprop_plain(expected), atol=1e-6)


def test_there_is_no_backward_pass_outside_of_training(layers):
    _, in_chunks = layers
    output, backprop = in_chunks(rows(11), is_train=False)
    with pytest.raises(ValueError, match="no backward pass.*Call begin_update"):
        backprop(output)
