"""The Triton kernels against the PyTorch operators. Without a GPU, use Triton's interpreter:
TRITON_INTERPRET=1 python -m pytest tests/lstm/test_fused_cell.py"""

import os
from importlib.util import find_spec

import pytest
import torch

from spacy_elmo.lstm import lstm, recurrence
from spacy_elmo.lstm.cell import Bounds, SavedActivations, TorchCellOps
from spacy_elmo.lstm.fused_cell import TritonCellOps, is_fusible
from spacy_elmo.lstm.lstm import LSTMLayer

interpreted = os.environ.get("TRITON_INTERPRET") == "1"
pytestmark = pytest.mark.skipif(
    not find_spec("triton") or not (torch.cuda.is_available() or interpreted),
    reason="Triton needs a GPU",
)
DEVICE = "cuda" if torch.cuda.is_available() and not interpreted else "cpu"
BOUNDS = [Bounds(None, None), Bounds(0.4, 0.3)]
DTYPES = [torch.float32, torch.bfloat16]
D, ROWS, N, WIDTH, DIM = 2, 50, 7, 300, 20


def random(*shape, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator).to(DEVICE, dtype)


def assert_close(found, expected, dtype=torch.float32):
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(found.float(), expected.float(), rtol=tolerance, atol=tolerance)


def run_both(run, bounds):
    """RETURNS (list): Results with each implementation of `CellOps`."""
    return [run(kind(bounds)) for kind in (TritonCellOps, TorchCellOps)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
@pytest.mark.parametrize("saves", [True, False])
def test_cell(saves, bounds, dtype):
    def run(ops):
        # rows of a step with fewer sequences than the first step
        sums = random(D, ROWS, 4 * WIDTH, dtype=dtype)[:, 9 : 9 + N]
        cells = random(D, N + 3, WIDTH, seed=1)
        saved = SavedActivations(
            gates=random(D, ROWS, 4 * WIDTH),
            cell=random(D, ROWS, WIDTH),
            tanh_cell=random(D, ROWS, WIDTH),
        )
        rows = slice(9, 9 + N)
        out = ops.cell(sums, cells[:, :N], saved.rows(rows) if saves else None)
        return out, cells, saved.gates, saved.cell, saved.tanh_cell

    for found, expected in zip(*run_both(run, bounds)):
        assert_close(found, expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
def test_output_and_its_backward_pass(bounds, dtype):
    def run(ops):
        state, outputs = random(D, N + 3, DIM), random(D, ROWS, DIM)
        rows = outputs[:, 9 : 9 + N]
        ops.output(random(D, N, DIM, dtype=dtype, seed=1), state[:, :N], rows)
        d_projected = random(D, ROWS, DIM, dtype=dtype, seed=2)
        d_state, d_out = random(D, N + 3, DIM, seed=3), random(D, ROWS, DIM, seed=4)
        gradients = d_state[:, :N], d_out[:, 9 : 9 + N]
        ops.output_backward(*gradients, rows, d_projected[:, 9 : 9 + N])
        return state, outputs, d_projected

    for found, expected in zip(*run_both(run, bounds)):
        assert_close(found, expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
def test_backward_pass_of_the_cell(bounds, dtype):
    rows = slice(9, 9 + N)

    def run(ops):
        saved = SavedActivations(
            gates=random(D, ROWS, 4 * WIDTH).sigmoid(),
            cell=random(D, ROWS, WIDTH, seed=1).clamp(-0.4, 0.4),
            tanh_cell=random(D, ROWS, WIDTH, seed=2).tanh(),
        )
        d_y, d_cell = random(D, N, WIDTH, dtype=dtype, seed=3), random(D, N + 3, WIDTH, seed=4)
        before = random(D, N + 3, WIDTH, seed=5)[:, :N]
        d_gates = random(D, ROWS, 4 * WIDTH, dtype=dtype, seed=6)
        ops.cell_backward(
            d_y, d_cell[:, :N], before=before, saved=saved.rows(rows), d_gates=d_gates[:, rows]
        )
        d_gates[:, : rows.start] = d_gates[:, rows.stop :] = 0
        return d_cell, d_gates, ops.bias_gradient(d_gates)

    for found, expected in zip(*run_both(run, bounds)):
        assert_close(found, expected, dtype)


def test_clipping_propagates_nan():
    state, outputs = random(1, 1, 4), random(1, 1, 4)
    projected = torch.full((1, 1, 4), float("nan"), device=DEVICE)
    TritonCellOps(Bounds(3.0, 3.0)).output(projected, state, outputs)
    assert state.isnan().all() and outputs.isnan().all()


def test_only_float32_on_gpus_is_fusible():
    cells = random(D, N, WIDTH)
    assert is_fusible(cells) == (DEVICE == "cuda")
    assert not is_fusible(cells.double()) and not is_fusible(cells[0])


def test_output_before_projection_has_the_dtype_of_the_matmul():
    sums, cells = random(D, N, 4 * WIDTH, dtype=torch.bfloat16), random(D, N, WIDTH)
    for projects, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        out = TritonCellOps(Bounds(None, None), projects).cell(sums, cells.clone(), None)
        assert out.dtype == dtype


def test_rows_that_are_not_contiguous_are_an_error():
    state = random(D, DIM, N).transpose(1, 2)
    with pytest.raises(ValueError, match="output was given a tensor .*must be contiguous"):
        TritonCellOps(Bounds(None, None)).output(random(D, N, DIM), state, random(D, N, DIM))


@pytest.mark.parametrize("projects", [True, False])
@pytest.mark.parametrize("active", [[5, 5, 3, 1], [1]], ids=str)
def test_a_layer_and_its_gradients(monkeypatch, active, projects):
    torch.manual_seed(0)
    hidden = 3 * DIM if projects else DIM
    layer = LSTMLayer(
        D, DIM, hidden, projects=projects, bounds=Bounds(0.4, 0.3 if projects else None)
    ).to(DEVICE)
    monkeypatch.setattr(lstm, "mkldnn_works", lambda dtype: False)

    def run():
        layer.zero_grad()
        x = random(D, sum(active), DIM).requires_grad_()
        # one start state for all rows
        h, c = (random(D, 1, n, seed=n).expand(-1, active[0], -1) for n in (DIM, hidden))
        with torch.no_grad():
            predicted = layer(x, active, h, c)
        trained = layer(x, active, h, c)
        sum((found * random(*found.shape, seed=3)).sum() for found in trained).backward()
        return *predicted, *trained, x.grad, *(param.grad for param in layer.parameters())

    for is_fused in (True, False):
        monkeypatch.setattr(recurrence, "is_fusible", lambda c, is_fused=is_fused: is_fused)
        results = run()
        if is_fused:
            found = results
    for one, other in zip(found, results):
        assert_close(one, other)
