"""CUDA graphs of LSTM steps, emulated on the CPU: a replay runs the captured function.

`tests/test_gpu.py` captures real graphs.
"""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_elmo.bilm import WordBatch
from spacy_elmo.bilm.packed_words import pack_words
from spacy_elmo.lstm import cuda_graphs as graphs
from spacy_elmo.lstm import lstm
from spacy_elmo.lstm.cell import Bounds
from spacy_elmo.lstm.cuda_graphs import (
    STEPS_PER_GRAPH,
    GraphedSteps,
    group_steps,
    max_rows,
    pad_steps,
    round_up,
)
from spacy_elmo.lstm.lstm import LSTMLayer

from ..samples import SENTENCES, tiny_bilm

COUNTS = st.lists(st.integers(1, 300), max_size=40).map(lambda found: sorted(found, reverse=True))


class EmulatedGraphs(GraphedSteps):
    """An emulation of CUDA graphs whose replays run the captured function."""

    def _capture(self, n_rows):
        return partial(self._run, n_rows)


@pytest.fixture
def graphs_on_cpu(monkeypatch):
    """Treat a CPU as a GPU with CUDA graphs for few rows."""
    monkeypatch.setattr(lstm, "can_capture", lambda device: True)
    monkeypatch.setattr(lstm, "GraphedSteps", EmulatedGraphs)
    monkeypatch.setattr(lstm, "max_rows", lambda *sizes: 4)


def test_rows_are_rounded_up_to_captured_sizes():
    n = np.arange(1, 3000)
    found = round_up(n)
    assert (found >= n).all() and (found[n > 1] < 2 * n[n > 1]).all()
    large = n > graphs.SMALL_ROWS
    assert (found[large] <= 1.25 * n[large]).all()
    np.testing.assert_array_equal(round_up(found), found)
    assert sorted(set(found[n <= 256].tolist())) == [
        *(1, 2, 4, 8, 16, 32, 64),
        *(80, 96, 112, 128, 160, 192, 224, 256),
    ]


@given(COUNTS, st.sampled_from([1, 4, 64, 256]))
def test_padded_steps_have_room_for_all_rows(active, most):
    active = np.array(active, dtype=np.int64)
    found = pad_steps(active, most)
    assert len(active) <= len(found) < len(active) + STEPS_PER_GRAPH
    assert (found[: len(active)] >= active).all()
    assert (np.diff(found) <= 0).all()
    np.testing.assert_array_equal(found[found > most], active[active > most])
    # every step of few rows is replayed
    assert all(
        replayed == (steps[0] <= most) for replayed, steps in group_steps(found.tolist(), most)
    )


@given(COUNTS, st.sampled_from([1, 4, 64]))
def test_groups_contain_all_steps_in_order(active, most):
    groups = list(group_steps(active, most))
    assert [n for _, steps in groups for n in steps] == active
    for replayed, steps in groups:
        if replayed:
            assert len(steps) % STEPS_PER_GRAPH == 0 and max(steps) <= most
            for start in range(0, len(steps), STEPS_PER_GRAPH):
                assert len(set(steps[start : start + STEPS_PER_GRAPH])) == 1
    kinds = [replayed for replayed, _ in groups]
    assert all(a != b for a, b in zip(kinds, kinds[1:]))


def test_gates_of_a_graph_fit_into_their_memory_budget():
    bounds = {torch.float32: graphs.FLOAT32_GATE_BYTES, torch.bfloat16: graphs.GATE_BYTES}
    for n_directions, hidden, dtype in ((2, 4096, torch.float32), (1, 256, torch.bfloat16)):
        n = max_rows(n_directions, hidden, dtype)
        n_bytes = n * STEPS_PER_GRAPH * n_directions * 4 * hidden * dtype.itemsize
        assert bounds[dtype] / 2 < n_bytes <= bounds[dtype]
    assert max_rows(2, 2**30, torch.float32) == 1


@pytest.mark.parametrize("lengths", [[5], [5, 3, 0], [30, 7, 2, 2, 2, 1], []])
def test_padding_does_not_change_the_packed_words(lengths):
    lengths = np.array(lengths, dtype=np.int64)
    ids = np.arange(lengths.sum())
    plain = pack_words(ids, lengths)
    padded = pack_words(ids, lengths, partial(pad_steps, max_rows=4))
    for direction in (0, 1):
        words, found = (p.inputs[direction][p.outputs[direction]] for p in (plain, padded))
        assert found.tolist() == words.tolist() == (ids + 2).tolist()
    assert sum(padded.packing.active) == padded.inputs.shape[1]


@pytest.mark.parametrize("projects", [True, False])
@pytest.mark.parametrize(
    "active", [[3] * 9, [7, 6, 4, 4, 4, 4, 3, 3, 3, 3, 3, 1, 1, 1, 1], [1], [9, 9, 9, 9, 9], []]
)
def test_layer_with_cuda_graphs_equals_layer_without(graphs_on_cpu, active, projects):
    torch.manual_seed(0)
    layer = LSTMLayer(
        2,
        4,
        6 if projects else 4,
        projects=projects,
        bounds=Bounds(0.5, 0.4),
        use_cuda_graphs=True,
    )
    n = max(active, default=0)
    hidden = layer.hidden_dim
    x, h, c = (torch.randn(2, *shape) for shape in ((sum(active), 4), (n, 4), (n, hidden)))
    with torch.no_grad():
        given = h.clone(), c.clone()
        found = [layer(x, active, *given) for _ in range(2)][-1]
        torch.testing.assert_close(given, (h, c), rtol=0, atol=0)
        layer.use_cuda_graphs = False
        expected = layer(x, active, h, c)
    for a, b in zip(found, expected):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("changes", [{}, {"skip_connections": False}, {"n_layers": 1}])
@pytest.mark.parametrize("sentences", [SENTENCES[:1], SENTENCES, [["a"] * 9] * 9, [[], ["b"]], []])
def test_vectors_of_a_padded_batch(graphs_on_cpu, sentences, changes):
    bilm = tiny_bilm(**changes)
    batch = WordBatch.from_sentences(sentences)
    expected = bilm.requires_grad_(True)(batch).detach()
    bilm.requires_grad_(False)
    with torch.no_grad():
        torch.testing.assert_close(bilm(batch), expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(bilm(batch, max_tokens=8), expected, rtol=1e-5, atol=1e-6)


def test_carried_states_are_the_states_after_each_sentence(graphs_on_cpu):
    bilm = tiny_bilm()
    batch = WordBatch.from_sentences([["a"] * 9, ["b", "c"], ["d"] * 9])
    plain = copy.deepcopy(bilm).requires_grad_(True)
    with torch.no_grad():
        layers, end = bilm.carry(batch)
    expected, expected_end = plain.carry(batch)
    torch.testing.assert_close(layers, expected.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(end.h, expected_end.h.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(end.c, expected_end.c.detach(), rtol=1e-5, atol=1e-6)


def test_graphs_are_dropped_when_the_weights_change(graphs_on_cpu):
    bilm = tiny_bilm()
    batch = WordBatch.from_sentences(SENTENCES)
    with torch.no_grad():
        bilm(batch)
        assert all(layer.cuda_graphs for layer in bilm.layers)
        assert not any(layer.cuda_graphs for layer in copy.deepcopy(bilm).layers)
        bilm.layers[0].bias.add_(1.0)
        torch.testing.assert_close(bilm(batch), copy.deepcopy(bilm)(batch))


def test_graphs_captured_in_inference_mode_are_replayed_outside_of_it(graphs_on_cpu):
    bilm = tiny_bilm()
    batch = WordBatch.from_sentences(SENTENCES)
    with torch.inference_mode():
        expected = bilm(batch)
    with torch.no_grad():
        torch.testing.assert_close(bilm(batch), expected.clone())
    torch.testing.assert_close(bilm(batch), expected.clone())  # frozen


def test_no_capture_on_a_cpu():
    assert not graphs.can_capture(torch.device("cpu"))


def test_trainable_weights_are_not_captured(graphs_on_cpu):
    bilm = tiny_bilm().requires_grad_(True)
    with torch.no_grad():
        bilm(WordBatch.from_sentences(SENTENCES))
    assert not any(layer.cuda_graphs for layer in bilm.layers)


def test_steps_of_other_sizes_are_not_captured(graphs_on_cpu):
    bilm = tiny_bilm()
    bilm.drop_caches()
    with torch.no_grad():
        bilm.carry(
            WordBatch.from_sentences([["a"], ["b"], ["c"]])
        )  # no graph is captured for three rows
    assert not any(layer.cuda_graphs for layer in bilm.layers)


def test_failing_capture_is_a_warning(graphs_on_cpu, monkeypatch):
    def fail(self, n_rows):
        raise RuntimeError("no memory")

    bilm = tiny_bilm()
    batch = WordBatch.from_sentences(SENTENCES)
    with torch.no_grad():
        expected = bilm(batch)
        bilm.drop_caches()
        monkeypatch.setattr(EmulatedGraphs, "_capture", fail)
        with pytest.warns(UserWarning, match="could not be captured as CUDA graphs .no memory."):
            found = bilm(batch)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_probe_detects_a_device_without_captures(monkeypatch):
    calls = {
        # a capture that runs the work instead of recording it
        "eager": lambda run, *args, **kwargs: (run(), lambda: None)[1],
        "twice": lambda run, *args, **kwargs: (run(), run)[1],
        "right": lambda run, *args, **kwargs: run,
    }
    for name, capture in calls.items():
        monkeypatch.setattr(graphs, "capture", capture)
        graphs.graphs_work.cache_clear()
        assert graphs.graphs_work(torch.device("cpu")) == (name == "right")
    graphs.graphs_work.cache_clear()
