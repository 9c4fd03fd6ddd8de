"""Layers whose GEMMs are computed by numpy's BLAS."""

import subprocess
import sys

import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose
from thinc.api import Linear, Maxout, NumpyOps, chain

from spacy_elmo.models.blas_ops import BLAS, BlasOps, set_gemm, use_blas_gemm

from ..pipelines import pipeline


def test_all_layers_use_numpys_blas_with_the_same_results():
    X = np.random.default_rng(0).normal(size=(7, 5)).astype("f")
    model = chain(Maxout(nO=4, nP=2), Linear(nO=3))
    model.initialize(X, np.zeros((7, 3), dtype="f"))
    expected, backprop = model.begin_update(X)
    d_expected = backprop(expected)
    set_gemm(model, use_blas=True)
    assert all(node.ops is BLAS for node in model.walk())
    found, backprop = model.begin_update(X)
    assert_allclose(found, expected, atol=1e-5)
    assert_allclose(backprop(expected), d_expected, atol=1e-5)


def test_other_ops_are_left_unchanged():
    class OtherOps(NumpyOps):
        name = "other"

    model = Linear(nO=3, nI=2)
    model.ops = OtherOps()
    for use_blas in (True, False):
        set_gemm(model, use_blas)
        assert type(model.ops) is OtherOps


CODE = """
import multiprocessing
from thinc.api import Linear
from spacy_elmo.models.blas_ops import set_gemm

def uses_one_core(model):
    return model.ops.use_blis

if __name__ == "__main__":
    model = Linear(2, 2)
    set_gemm(model, use_blas=True)
    for method in multiprocessing.get_all_start_methods():
        with multiprocessing.get_context(method).Pool(1) as pool:
            assert pool.apply(uses_one_core, (model,)), method
    assert not uses_one_core(model)
"""


@pytest.mark.slow
def test_parallel_processes_use_one_core_each(tmp_path):
    (tmp_path / "run.py").write_text(CODE)
    command = [sys.executable, str(tmp_path / "run.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def ops_of(nlp):
    return {
        (name, node.name): type(node.ops)
        for name, pipe in nlp.components
        for node in pipe.model.walk()
    }


@pytest.mark.parametrize("action", ["add", "train", "remove", "replace", "save"])
def test_ops_of_other_components_change_only_where_asked(action, tmp_path):
    nlp = pipeline("tagger", "ner")
    if action == "remove":
        nlp.remove_pipe("elmo")
    elif action == "replace":
        nlp.replace_listeners("elmo", "ner", ["model.tok2vec"])
    elif action == "save":
        nlp.to_disk(tmp_path / "saved")
        nlp = spacy.load(tmp_path / "saved")
    assert BlasOps not in ops_of(nlp).values()


def test_a_callback_in_the_config_can_be_undone(tmp_path):
    nlp = pipeline("tagger", "ner")
    doc = nlp("Ann saw Rome .")
    callback = {"@callbacks": "spacy-elmo.use_blas_gemm.v1"}
    nlp.config["nlp"]["after_pipeline_creation"] = callback
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    assert set(ops_of(loaded).values()) == {BlasOps}
    assert_allclose(loaded("Ann saw Rome .").tensor, doc.tensor, atol=1e-6)
    assert use_blas_gemm(loaded, enabled=False) is loaded
    assert set(ops_of(loaded).values()) == {NumpyOps}
    off = {"nlp.after_pipeline_creation": None}
    assert BlasOps not in ops_of(spacy.load(tmp_path / "saved", config=off)).values()
