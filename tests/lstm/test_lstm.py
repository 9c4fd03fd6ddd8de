import pytest
import torch
from torch import Tensor

from spacy_elmo.bilm import BiLM, WordBatch
from spacy_elmo.bilm.layers import make_layer
from spacy_elmo.lstm import recurrence
from spacy_elmo.lstm.backward import lstm_function
from spacy_elmo.lstm.cell import Bounds
from spacy_elmo.lstm.lstm import LSTMLayer

from ..bilm import plain
from ..samples import SENTENCES, tiny_bilm, tiny_options

RAGGED = [4, 4, 3, 1, 1]
VARIANTS = {
    "usual": {},
    "no clips": {"cell_clip": None, "proj_clip": None},
    "tight clips": {"cell_clip": 0.4, "proj_clip": 0.3},
    "no projection": {"hidden_dim": 6, "projection_dim": 6, "state_projection": False},
    "one direction": {"bidirectional": False},
}


def random_layer(seed: int = 0, **changes) -> LSTMLayer:
    torch.manual_seed(seed)
    layer = make_layer(tiny_options(**changes)).double()
    with torch.no_grad():
        for param in layer.parameters():
            param.normal_(0, 0.8)
    return layer


def inputs(layer: LSTMLayer, active):
    torch.manual_seed(1)
    n, _, dim = layer.input_weight.shape
    x = torch.randn(n, sum(active), dim, dtype=torch.float64)
    h = torch.randn(n, active[0], dim, dtype=torch.float64)
    c = torch.randn(n, active[0], layer.hidden_dim, dtype=torch.float64)
    return x, h, c


def weights(layer: LSTMLayer):
    bias = layer.bias.clone()
    bias[:, layer.hidden_dim : 2 * layer.hidden_dim] += 1
    return layer.input_weight, layer.state_weight, bias, layer.projection


@pytest.mark.parametrize("active", [RAGGED, [1], [3, 3], [1, 1, 1, 1]], ids=str)
@pytest.mark.parametrize("variant", VARIANTS)
def test_layer_equals_a_plain_loop(variant, active):
    layer = random_layer(**VARIANTS[variant])
    x, h, c = inputs(layer, active)
    expected = plain.packed_layer(x, h, c, weights(layer), active, layer.bounds)
    with torch.no_grad():
        found = layer(x, active, h, c)
    for one, other in zip(found, expected):
        torch.testing.assert_close(one, other)


def test_start_states_are_left_unchanged():
    layer = random_layer()
    x, h, c = inputs(layer, RAGGED)
    before = h.clone(), c.clone()
    with torch.no_grad():
        layer(x, RAGGED, h, c)
    layer(x, RAGGED, h, c)
    assert torch.equal(h, before[0]) and torch.equal(c, before[1])


def test_clips_are_active_with_tight_bounds():
    layer = random_layer(**VARIANTS["tight clips"])
    x, h, c = inputs(layer, RAGGED)
    with torch.no_grad():
        outputs, h, c = layer(x, RAGGED, h, c)
    assert outputs.abs().max() == 0.3 and (outputs.abs() == 0.3).sum() > 10
    assert c.abs().max() == 0.4


def test_states_of_a_sequence_are_the_states_after_its_last_step():
    layer = random_layer()
    x, h, c = inputs(layer, [2, 1])
    with torch.no_grad():
        outputs, end_h, _ = layer(x, [2, 1], h, c)
    torch.testing.assert_close(end_h[:, 1], outputs[:, 1])
    torch.testing.assert_close(end_h[:, 0], outputs[:, 2])


def test_result_does_not_depend_on_the_chunks(monkeypatch):
    layer = random_layer()
    x, h, c = inputs(layer, RAGGED)
    with torch.no_grad():
        expected = layer(x, RAGGED, h, c)
        for rows in (1, 5, 8):
            monkeypatch.setattr(recurrence, "GATE_ROWS", rows)
            for one, other in zip(layer(x, RAGGED, h, c), expected):
                torch.testing.assert_close(one, other)


def test_training_gives_the_outputs_of_prediction():
    layer = random_layer()
    x, h, c = inputs(layer, RAGGED)
    found = layer(x, RAGGED, h, c)
    with torch.no_grad():
        expected = layer(x, RAGGED, h, c)
    for one, other in zip(found, expected):
        torch.testing.assert_close(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_backward_pass_passes_gradcheck(variant):
    sizes = {"hidden_dim": 3, "projection_dim": 2, **VARIANTS[variant]}
    layer = random_layer(**sizes)
    active = [3, 2, 2, 1]
    variables = [
        tensor.detach().clone() for tensor in (*inputs(layer, active), *weights(layer)[:3])
    ]
    if layer.projection is not None:
        variables.append(layer.projection.detach().clone())
    for tensor in variables:
        tensor.requires_grad_(True)

    def run(*tensors: Tensor):
        projection = tensors[6] if len(tensors) > 6 else None
        return lstm_function(*tensors[:6], projection, active, layer.bounds, torch.float64)

    assert torch.autograd.gradcheck(run, variables, eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_backward_pass_equals_autograd_through_a_plain_loop(variant):
    layer = random_layer(**VARIANTS[variant])
    x, h, c = inputs(layer, RAGGED)
    for tensor in (x, h, c):
        tensor.requires_grad_(True)
    variables = [x, h, c, *layer.parameters()]
    found = layer(x, RAGGED, h, c)
    expected = plain.packed_layer(x, h, c, weights(layer), RAGGED, layer.bounds)
    factors = [torch.randn_like(tensor) for tensor in found]

    def gradients(outputs):
        total = sum((output * factor).sum() for output, factor in zip(outputs, factors))
        return torch.autograd.grad(total, variables)

    for one, other in zip(gradients(found), gradients(expected)):
        torch.testing.assert_close(one, other)


WHOLE = {
    "usual": {},
    "tight clips": {"cell_clip": 0.4, "proj_clip": 0.3},
    "no projections": {
        "filters": ((1, 2), (3, 4)),
        "hidden_dim": 6,
        "token_projection": False,
        "state_projection": False,
    },
    "one layer": {"n_layers": 1},
    "one direction": {"bidirectional": False},
    "no skip connections": {"skip_connections": False},
    "tanh": {"activation": "tanh"},
}


@pytest.mark.parametrize("variant", WHOLE)
def test_whole_model_and_its_gradients_equal_a_plain_loop(variant):
    bilm = tiny_bilm(**{"max_characters": 12, **WHOLE[variant]}).double().requires_grad_(True)
    sentences = [sentence[:4] for sentence in SENTENCES]
    found = bilm(WordBatch.from_sentences(sentences), max_tokens=9)
    start = (bilm.start_h, bilm.start_c)
    expected = torch.cat([plain.layers(bilm, s, *start)[0] for s in sentences], dim=1)
    torch.testing.assert_close(found, expected)
    factor = torch.randn_like(found)
    parameters = list(bilm.parameters())
    found_gradients = torch.autograd.grad((found * factor).sum(), parameters)
    expected_gradients = torch.autograd.grad((expected * factor).sum(), parameters)
    for (name, _), one, other in zip(bilm.named_parameters(), found_gradients, expected_gradients):
        torch.testing.assert_close(one, other, msg=lambda text, name=name: f"{name}: {text}")


def test_gradient_of_the_input_with_frozen_weights():
    layer = random_layer().requires_grad_(False)
    x, h, c = inputs(layer, RAGGED)
    x.requires_grad_(True)
    layer(x, RAGGED, h, c)[0].sum().backward()
    assert x.grad.abs().min() > 0


def test_bfloat16_keeps_outputs_and_states_in_float32():
    layer = random_layer().float()
    x, h, c = (tensor.float() for tensor in inputs(layer, RAGGED))
    with torch.no_grad():
        exact = layer(x, RAGGED, h, c)
        found = layer(x, RAGGED, h, c, dtype=torch.bfloat16)
    for one, other in zip(found, exact):
        assert one.dtype == torch.float32
        assert 0 < (one - other).norm() / other.norm() < 0.02


def test_bfloat16_gradients_are_close():
    layer = random_layer().float()
    x, h, c = (tensor.float() for tensor in inputs(layer, RAGGED))
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        outputs, _, _ = layer(x, RAGGED, h, c, dtype=dtype)
        found.append(torch.autograd.grad(outputs.sum(), list(layer.parameters())))
    for exact, one in zip(*found):
        assert one.dtype == torch.float32
        assert (one - exact).norm() / exact.norm() < 0.04


def test_stored_bias_excludes_the_1_of_the_forget_gate():
    layer = random_layer()
    with torch.no_grad():
        for param in layer.parameters():
            param.zero_()
        x, h, c = (torch.ones_like(tensor) for tensor in inputs(layer, [1]))
        _, _, cell = layer(x, [1], h, c)
    torch.testing.assert_close(cell, torch.sigmoid(torch.tensor(1.0)).expand_as(cell).double())


def test_without_projection_only_the_cell_is_clipped():
    assert random_layer(**VARIANTS["no projection"]).bounds == Bounds(cell=3.0, output=None)


def test_unidirectional_model_has_half_the_width():
    assert isinstance(bilm := tiny_bilm(bidirectional=False), BiLM)
    assert bilm(WordBatch.from_sentences([["a"]])).shape == (3, 1, 6)
