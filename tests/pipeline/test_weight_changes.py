"""Layers are those of the weights that the biLM has now, whoever changed them and how."""

import copy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from thinc.api import Adam

from ..pipelines import bilm_of, blank, examples, make_tiny_loader, pipeline
from ..samples import tiny_bilm


def first_weights(elmo):
    return next(param for param in bilm_of(elmo).parameters() if param.dim() == 3)


def load_state_dict(elmo, path):
    bilm_of(elmo).load_state_dict(tiny_bilm(1).state_dict())


def initialize(elmo, path):
    elmo.initialize(lambda: examples(blank()), loader=make_tiny_loader(1))


def multiply(elmo, path):
    with torch.no_grad():
        first_weights(elmo).mul_(1.5)


def multiply_data(elmo, path):
    first_weights(elmo).data.mul_(1.5)


def multiply_by_numpy(elmo, path):
    first_weights(elmo).detach().numpy()[...] *= 1.5


def replace_data(elmo, path):
    first_weights(elmo).data = first_weights(elmo).data * 1.5


def change_start_states(elmo, path):
    bilm = bilm_of(elmo)
    h, c = bilm.warm_start(["Why ?"])
    bilm.start_h.copy_(h)
    bilm.start_c.copy_(c)


def change_few_values(elmo, path):
    first_weights(elmo).data.view(-1)[1] += 5
    bilm_of(elmo).drop_caches()  # so few are not noticed


def from_bytes(elmo, path):
    elmo.from_bytes(other_elmo().to_bytes())


def from_disk(elmo, path):
    other_elmo().to_disk(path / "elmo")
    elmo.from_disk(path / "elmo")


def load_weights_of_the_shim(elmo, path):
    elmo.model.shims[0].from_bytes(other_elmo().model.shims[0].to_bytes())


def set_precision(elmo, path):
    change_setting(elmo, precision="bfloat16")


def set_start_state(elmo, path):
    change_setting(elmo, start_state="zero")


def train(elmo, path):
    elmo.frozen = False
    listener = elmo.listeners[0]
    for _ in range(2):
        batch = examples(blank())
        elmo.update(batch)
        mixed, backprop = listener.begin_update([example.predicted for example in batch])
        backprop([np.ones_like(rows) for rows in mixed])
        elmo.finish_update(Adam(0.1))
    elmo.frozen = True


def change_setting(elmo, **changes):
    settings = elmo.model.attrs["settings"]
    elmo.model.attrs["settings"] = type(settings)(**{**vars(settings), **changes})


def other_elmo():
    nlp = blank()
    elmo = nlp.get_pipe("elmo")
    elmo.initialize(lambda: examples(nlp), loader=make_tiny_loader(1))
    return elmo


CHANGES = [
    load_state_dict,
    initialize,
    multiply,
    multiply_data,
    multiply_by_numpy,
    replace_data,
    change_start_states,
    change_few_values,
    from_bytes,
    from_disk,
    load_weights_of_the_shim,
    set_precision,
    set_start_state,
    train,
]


def trained():
    nlp = pipeline("tagger")
    for _ in range(2):
        nlp.update(examples(nlp), sgd=False)
    docs = [example.predicted for example in examples(nlp)]
    return nlp, docs


@pytest.mark.parametrize("change", CHANGES, ids=[change.__name__ for change in CHANGES])
def test_no_layers_of_former_weights(tmp_path, change):
    nlp, docs = trained()
    elmo = nlp.get_pipe("elmo")
    before = elmo.predict(docs).layers.copy()
    change(elmo, tmp_path)
    expected = copy.deepcopy(elmo).predict(docs).layers  # copies have no caches
    assert abs(expected - before).max() > 1e-4
    assert_allclose(elmo.predict(docs).layers, expected, atol=1e-6)
    # the next training step, and a listener that finds no layers on the Docs
    nlp.update(examples(nlp), sgd=False, exclude=["tagger"])
    assert_allclose(elmo.listeners[0].pending.batch.layers, expected, atol=1e-6)
    mixed = elmo.listeners[0].predict([doc.copy() for doc in docs])
    assert_allclose(np.concatenate(mixed), expected.mean(axis=0), atol=1e-5)


def test_averages_are_used_for_a_while():
    nlp, docs = trained()
    elmo = nlp.get_pipe("elmo")
    shim, before = elmo.model.shims[0], elmo.predict(docs).layers.copy()
    averages = {
        (shim.id, name): (param * 1.5).numpy() for name, param in bilm_of(elmo).named_parameters()
    }
    with nlp.use_params(averages):
        found = elmo.predict(docs).layers.copy()
        assert_allclose(found, copy.deepcopy(elmo).predict(docs).layers, atol=1e-6)
    assert abs(found - before).max() > 0.01
    assert_allclose(elmo.predict(docs).layers, before, atol=1e-6)


def test_a_version_stays_until_the_weights_change():
    elmo = trained()[0].get_pipe("elmo")
    version = elmo.weights_version
    elmo.predict([])
    bilm_of(elmo).to("cpu")
    elmo.frozen = elmo.frozen
    assert elmo.weights_version == version
    multiply_data(elmo, None)
    assert elmo.weights_version > version
    assert pipeline().get_pipe("elmo").weights_version != elmo.weights_version


def texts(n, start=0):
    return [f"Text number {start + i} was served ." for i in range(n)]


def test_serving_after_a_training_stores_nothing():
    nlp, _ = trained()
    cache = nlp.get_pipe("elmo").output_cache
    stored = len(cache)
    assert stored == 4
    for start in (0, 20, 0):
        list(nlp.pipe(texts(20, start)))
    assert len(cache) == stored


def test_saving_does_not_end_a_training(tmp_path):
    nlp, docs = trained()
    cache = nlp.get_pipe("elmo").output_cache
    hits = cache.hits
    nlp.to_bytes()
    nlp.to_disk(tmp_path)
    nlp.get_pipe("elmo").predict(docs)
    assert cache.hits == hits + len(docs)


def test_development_docs_are_stored_when_they_come_again():
    nlp, _ = trained()
    cache = nlp.get_pipe("elmo").output_cache
    dev = texts(3)
    misses = []
    for _ in range(4):
        before = cache.misses
        list(nlp.pipe(dev))
        misses.append(cache.misses - before)
        nlp.update(examples(nlp), sgd=False)
    assert misses == [3, 3, 0, 0] and len(cache) == 4 + 3


def test_what_is_remembered_of_served_texts_is_bounded():
    nlp, _ = trained()
    cache = nlp.get_pipe("elmo").output_cache
    cache.max_bytes = 3 * 3 * 12 * 4 * 6  # three texts of six tokens
    for start in range(0, 100, 10):
        list(nlp.pipe(texts(10, start)))
    assert len(cache._seen) <= 3
