import copy
import pickle

import numpy as np
import pytest
import torch

from spacy_elmo.bilm import BiLM, WordBatch
from spacy_elmo.lstm import lstm, matmul
from spacy_elmo.lstm.cell import Bounds, SigmoidCellOps, TorchCellOps
from spacy_elmo.lstm.matmul import mkldnn_works, pad_rows, round_rows, warn_of_slow_bfloat16

from ..samples import SENTENCES, VARIANTS, tiny_bilm

BATCH = WordBatch.from_sentences([*SENTENCES, [], SENTENCES[1] * 9])
SINGLE = WordBatch.from_sentences([SENTENCES[1]])


@pytest.mark.parametrize("batch", [BATCH, SINGLE], ids=["batch", "single"])
@pytest.mark.parametrize("precision, tolerance", [("float32", 1e-5), ("bfloat16", 0.05)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_packed_weights_equal_batched_matmul(variant, precision, tolerance, batch, monkeypatch):
    bilm = tiny_bilm(**VARIANTS[variant])
    with torch.no_grad():
        packed = bilm(batch, precision=precision)
        monkeypatch.setattr(lstm, "mkldnn_works", lambda dtype: False)
        batched = bilm(batch, precision=precision)
    torch.testing.assert_close(packed, batched, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize(
    "changes, n_sentences, precision, n_matmuls",
    [
        ({}, 1, torch.float32, 1),
        ({}, 2, torch.float32, 2),
        ({}, 1, torch.bfloat16, 2),
        ({"hidden_dim": 6, "state_projection": False}, 1, torch.float32, 2),
    ],
)
def test_directions_of_a_single_sentence_run_together(changes, n_sentences, precision, n_matmuls):
    if not mkldnn_works(precision):
        pytest.skip(f"PyTorch packs no weights of {precision} on this machine")
    layer = tiny_bilm(**changes).layers[0]
    with torch.no_grad():
        assert len(layer.matmuls(precision, n_sentences)) == n_matmuls


def test_single_sentence_with_weights_too_large_for_the_cache(monkeypatch):
    bilm = tiny_bilm()
    with torch.no_grad():
        together = bilm(SINGLE)
        bilm.drop_caches()
        monkeypatch.setattr(lstm, "SINGLE_SEQUENCE_BYTES", 0)
        assert len(bilm.layers[0].matmuls(torch.float32, 1)) == 2
        torch.testing.assert_close(bilm(SINGLE), together)


@pytest.mark.parametrize("bounds", [Bounds(None, None), Bounds(0.4, 0.3)], ids=str)
@pytest.mark.parametrize("scale", [0.1, 3.0, 100.0])
def test_sigmoid_cell_ops_equal_torch_cell_ops(scale, bounds):
    generator = torch.Generator().manual_seed(0)
    sums, cells = (scale * torch.randn(5, n, generator=generator) for n in (4 * 6, 6))
    expected_cells, doubled_cells, doubled_sums = cells.clone(), 2 * cells, sums.clone()
    doubled_sums[:, 18:] *= 2
    expected = TorchCellOps(bounds).cell(sums, expected_cells, None)
    half = SigmoidCellOps(bounds).cell(doubled_sums, doubled_cells, None)
    torch.testing.assert_close(2 * half, expected, atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(doubled_cells / 2, expected_cells, atol=2e-6, rtol=1e-5)


def test_packed_weights_are_dropped_when_the_weights_change():
    bilm, other = tiny_bilm(seed=0), tiny_bilm(seed=1)
    with torch.no_grad():
        bilm(BATCH)
        bilm.load_state_dict(other.state_dict())
        # rounding can depend on the memory alignment of a weight
        torch.testing.assert_close(bilm(BATCH), other(BATCH), rtol=1e-4, atol=1e-4)


def test_weights_are_packed_for_inference_during_training():
    bilm = tiny_bilm().requires_grad_(True)
    optimizer = torch.optim.SGD(bilm.parameters(), lr=0.1)
    for _ in range(3):
        bilm(BATCH).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            found = bilm(BATCH)
            assert all(layer.packed_weights for layer in bilm.layers)
            torch.testing.assert_close(found, copy.deepcopy(bilm)(BATCH))


@pytest.mark.parametrize("make_copy", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_start_without_packed_weights_and_give_the_same_vectors(make_copy):
    bilm = tiny_bilm()
    with torch.no_grad():
        expected = bilm(BATCH)
        copied: BiLM = make_copy(bilm)
        assert not any(layer.packed_weights for layer in copied.layers)
        torch.testing.assert_close(copied(BATCH), expected)


def test_probe_rejects_dtypes_that_onednn_does_not_support():
    assert not mkldnn_works(torch.int32)


@pytest.mark.parametrize("fast", [True, False])
def test_slow_bfloat16_is_warned_about_once(fast, monkeypatch, recwarn):
    supported = "spacy_elmo.lstm.matmul.torch.ops.mkldnn._is_mkldnn_bf16_supported"
    monkeypatch.setattr(supported, lambda: fast)
    warn_of_slow_bfloat16.cache_clear()
    for _ in range(2):
        warn_of_slow_bfloat16("cpu")
        warn_of_slow_bfloat16("cuda")
    warn_of_slow_bfloat16.cache_clear()
    assert len(recwarn) == (0 if fast else 1)


def test_numbers_of_rows_are_rounded_to_a_few_sizes():
    n = np.arange(1, 8193)
    rounded = round_rows(n)
    assert (rounded >= n).all() and (rounded <= n * 9 / 8).all()
    assert (rounded[:16] == n[:16]).all()
    assert (round_rows(rounded) == rounded).all()
    assert len(np.unique(rounded)) == 16 + 8 * 9
    assert [int(round_rows(k)) for k in (17, 33, 64, 100, 1000)] == [18, 36, 64, 104, 1024]


@pytest.mark.parametrize("n", [1, 16, 17, 100])
def test_rows_of_zeros_are_appended(n):
    x = torch.rand(n, 3)
    padded = pad_rows(x)
    assert len(padded) == round_rows(n)
    assert torch.equal(padded[:n], x) and not padded[n:].any()


@pytest.mark.parametrize("wants_gradient", [False, True])
def test_sentences_of_all_lengths_multiply_few_shapes(wants_gradient, monkeypatch):
    shapes = set()

    def record(x):
        shapes.add(tuple(pad_rows(x).shape))
        return pad_rows(x)

    monkeypatch.setattr(matmul, "pad_rows", record)
    bilm = tiny_bilm().requires_grad_(wants_gradient)
    draw = np.random.default_rng(0)
    for _ in range(20):
        lengths = draw.integers(0, 40, draw.integers(2, 100))
        with torch.set_grad_enabled(wants_gradient):
            bilm(WordBatch.from_sentences([["word"] * n for n in lengths]))
    # [n, P], [n, H] and [n, 4H] in all sizes
    sizes = {n for n, _ in shapes}
    assert sizes == {int(round_rows(n)) for n in sizes}
    assert len(sizes) < 16 + 8 * 10
