"""The shim of the biLM: caches, averages and frozen weights."""

import torch
from numpy.testing import assert_allclose
from thinc.api import Adam, NumpyOps

from spacy_elmo.models.bilm_shim import BiLMShim

from ..pipelines import bilm_of, examples, pipeline, weights_of
from ..samples import tiny_bilm


def make_shim():
    shim = BiLMShim()
    shim.set_module(tiny_bilm(), NumpyOps())
    return shim


def test_a_copied_model_has_a_shim_with_its_own_id():
    model = pipeline().get_pipe("elmo").model
    assert model.copy().shims[0].id != model.shims[0].id


def test_bytes_keep_the_start_states():
    shim = make_shim()
    assert shim.module.start_h.any()
    assert torch.equal(BiLMShim().from_bytes(shim.to_bytes()).module.start_h, shim.module.start_h)


def test_word_vectors_are_dropped_when_weights_change():
    shim = make_shim()
    with torch.no_grad():
        shim.module.tokens(["a"])
    shim.module.tokens.projection.weight.grad = torch.ones(6, 18)
    shim.finish_update(Adam(0.1))
    assert len(shim.module.tokens.cache) == 0


def test_averages_reach_the_bilm():
    nlp = pipeline("tagger", elmo={"frozen": False})
    optimizer = Adam(0.01, use_averages=True)
    for _ in range(3):
        nlp.update(examples(nlp), sgd=False)
        for _, pipe in nlp.pipeline:
            pipe.finish_update(optimizer)
    elmo = nlp.get_pipe("elmo")
    shim = elmo.model.shims[0]
    last = weights_of(elmo)
    doc = nlp.make_doc("Ann saw Rome .")
    vectors = elmo.predict([doc]).layers
    with nlp.use_params(optimizer.averages):
        averaged = weights_of(elmo)
        for name in averaged:
            expected = torch.from_numpy(optimizer.averages[(shim.id, name)])
            assert torch.equal(averaged[name], expected)
        assert any(not torch.equal(averaged[name], last[name]) for name in last)
        assert abs(elmo.predict([doc]).layers - vectors).max() > 1e-4
    restored = weights_of(elmo)
    assert all(torch.equal(restored[name], last[name]) for name in last)
    assert_allclose(elmo.predict([doc]).layers, vectors, atol=1e-6)


def test_averages_of_a_bilm_that_was_frozen_in_training_are_not_mixed_with_cached_layers():
    nlp = pipeline("tagger", elmo={"frozen": False})
    elmo = nlp.get_pipe("elmo")
    optimizer = Adam(0.01, use_averages=True)
    for frozen in (False, False, True):
        elmo.frozen = frozen
        nlp.update(examples(nlp), sgd=False)
        for _, pipe in nlp.pipeline:
            pipe.finish_update(optimizer)
    docs = [example.predicted for example in examples(nlp)]
    trained = elmo.predict(docs).layers
    with nlp.use_params(optimizer.averages):
        averaged = elmo.predict(docs).layers
        assert_allclose(averaged, elmo.model.predict(docs).layers, atol=1e-6)
    assert abs(averaged - trained).max() > 1e-4
    assert_allclose(elmo.predict(docs).layers, trained, atol=1e-6)


def test_gradients_from_before_freezing_are_not_applied_later():
    nlp = pipeline("tagger", elmo={"frozen": False})
    elmo = nlp.get_pipe("elmo")
    nlp.update(examples(nlp), sgd=False)
    elmo.frozen = True
    nlp.update(examples(nlp), sgd=False)
    elmo.frozen = False
    found = []
    elmo.predict([nlp.make_doc("Ann")])
    elmo.finish_update(lambda key, weights, gradient: found.append(key) or (weights, gradient))
    assert found == []
    assert all(param.grad is None for param in bilm_of(elmo).parameters())
