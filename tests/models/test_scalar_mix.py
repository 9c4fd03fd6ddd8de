import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from thinc.api import Model, get_current_ops, set_dropout_rate

from spacy_elmo.models.layer_batch import LayerBatch
from spacy_elmo.models.scalar_mix import ScalarMix, fixed_mix

from ..numeric import numeric

LENGTHS = [3, 0, 2]
WIDTH = 4


def make_batch(*, wants_gradient=True, n_layers=3, seed=0):
    layers = np.random.default_rng(seed).normal(size=(n_layers, sum(LENGTHS), WIDTH)).astype("f")
    return LayerBatch(layers, LENGTHS, np.zeros_like(layers) if wants_gradient else None)


def make_mix(*, w=(0.3, -0.5, 0.9), gamma=1.7, **settings):
    mix = ScalarMix(WIDTH, 3, **settings)
    if "w" in mix.param_names:
        mix.set_param("w", np.array(w, dtype="f"))
    if "gamma" in mix.param_names:
        mix.set_param("gamma", np.array([gamma], dtype="f"))
    return mix


def softmax(w):
    exp = np.exp(np.asarray(w, dtype=np.float64))
    return exp / exp.sum()


def plain_mix(layers, w, gamma, layer_norm=False):
    """Compute the mix from its formula in float64."""
    layers = layers.astype(np.float64)
    if layer_norm:
        mean = layers.mean(axis=2, keepdims=True)
        layers = (layers - mean) / np.sqrt(layers.var(axis=2, keepdims=True) + 1e-12)
    return gamma * np.einsum("l,ltd->td", softmax(w), layers)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_values(layer_norm):
    batch = make_batch()
    mixed = make_mix(layer_norm=layer_norm).predict(batch)
    assert [len(rows) for rows in mixed] == LENGTHS
    expected = plain_mix(batch.layers, (0.3, -0.5, 0.9), 1.7, layer_norm)
    assert_allclose(np.concatenate(mixed), expected, atol=1e-6)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_gradients_equal_numeric_ones(layer_norm):
    batch = make_batch()
    mix = make_mix(layer_norm=layer_norm, l2=0.1)
    d_mixed = np.random.default_rng(1).normal(size=(sum(LENGTHS), WIDTH)).astype("f")
    mixed, backprop = mix.begin_update(batch)
    backprop([d_mixed[:3], d_mixed[3:3], d_mixed[3:]])
    w, gamma = np.array([0.3, -0.5, 0.9]), np.array([1.7])
    layers = batch.layers.astype(np.float64)

    def loss(w, gamma, layers):
        total = (plain_mix(layers, w, gamma[0], layer_norm) * d_mixed).sum()
        return total + 0.1 * (w**2).sum()

    assert_allclose(mix.get_grad("w"), numeric(lambda x: loss(x, gamma, layers), w), atol=1e-4)
    expected = numeric(lambda x: loss(w, x, layers), gamma)
    assert_allclose(mix.get_grad("gamma"), expected, atol=1e-4)
    expected = numeric(lambda x: loss(w, gamma, x), layers)
    assert_allclose(batch.d_layers, expected, atol=1e-4)


def test_gradients_of_several_mixes_add_up_in_one_buffer():
    batch, d_mixed = make_batch(), np.ones((sum(LENGTHS), WIDTH), dtype="f")
    d_rows = [d_mixed[:3], d_mixed[3:3], d_mixed[3:]]
    make_mix().begin_update(batch)[1](d_rows)
    once = batch.d_layers.copy()
    make_mix().begin_update(batch)[1](d_rows)
    assert_allclose(batch.d_layers, 2 * once)


def test_layers_that_need_no_gradient_get_no_buffer():
    batch = make_batch(wants_gradient=False)
    mix = make_mix()
    mixed, backprop = mix.begin_update(batch)
    backprop(mixed)
    assert batch.d_layers is None
    assert mix.has_grad("w") and mix.has_grad("gamma")


def test_penalty_applies_to_the_raw_weights_and_not_to_gamma():
    batch = make_batch()
    zeros = [np.zeros((n, WIDTH), dtype="f") for n in LENGTHS]
    mix = make_mix(l2=0.5)
    mix.begin_update(batch)[1](zeros)
    assert_allclose(mix.get_grad("w"), [0.3, -0.5, 0.9])
    assert_array_equal(mix.get_grad("gamma"), [0.0])


def test_equal_weights_at_the_start():
    mix = ScalarMix(WIDTH, 3)
    assert_array_equal(mix.get_param("w"), [0, 0, 0])
    assert_array_equal(mix.get_param("gamma"), [1])
    batch = make_batch()
    assert_allclose(np.concatenate(mix.predict(batch)), batch.layers.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("w, gamma", [((0.1, 0.3, 0.5), 1.1), ((0.2, 0.4, 0.6), 0.88)])
def test_values_of_the_original_test(w, gamma):
    batch = make_batch()
    mixed = np.concatenate(make_mix(w=w, gamma=gamma).predict(batch))
    s = [np.exp(x) / sum(np.exp(y) for y in w) for x in w]
    expected = gamma * sum(weight * layer for weight, layer in zip(s, batch.layers))
    assert_allclose(mixed, expected, atol=1e-6)


def test_a_constant_added_to_all_weights_changes_nothing():
    batch = make_batch()
    shifted = make_mix(w=(0.3 + 1 / 3, -0.5 + 1 / 3, 0.9 + 1 / 3)).predict(batch)
    for one, other in zip(make_mix().predict(batch), shifted):
        assert_allclose(one, other, atol=1e-6)


def test_top_only():
    batch = make_batch()
    mix = make_mix(top_only=True)
    assert mix.param_names == ("gamma",)
    mixed, backprop = mix.begin_update(batch)
    assert_allclose(np.concatenate(mixed), 1.7 * batch.layers[2], atol=1e-6)
    backprop([np.ones((n, WIDTH), dtype="f") for n in LENGTHS])
    assert_allclose(mix.get_grad("gamma"), [batch.layers[2].sum()], rtol=1e-5)
    assert_array_equal(batch.d_layers[:2], np.zeros((2, sum(LENGTHS), WIDTH)))
    assert_allclose(batch.d_layers[2], np.full((sum(LENGTHS), WIDTH), 1.7, dtype="f"))


def test_fixed_weights_are_not_trained_but_propagate_gradients():
    batch = make_batch()
    mix = make_mix(weights=[1.0, 2.0, 3.0])
    assert mix.param_names == ()
    mixed, backprop = mix.begin_update(batch)
    assert_allclose(np.concatenate(mixed), plain_mix(batch.layers, (1, 2, 3), 1.0), atol=1e-6)
    backprop([np.ones((n, WIDTH), dtype="f") for n in LENGTHS])
    assert_allclose(batch.d_layers[:, 0, 0], softmax((1, 2, 3)), rtol=1e-6)
    assert mix.grad_names == ()


def test_a_very_low_weight_excludes_a_layer():
    batch = make_batch()
    mixed = np.concatenate(make_mix(weights=[-9e10, 1.0, -9e10]).predict(batch))
    assert_array_equal(mixed, batch.layers[1])


def test_wrong_settings():
    with pytest.raises(ValueError, match="2 numbers.*3 layers"):
        ScalarMix(WIDTH, 3, weights=[0.0, 1.0])
    with pytest.raises(ValueError, match="mutually exclusive"):
        ScalarMix(WIDTH, 3, weights=[0.0, 1.0, 2.0], top_only=True)


def test_dropout_in_training_only():
    batch = make_batch()
    mix = make_mix(dropout=0.5)
    expected = np.concatenate(make_mix().predict(batch))
    assert_array_equal(np.concatenate(mix.predict(batch)), expected)
    mixed, backprop = mix.begin_update(batch)
    dropped = np.concatenate(mixed)
    retained = dropped != 0
    assert 0 < retained.sum() < retained.size
    assert_allclose(dropped[retained], 2 * expected[retained], rtol=1e-5)
    backprop([np.ones((n, WIDTH), dtype="f") for n in LENGTHS])
    s = softmax((0.3, -0.5, 0.9))
    assert_allclose(batch.d_layers, 1.7 * s[:, None, None] * 2 * retained[None], rtol=1e-5)


def test_training_setting_does_not_change_the_dropout():
    batch = make_batch()
    plain, half = make_mix(), make_mix(dropout=0.5)
    set_dropout_rate(plain, 0.9)
    set_dropout_rate(half, 0.0)
    assert (np.concatenate(plain.begin_update(batch)[0]) != 0).all()
    assert (np.concatenate(half.begin_update(batch)[0]) == 0).any()


def test_no_docs_and_no_tokens():
    for lengths in ([], [0, 0]):
        layers = np.zeros((3, 0, WIDTH), dtype="f")
        batch = LayerBatch(layers, lengths, layers.copy())
        mixed, backprop = make_mix(layer_norm=True).begin_update(batch)
        assert [rows.shape for rows in mixed] == [(0, WIDTH)] * len(lengths)
        backprop(mixed)


def test_outputs_are_float32_and_contiguous():
    for rows in make_mix(layer_norm=True).predict(make_batch()):
        assert rows.dtype == np.float32 and rows.flags.c_contiguous


def test_layer_norm_of_a_token_does_not_depend_on_the_others():
    batch = make_batch()
    mix = make_mix(layer_norm=True)
    alone = mix.predict(LayerBatch(batch.layers[:, :1], [1]))
    assert_allclose(alone[0], np.concatenate(mix.predict(batch))[:1], atol=1e-6)


def test_layer_norm_of_a_zero_vector_is_zero():
    batch = LayerBatch(np.zeros((3, 1, WIDTH), dtype="f"), [1], np.zeros((3, 1, WIDTH), dtype="f"))
    mixed, backprop = make_mix(layer_norm=True).begin_update(batch)
    assert_array_equal(mixed[0], np.zeros((1, WIDTH)))
    backprop(mixed)
    assert np.isfinite(batch.d_layers).all()


def test_parameters_survive_bytes():
    mix = make_mix()
    other = ScalarMix(WIDTH, 3).from_bytes(mix.to_bytes())
    assert_array_equal(other.get_param("w"), mix.get_param("w"))
    assert_array_equal(other.get_param("gamma"), mix.get_param("gamma"))
    assert isinstance(other, Model)


def test_fixed_mix():
    assert_allclose(fixed_mix(get_current_ops(), 4), [0.25] * 4)
    assert_allclose(fixed_mix(get_current_ops(), 3, [1, 2, 3]), softmax((1, 2, 3)), rtol=1e-6)
