"""Steps of an LSTM layer on a GPU, captured and replayed as CUDA graphs.

A step launches a few small kernels. If a step has few rows, the GPU finishes its kernels before
the host has launched the next ones. Therefore `STEPS_PER_GRAPH` steps are captured in a CUDA graph,
which is launched as a whole. There is one graph for each of a few numbers of rows. The rows and
steps of a batch are padded to these sizes. Padding does not change the outputs of the sequences.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from threading import Lock, RLock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .cell import Bounds
from .matmul import Matmul
from .recurrence import run

STEPS_PER_GRAPH = 4
# Maximum memory for the gates of a graph. Steps with more rows keep a GPU busy without a graph.
# Float32 without TF32 is many times slower, so fewer rows keep the GPU busy.
GATE_BYTES, FLOAT32_GATE_BYTES = 2**27, 2**25
SMALL_ROWS = 64  # a GEMM takes the same time for any number of rows up to this one
N_WARMUP = 3  # calls before the capture, during which libraries initialize themselves

# PyTorch captures one graph at a time in a process
_capturing = RLock()


def capture(
    run: Callable[[], object],
    device: torch.device,
    n_warmup: int = N_WARMUP,
    pool: Any = None,
) -> Callable[[], None]:
    """Capture the GPU work of a function in a CUDA graph.

    run (Callable[[], object]): The function.
    device (torch.device): The GPU.
    n_warmup (int): Calls before the call that is captured.
    pool (Any): Memory pool from `torch.cuda.graph_pool_handle`; None for a private pool.
    RETURNS (Callable[[], None]): Replays the work in the same memory without calling `run`. The
        caller must keep the tensors that `run` reads and writes alive.
    """
    with _capturing, torch.cuda.device(device):
        stream, current = _stream(device), torch.cuda.current_stream()
        stream.wait_stream(current)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.stream(stream):
                for _ in range(n_warmup):
                    run()
            current.wait_stream(stream)
            # thread_local: other threads may continue to use the GPU
            with torch.cuda.graph(
                graph, pool=pool, stream=stream, capture_error_mode="thread_local"
            ):
                run()
        finally:
            torch.cuda.set_stream(current)  # PyTorch does not restore it after an error
    return graph.replay


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """RETURNS (Stream): The capture stream of a device. PyTorch has only one capture stream, on the
    device that was used first."""
    make_stream: Callable[[torch.device], torch.cuda.Stream] = torch.cuda.Stream
    return make_stream(device)


def can_capture(device: torch.device) -> bool:
    """RETURNS (bool): Whether steps can be captured and replayed on a device at this moment."""
    if device.type != "cuda" or torch.cuda.is_current_stream_capturing():
        return False
    # all graphs share one buffer for their states, which another stream could overwrite
    on_default = torch.cuda.current_stream(device) == torch.cuda.default_stream(device)
    return on_default and graphs_work(device)


@cache
def graphs_work(device: torch.device) -> bool:
    """RETURNS (bool): Whether a capture only records the work, and a replay runs it."""
    x = torch.zeros(1, dtype=torch.float32, device=device)
    try:
        replay = capture(lambda: x.add_(1), device, n_warmup=0)
    except RuntimeError:
        return False
    before = float(x)
    replay()
    return (before, float(x)) == (0.0, 1.0)


def max_rows(n_directions: int, hidden_dim: int, dtype: torch.dtype) -> int:
    """Return the largest number of rows of a captured step, a power of two.

    n_directions (int): Directions of the layer.
    hidden_dim (int): Width H of the cell.
    dtype (torch.dtype): Dtype of the matrix products.
    RETURNS (int): The number of rows.
    """
    slow = dtype == torch.float32 and torch.backends.cuda.matmul.fp32_precision != "tf32"
    n_bytes = FLOAT32_GATE_BYTES if slow else GATE_BYTES
    row = n_directions * STEPS_PER_GRAPH * 4 * hidden_dim * dtype.itemsize
    return int(2 ** np.floor(np.log2(max(1, n_bytes // row))))


def round_up(n_rows: np.ndarray) -> np.ndarray:
    """Round numbers of rows up to captured sizes.

    n_rows (ndarray): Numbers of rows, int64.
    RETURNS (ndarray): Powers of two, and above `SMALL_ROWS` also three sizes between two
        successive powers, int64.
    """
    exponent = np.ceil(np.log2(n_rows)).astype(np.int64)
    step = 2 ** np.where(n_rows <= SMALL_ROWS, exponent, np.maximum(exponent - 3, 0))
    rounded: np.ndarray = -(-n_rows // step) * step
    return rounded


def pad_steps(active: np.ndarray, max_rows: int) -> np.ndarray:
    """Pad the steps of a batch to captured sizes.

    active (ndarray): Rows of each step, descending, int64 [n_steps].
    max_rows (int): Steps with more rows are not captured and not padded.
    RETURNS (ndarray): At least as many rows and steps, int64. From the first step with at most
        `max_rows` rows on, each group of `STEPS_PER_GRAPH` steps has one number of rows.
    """
    first = int(np.searchsorted(-active, -max_rows))
    rest = active[first::STEPS_PER_GRAPH]
    return np.concatenate([active[:first], np.repeat(round_up(rest), STEPS_PER_GRAPH)])


def group_steps(active: list[int], max_rows: int) -> Iterator[tuple[bool, list[int]]]:
    """Group consecutive steps by whether they are replayed from CUDA graphs.

    active (List[int]): Rows of each step, descending.
    max_rows (int): Steps with more rows are not captured.
    YIELDS (Tuple[bool, List[int]]): Whether the steps are replayed, and the rows of each step.
        Replayed steps come in groups of `STEPS_PER_GRAPH` with the same number of rows.
    """
    sizes = round_up(np.array(active, dtype=np.int64)).tolist() if active else []
    start, replayed = 0, False
    step = 0
    while step < len(active):
        n = active[step]
        next_graph = step + STEPS_PER_GRAPH
        fills_graph = next_graph <= len(active) and active[next_graph - 1] == n
        fits = fills_graph and n <= max_rows and n == sizes[step]
        if fits != replayed:
            if step > start:
                yield replayed, active[start:step]
            start, replayed = step, fits
        step = next_graph if fits else step + 1
    if step > start:
        yield replayed, active[start:step]


class GraphedSteps:
    """Steps of a layer as CUDA graphs. The graph of a row count is captured at its first use.

    matmul (Matmul): The weights of all directions.
    bounds (Bounds): Bounds at which to clip.
    h, c (Tensor): Example states [D, n, P] and [D, n, H], for their widths, dtype and device.
    max_rows (int): Largest number of rows of a captured step, from `max_rows`.
    """

    def __init__(
        self, matmul: Matmul, bounds: Bounds, *, h: Tensor, c: Tensor, max_rows: int
    ) -> None:
        self.matmul, self.bounds = matmul, bounds
        n_directions, _, dim = h.shape
        # normal tensors, which can also be written outside of inference mode
        with torch.inference_mode(False):
            self.h = h.new_zeros(n_directions, max_rows, dim)
            self.c = c.new_zeros(n_directions, max_rows, c.shape[2], dtype=h.dtype)
            self.x = h.new_zeros(n_directions, STEPS_PER_GRAPH * max_rows, dim)
            self.outputs = h.new_zeros(n_directions, STEPS_PER_GRAPH * max_rows, dim)
        self.replays: dict[int, Callable[[], None]] = {}
        self.pool: Any = None
        self._lock = Lock()  # a server may call one pipeline from several threads

    def __call__(
        self,
        x: Tensor,
        h: Tensor,
        c: Tensor,
        *,
        groups: Sequence[tuple[bool, list[int]]],
        outputs: Tensor,
    ) -> None:
        """Run the steps of a packed batch, like `recurrence.run`.

        x (Tensor): Inputs [D, R, P].
        h, c (Tensor): States before the first step; overwritten by the last states.
        groups (Sequence[Tuple[bool, List[int]]]): The steps, from `group_steps`.
        outputs (Tensor): Written: outputs [D, R, P].
        """
        with self._lock:
            # capture first: a capture overwrites the buffers
            captured = self._capture_all({n for replayed, ns in groups if replayed for n in ns})
            row = 0
            for replayed, steps in groups:
                rows = slice(row, row + sum(steps))
                row = rows.stop
                if replayed and captured:
                    n = steps[0]
                    self._replay(
                        x[:, rows], h[:, :n], c[:, :n], steps=steps, outputs=outputs[:, rows]
                    )
                else:
                    run(
                        x[:, rows],
                        h,
                        c,
                        matmul=self.matmul,
                        active=steps,
                        bounds=self.bounds,
                        outputs=outputs[:, rows],
                    )

    def _capture_all(self, sizes: set[int]) -> bool:
        """RETURNS (bool): Whether there is a graph for each of these numbers of rows."""
        try:
            for n in sizes - set(self.replays):
                self.replays[n] = self._capture(n)
        except RuntimeError as error:
            warnings.warn(
                f"The LSTM steps could not be captured as CUDA graphs ({error}). Their kernels "
                f"are launched one by one, which is slower.",
                stacklevel=2,
            )
            return False
        return True

    def _capture(self, n_rows: int) -> Callable[[], None]:
        if self.pool is None:
            # replays never overlap, and no graph uses memory of the pool between replays
            self.pool = torch.cuda.graph_pool_handle()
        return capture(lambda: self._run(n_rows), self.h.device, pool=self.pool)

    def _run(self, n_rows: int) -> None:
        """Run the steps of one graph on the buffers."""
        rows = slice(STEPS_PER_GRAPH * n_rows)
        run(
            self.x[:, rows],
            self.h[:, :n_rows],
            self.c[:, :n_rows],
            matmul=self.matmul,
            active=[n_rows] * STEPS_PER_GRAPH,
            bounds=self.bounds,
            outputs=self.outputs[:, rows],
        )

    def _replay(
        self, x: Tensor, h: Tensor, c: Tensor, *, steps: list[int], outputs: Tensor
    ) -> None:
        n_rows = steps[0]
        self.h[:, :n_rows].copy_(h)
        self.c[:, :n_rows].copy_(c)
        sizes = [n * STEPS_PER_GRAPH for n in steps[::STEPS_PER_GRAPH]]
        graph_inputs = x.split_with_sizes(sizes, dim=1)
        graph_outputs = outputs.split_with_sizes(sizes, dim=1)
        for n, graph_x, graph_out in zip(sizes, graph_inputs, graph_outputs):
            self.x[:, :n].copy_(graph_x)
            self.replays[n // STEPS_PER_GRAPH]()
            graph_out.copy_(self.outputs[:, :n])
        h.copy_(self.h[:, :n_rows])
        c.copy_(self.c[:, :n_rows])
