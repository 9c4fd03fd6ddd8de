"""Layers that multiply by numpy's BLAS."""

import numpy as np
from numpy.testing import assert_allclose
from thinc.api import Linear, Maxout, NumpyOps, chain

from spacy_elmo.models.products import FAST, use_fast_products


def test_all_layers_multiply_faster_and_the_same():
    X = np.random.default_rng(0).normal(size=(7, 5)).astype("f")
    model = chain(Maxout(nO=4, nP=2), Linear(nO=3))
    model.initialize(X, np.zeros((7, 3), dtype="f"))
    expected, backprop = model.begin_update(X)
    d_expected = backprop(expected)
    assert use_fast_products(model) is model
    assert all(node.ops is FAST for node in model.walk())
    found, backprop = model.begin_update(X)
    assert_allclose(found, expected, atol=1e-5)
    assert_allclose(backprop(expected), d_expected, atol=1e-5)


def test_other_ops_stay():
    class OtherOps(NumpyOps):
        name = "other"

    model = Linear(nO=3, nI=2)
    model.ops = OtherOps()
    use_fast_products(model)
    assert type(model.ops) is OtherOps
