import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_elmo.bilm import BiLM, WordBatch
from spacy_elmo.lstm import int8
from spacy_elmo.lstm.int8 import LARGEST, QuantizedWeight, int8_works, warn_of_slow_int8

from ..samples import SENTENCES, VARIANTS, tiny_bilm

pytestmark = pytest.mark.slow

BATCH = WordBatch.from_sentences([*SENTENCES, [], SENTENCES[1] * 9])


@pytest.fixture(params=["operators", "float32"])
def implementation(request, monkeypatch):
    """Run a test with the int8 operators, if they work, and with their float32 substitute."""
    if request.param == "float32":
        monkeypatch.setattr(int8, "int8_works", lambda: False)
    elif not int8_works():
        pytest.skip("PyTorch has no exact int8 operators on this machine")


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def times(weight, x):
    product, scales = QuantizedWeight(weight).matmul(x)
    return product * scales


def assert_equal_up_to_rounding(found, expected):
    """Assert that vectors are equal, except for values whose rounding differs.

    Values halfway between two integers may be rounded to either, because the last digits of token
    vectors or sigmoids differ.
    """
    assert ((found - expected).abs() > 1e-4).float().mean() < 0.01
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)


def plain_round(row):
    """Quantize the values of a row one by one."""
    scale = max(abs(x) for x in row) / LARGEST
    return [round(x / scale) * scale for x in row]


@pytest.mark.parametrize("n, m", [(16, 8), (1, 1), (70, 33), (5, 300)])
@pytest.mark.parametrize("n_rows", [1, 4, 65])
def test_products_equal_products_of_quantized_values(implementation, n, m, n_rows):
    weight, x = random(n, m).double(), random(n_rows, m, seed=1).double()
    rounded = [
        torch.tensor([plain_round(row) for row in matrix.tolist()]) for matrix in (x, weight)
    ]
    found = times(weight.float(), x.float())
    # values halfway between two integers may be rounded to either
    torch.testing.assert_close(found, (rounded[0] @ rounded[1].t()).float(), rtol=1e-3, atol=0.03)
    assert (found - (x @ weight.t())).norm() < 0.03 * (x @ weight.t()).norm() + 1e-6


@pytest.mark.skipif(not int8_works(), reason="PyTorch has no exact int8 operators on this machine")
def test_largest_values_do_not_overflow(monkeypatch):
    weight, x = torch.ones(20, 600), torch.cat([torch.ones(3, 600), -torch.ones(3, 600)])
    found = times(weight, x)
    torch.testing.assert_close(found, x @ weight.t())
    monkeypatch.setattr(int8, "int8_works", lambda: False)
    torch.testing.assert_close(times(weight, x), found)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(1e-6, 1e6), st.integers(0, 9))
def test_product_of_a_row_does_not_depend_on_other_rows(n_rows, m, size, seed):
    weight, x = random(12, m), random(n_rows, m, seed=seed) * size
    others = torch.cat([x, 1000 * size * random(5, m, seed=3)])
    assert torch.equal(times(weight, x), times(weight, others)[:n_rows])


def test_rows_of_zeros(implementation):
    weight, x = random(6, 8), random(3, 8)
    weight[2], x[1] = 0, 0
    found = times(weight, x)
    assert not found[1].any() and not found[:, 2].any() and found.isfinite().all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_vectors_are_close_to_float32(implementation, variant):
    bilm = tiny_bilm(**VARIANTS[variant])
    with torch.no_grad():
        exact, found = bilm(BATCH), bilm(BATCH, precision="int8")
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[0], exact[0])
    for one, other in zip(found[1:], exact[1:]):
        assert 0 < (one - other).norm() < 0.08 * other.norm()


def test_float32_substitute_gives_the_vectors_of_the_operators(monkeypatch):
    bilm = tiny_bilm()
    with torch.no_grad():
        found = bilm(BATCH, precision="int8")
        bilm.drop_caches()
        monkeypatch.setattr(int8, "int8_works", lambda: False)
        assert_equal_up_to_rounding(bilm(BATCH, precision="int8"), found)


def test_vectors_do_not_depend_on_the_batch(implementation):
    bilm = tiny_bilm()
    with torch.no_grad():
        bilm(WordBatch.from_sentences(SENTENCES))  # cache all token vectors
        together = bilm(WordBatch.from_sentences(SENTENCES), precision="int8")
        alone = [bilm(WordBatch.from_sentences([s]), precision="int8") for s in SENTENCES]
    assert_equal_up_to_rounding(torch.cat(alone, dim=1), together)


def test_states_are_carried(implementation):
    bilm = tiny_bilm()
    with torch.no_grad():
        _, state = bilm.carry(BATCH, precision="int8")
        _, exact = bilm.carry(BATCH)
    for found, expected in ((state.h, exact.h), (state.c, exact.c)):
        assert (found - expected).norm() < 0.08 * expected.norm()


def test_a_model_in_float64():
    bilm = tiny_bilm().double()
    with torch.no_grad():
        exact, found = bilm(BATCH), bilm(BATCH, precision="int8")
    assert found.dtype == torch.float64
    assert 0 < (found - exact).norm() < 0.08 * exact.norm()


def test_weights_are_requantized_when_they_change(implementation):
    bilm, other = tiny_bilm(seed=0), tiny_bilm(seed=1)
    with torch.no_grad():
        bilm(BATCH, precision="int8")
        bilm.load_state_dict(other.state_dict())
        found, expected = (b(BATCH, precision="int8") for b in (bilm, copy.deepcopy(other)))
    assert_equal_up_to_rounding(found, expected)


def test_gradients_are_an_error():
    bilm = tiny_bilm()
    frozen = bilm(BATCH, precision="int8")
    with torch.no_grad():
        assert_equal_up_to_rounding(bilm(BATCH, precision="int8"), frozen)
    bilm.requires_grad_(True)
    with pytest.raises(ValueError, match="int8, which has no gradients.*freeze the weights"):
        bilm(BATCH, precision="int8")


def test_gpu_is_an_error(monkeypatch):
    bilm = tiny_bilm()
    monkeypatch.setattr(BiLM, "device", torch.device("cuda", 0))
    with pytest.raises(ValueError, match="int8, which runs on a CPU only.*cuda:0.*bfloat16"):
        bilm(BATCH, precision="int8")


def test_slow_int8_is_warned_about_once(monkeypatch, recwarn):
    monkeypatch.setattr(int8, "int8_works", lambda: False)
    warn_of_slow_int8.cache_clear()
    for _ in range(2):
        with torch.no_grad():
            tiny_bilm()(BATCH, precision="int8")
    warn_of_slow_int8.cache_clear()
    assert [("int8" in str(w.message)) for w in recwarn].count(True) == 1


@pytest.fixture
def fresh_probe(monkeypatch):
    """Clear the cached probe of the operators before and after the test."""
    int8_works.cache_clear()
    yield
    monkeypatch.undo()
    int8_works.cache_clear()


def test_missing_operators_are_not_used(monkeypatch, fresh_probe):
    def missing(*args):
        raise AttributeError("no such operator")

    monkeypatch.setattr(int8, "_pack", missing)
    assert not int8_works()


def test_saturating_operators_are_not_used(monkeypatch, fresh_probe):
    monkeypatch.setattr(int8, "_pack", lambda rounded: rounded)
    monkeypatch.setattr(
        int8,
        "_linear",
        lambda x, w, scales, zeros: (x.float() @ w.float().t()).clamp(-(2**15), 2**15) * scales,
    )
    assert not int8_works()
