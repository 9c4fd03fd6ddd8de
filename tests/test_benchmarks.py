"""The baselines of the benchmarks compute the same layers as the biLM."""

import importlib
import sys
from pathlib import Path

import pytest
import torch

from spacy_elmo.bilm import WordBatch

from .samples import SENTENCES, tiny_bilm

SCRIPTS = Path(__file__).parent.parent / "benchmarks"
RAGGED = [*SENTENCES, [], SENTENCES[1] * 5, *(SENTENCES[0][:n] for n in range(1, 4))] * 4


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == SCRIPTS:
            del sys.modules[name]


@pytest.mark.parametrize("changes", [{}, {"scale": 4.0, "cell_clip": 0.4, "proj_clip": 0.2}])
def test_the_textbook_has_the_layers_of_the_bilm(benchmark, changes):
    bilm = tiny_bilm(**changes).requires_grad_(False)
    with torch.no_grad():
        found = benchmark("textbook").TextbookBiLM(bilm, torch.float32)(RAGGED)
        expected = bilm(WordBatch.from_sentences(RAGGED))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_torch_lstms_read_all_words(benchmark):
    bilm = tiny_bilm().requires_grad_(False)
    batch = WordBatch.from_sentences(RAGGED)
    lstms = benchmark("embedders").TorchLSTMs(bilm, torch.float32)
    with torch.no_grad():
        found, expected = lstms(batch, 100), bilm(batch)
    assert found.shape == expected.shape and found.isfinite().all()
    torch.testing.assert_close(found[0], expected[0])
    alone = lstms(WordBatch.from_sentences(RAGGED[1:2]), 100)
    n = len(RAGGED[0])
    torch.testing.assert_close(found[:, n : n + len(RAGGED[1])], alone, atol=1e-5, rtol=1e-5)


def test_number_of_subwords(benchmark):
    lengths = WordBatch.from_sentences(RAGGED).lengths
    batches = benchmark("embedders").draw_subwords(lengths, torch.device("cpu"))
    assert sum(map(len, batches)) == len(RAGGED)
    n_subwords = sum(int((batch >= 0).sum()) for batch in batches)
    assert 1.3 * lengths.sum() <= n_subwords - 2 * len(RAGGED) <= 1.3 * lengths.sum() + len(RAGGED)
