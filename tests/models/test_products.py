"""Layers that multiply by numpy's BLAS."""

import subprocess
import sys

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


CODE = """
import multiprocessing
from thinc.api import Linear
from spacy_elmo.models.products import use_fast_products

def uses_one_core(model):
    return model.ops.use_blis

if __name__ == "__main__":
    model = use_fast_products(Linear(2, 2))
    for method in multiprocessing.get_all_start_methods():
        with multiprocessing.get_context(method).Pool(1) as pool:
            assert pool.apply(uses_one_core, (model,)), method
    assert not uses_one_core(model)
"""


def test_processes_side_by_side_use_one_core_each(tmp_path):
    (tmp_path / "run.py").write_text(CODE)
    command = [sys.executable, str(tmp_path / "run.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
