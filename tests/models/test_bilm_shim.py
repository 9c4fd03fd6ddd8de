import numpy as np
import pytest
import torch
from thinc.api import Adam, NumpyOps

from spacy_elmo.models.bilm_shim import BiLMShim, find_device

from ..pipelines import bilm_of, blank, examples, pipeline, weights_of
from ..samples import tiny_bilm

needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")


def make_shim():
    shim = BiLMShim()
    shim.set_bilm(tiny_bilm(), NumpyOps())
    return shim


def test_a_copy_has_an_id_and_weights_of_its_own():
    shim = make_shim()
    copied = shim.copy()
    assert copied.id != shim.id
    before = shim.bilm.start_h.clone()
    copied.bilm.start_h.zero_()
    assert torch.equal(shim.bilm.start_h, before)


def test_a_copied_model_has_a_shim_of_another_id():
    model = pipeline().get_pipe("elmo").model
    assert model.copy().shims[0].id != model.shims[0].id


def test_bytes_before_there_are_weights():
    assert BiLMShim().to_bytes() == b""
    assert not BiLMShim().from_bytes(b"").loaded


def test_bytes_keep_all_weights_and_the_start_states():
    shim = make_shim()
    other = BiLMShim().from_bytes(shim.to_bytes())
    state = shim.bilm.state_dict()
    assert "start_h" in state
    for name, values in other.bilm.state_dict().items():
        assert torch.equal(values, state[name])


def test_no_weights_is_a_clear_error():
    with pytest.raises(ValueError, match="no weights yet.*nlp.initialize"):
        BiLMShim().bilm  # noqa: B018


def test_finish_update_skips_weights_without_a_gradient():
    shim = make_shim()
    before = {name: param.clone() for name, param in shim.bilm.named_parameters()}
    shim.finish_update(Adam(0.1))
    shim.bilm.requires_grad_(True)
    shim.bilm.layers[0].bias.grad = torch.ones_like(shim.bilm.layers[0].bias)
    shim.finish_update(Adam(0.1))
    moved = [n for n, p in shim.bilm.named_parameters() if not torch.equal(p, before[n])]
    assert moved == ["layers.0.bias"]
    assert shim.bilm.layers[0].bias.grad is None


def test_word_vectors_are_forgotten_when_weights_move():
    shim = make_shim()
    with torch.no_grad():
        shim.bilm.tokens(["a"])
    shim.bilm.tokens.projection.weight.grad = torch.ones(6, 18)
    shim.finish_update(Adam(0.1))
    assert len(shim.bilm.tokens.cache) == 0


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
    np.testing.assert_allclose(elmo.predict([doc]).layers, vectors, atol=1e-6)


def test_averages_of_a_biLM_that_was_frozen_meanwhile_are_not_mixed_with_cached_layers():
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
        np.testing.assert_allclose(averaged, elmo.model.predict(docs).layers, atol=1e-6)
    assert abs(averaged - trained).max() > 1e-4
    np.testing.assert_allclose(elmo.predict(docs).layers, trained, atol=1e-6)


def test_gradients_left_from_before_freezing_are_not_applied_later():
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


@needs_no_gpu
def test_a_gpu_that_is_not_there():
    with pytest.raises(ValueError, match="finds 0 GPUs here.*components.elmo.model.device"):
        find_device("cuda:0", NumpyOps())
    nlp = blank(elmo={"model": {"device": "cuda:0"}})
    with pytest.raises(ValueError, match="finds 0 GPUs here"):
        nlp.initialize()


def test_a_device_that_torch_does_not_know():
    with pytest.raises(ValueError, match="'toaster' is not a torch device"):
        find_device("toaster", NumpyOps())


def test_without_a_device_the_model_follows_the_ops():
    assert find_device(None, NumpyOps()) == torch.device("cpu")
