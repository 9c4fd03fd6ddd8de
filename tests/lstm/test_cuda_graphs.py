"""Recorded steps. What a recording does is imitated here by doing it anew; `tests/test_gpu.py`
makes real ones."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_elmo.bilm import WordBatch
from spacy_elmo.lstm import cuda_graphs as graphs
from spacy_elmo.lstm import lstm
from spacy_elmo.lstm.cell import Bounds
from spacy_elmo.lstm.cuda_graphs import N_STEPS, RecordedSteps, max_rows, round_up, stretches, widen
from spacy_elmo.lstm.lstm import LSTMLayer
from spacy_elmo.lstm.packing import pack

from ..samples import SENTENCES, tiny_bilm

COUNTS = st.lists(st.integers(1, 300), max_size=40).map(lambda found: sorted(found, reverse=True))


class Imitated(RecordedSteps):
    """Its recordings do again what they did."""

    def _record(self, n_rows):
        return partial(self._run, n_rows)


@pytest.fixture
def recordable(monkeypatch):
    """A CPU that takes itself for a GPU with recordings of few rows."""
    monkeypatch.setattr(lstm, "can_record", lambda device: True)
    monkeypatch.setattr(lstm, "RecordedSteps", Imitated)
    monkeypatch.setattr(lstm, "max_rows", lambda *sizes: 4)


def test_numbers_of_rows_that_are_recorded():
    n = np.arange(1, 3000)
    found = round_up(n)
    assert (found >= n).all() and (found[n > 1] < 2 * n[n > 1]).all()
    large = n > graphs.SMALL
    assert (found[large] <= 1.25 * n[large]).all()
    np.testing.assert_array_equal(round_up(found), found)
    assert sorted(set(found[n <= 256].tolist())) == [
        *(1, 2, 4, 8, 16, 32, 64),
        *(80, 96, 112, 128, 160, 192, 224, 256),
    ]


@given(COUNTS, st.sampled_from([1, 4, 64, 256]))
def test_a_widened_layout_has_room_for_all(active, most):
    active = np.array(active, dtype=np.int64)
    found = widen(active, most)
    assert len(active) <= len(found) < len(active) + N_STEPS
    assert (found[: len(active)] >= active).all()
    assert (np.diff(found) <= 0).all()
    np.testing.assert_array_equal(found[found > most], active[active > most])
    # every step of few rows is recorded
    assert all(
        recorded == (steps[0] <= most) for recorded, steps in stretches(found.tolist(), most)
    )


@given(COUNTS, st.sampled_from([1, 4, 64]))
def test_stretches_are_the_steps_in_their_order(active, most):
    parts = list(stretches(active, most))
    assert [n for _, steps in parts for n in steps] == active
    for recorded, steps in parts:
        if recorded:
            assert len(steps) % N_STEPS == 0 and max(steps) <= most
            for start in range(0, len(steps), N_STEPS):
                assert len(set(steps[start : start + N_STEPS])) == 1
    kinds = [recorded for recorded, _ in parts]
    assert all(a != b for a, b in zip(kinds, kinds[1:]))


def test_gates_of_a_recording_are_bounded():
    bounds = {torch.float32: graphs.GATE_BYTES_OF_FLOAT32, torch.bfloat16: graphs.GATE_BYTES}
    for n_directions, hidden, dtype in ((2, 4096, torch.float32), (1, 256, torch.bfloat16)):
        n = max_rows(n_directions, hidden, dtype)
        n_bytes = n * N_STEPS * n_directions * 4 * hidden * dtype.itemsize
        assert bounds[dtype] / 2 < n_bytes <= bounds[dtype]
    assert max_rows(2, 2**30, torch.float32) == 1


@pytest.mark.parametrize("lengths", [[5], [5, 0, 3], [30, 7, 2, 2, 2, 1], []])
def test_a_widened_packing_holds_the_same_words_and_boundaries(lengths):
    lengths = np.array(lengths, dtype=np.int64)
    ids = np.arange(lengths.sum())
    plain, wide = pack(ids, lengths), pack(ids, lengths, partial(widen, most=4))
    for direction in (0, 1):
        words, found = (p.inputs[direction][p.outputs[direction]] for p in (plain, wide))
        assert found.tolist() == words.tolist() == (ids + 2).tolist()
    assert sum(wide.active) == wide.inputs.shape[1]
    assert wide.order.tolist() == plain.order.tolist()


@pytest.mark.parametrize("projects", [True, False])
@pytest.mark.parametrize(
    "active", [[3] * 9, [7, 6, 4, 4, 4, 4, 3, 3, 3, 3, 3, 1, 1, 1, 1], [1], [9, 9, 9, 9, 9], []]
)
def test_a_layer_with_recordings_equals_one_without(recordable, active, projects):
    torch.manual_seed(0)
    layer = LSTMLayer(2, 4, 6 if projects else 4, projects, Bounds(0.5, 0.4), records=True)
    n = max(active, default=0)
    hidden = layer.hidden_dim
    x, h, c = (torch.randn(2, *shape) for shape in ((sum(active), 4), (n, 4), (n, hidden)))
    with torch.no_grad():
        given = h.clone(), c.clone()
        found = [layer(x, active, *given) for _ in range(2)][-1]
        torch.testing.assert_close(given, (h, c), rtol=0, atol=0)
        layer.records = False
        expected = layer(x, active, h, c)
    for a, b in zip(found, expected):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("changes", [{}, {"skip_connections": False}, {"n_layers": 1}])
@pytest.mark.parametrize("sentences", [SENTENCES[:1], SENTENCES, [["a"] * 9] * 9, [[], ["b"]], []])
def test_vectors_of_a_widened_batch(recordable, sentences, changes):
    bilm = tiny_bilm(**changes)
    batch = WordBatch.from_sentences(sentences)
    expected = bilm.requires_grad_(True)(batch).detach()
    bilm.requires_grad_(False)
    with torch.no_grad():
        torch.testing.assert_close(bilm(batch), expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(bilm(batch, max_tokens=8), expected, rtol=1e-5, atol=1e-6)


def test_carried_states_are_those_of_each_sentences_end(recordable):
    bilm = tiny_bilm()
    batch = WordBatch.from_sentences([["a"] * 9, ["b", "c"], ["d"] * 9])
    plain = copy.deepcopy(bilm).requires_grad_(True)
    with torch.no_grad():
        layers, end = bilm.carry(batch)
    expected, expected_end = plain.carry(batch)
    torch.testing.assert_close(layers, expected.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(end.h, expected_end.h.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(end.c, expected_end.c.detach(), rtol=1e-5, atol=1e-6)


def test_recordings_are_dropped_with_the_weights_they_are_of(recordable):
    bilm = tiny_bilm()
    batch = WordBatch.from_sentences(SENTENCES)
    with torch.no_grad():
        bilm(batch)
        assert all(layer.recorded for layer in bilm.layers)
        assert not any(layer.recorded for layer in copy.deepcopy(bilm).layers)
        bilm.layers[0].bias.add_(1.0)
        torch.testing.assert_close(bilm(batch), copy.deepcopy(bilm)(batch))


def test_recordings_made_in_inference_mode_serve_outside_of_it(recordable):
    bilm = tiny_bilm()
    batch = WordBatch.from_sentences(SENTENCES)
    with torch.inference_mode():
        expected = bilm(batch)
    with torch.no_grad():
        torch.testing.assert_close(bilm(batch), expected.clone())
    torch.testing.assert_close(bilm(batch), expected.clone())  # frozen


def test_no_recordings_on_a_cpu():
    assert not graphs.can_record(torch.device("cpu"))


def test_what_is_trained_is_not_recorded(recordable):
    bilm = tiny_bilm().requires_grad_(True)
    with torch.no_grad():
        bilm(WordBatch.from_sentences(SENTENCES))
    assert not any(layer.recorded for layer in bilm.layers)


def test_nothing_is_kept_where_nothing_is_recorded(recordable):
    bilm = tiny_bilm()
    bilm.drop_caches()
    with torch.no_grad():
        bilm.carry(WordBatch.from_sentences([["a"], ["b"], ["c"]]))  # three rows are not recorded
    assert not any(layer.recorded for layer in bilm.layers)


def test_a_recording_that_fails(recordable, monkeypatch):
    def fail(self, n_rows):
        raise RuntimeError("no memory")

    bilm = tiny_bilm()
    batch = WordBatch.from_sentences(SENTENCES)
    with torch.no_grad():
        expected = bilm(batch)
        bilm.drop_caches()
        monkeypatch.setattr(Imitated, "_record", fail)
        with pytest.warns(UserWarning, match="could not be recorded .no memory."):
            found = bilm(batch)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_a_device_that_records_nothing_is_found_out(monkeypatch):
    calls = {
        # does at once what it should record
        "eager": lambda run, *args, **kwargs: (run(), lambda: None)[1],
        "twice": lambda run, *args, **kwargs: (run(), run)[1],
        "right": lambda run, *args, **kwargs: run,
    }
    for name, record in calls.items():
        monkeypatch.setattr(graphs, "record", record)
        graphs.graphs_work.cache_clear()
        assert graphs.graphs_work(torch.device("cpu")) == (name == "right")
    graphs.graphs_work.cache_clear()
