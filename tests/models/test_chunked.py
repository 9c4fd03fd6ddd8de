"""A layer that runs over some rows at a time."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from thinc.api import Maxout, Model, chain, fix_random_seed

from spacy_elmo.models import chunked as blocks
from spacy_elmo.models.chunked import in_blocks


def rows(n):
    return np.random.default_rng(0).normal(size=(n, 5)).astype("f")


@pytest.fixture
def layers(monkeypatch):
    monkeypatch.setattr(blocks, "ROWS", 4)
    fix_random_seed(0)
    layer = Maxout(nO=3, nI=5, nP=2, normalize=True, dropout=0.0)
    blocked = in_blocks(layer)
    blocked.initialize(rows(2))
    return layer, blocked


@pytest.mark.parametrize("n", [0, 1, 4, 5, 8, 11])
def test_blocks_change_nothing(layers, n):
    layer, blocked = layers
    assert_allclose(blocked.predict(rows(n)), layer.predict(rows(n)), atol=1e-6)


def test_no_part_is_larger_than_a_block(layers):
    layer, _ = layers
    seen = []

    def record(model, X, is_train):
        seen.append(len(X))
        return X, lambda d_output: d_output

    in_blocks(chain(layer, Model("record", record))).predict(rows(11))
    assert seen == [4, 4, 3]


def test_training_sees_all_rows_at_once(layers):
    layer, blocked = layers
    output, backprop = blocked.begin_update(rows(11))
    expected, backprop_plain = layer.begin_update(rows(11))
    assert_allclose(output, expected, atol=1e-6)
    assert_allclose(backprop(output), backprop_plain(expected), atol=1e-6)
