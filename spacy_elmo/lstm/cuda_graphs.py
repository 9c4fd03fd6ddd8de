"""Steps of an LSTM layer on a GPU, recorded as CUDA graphs and played again.

A step is a handful of small operations, and for few rows the GPU is done with them before its
host has launched the next. Some steps at a time are recorded for a number of rows and then
launched as a whole. Rows and steps of a batch are filled up to what is recorded: the sentences
that are there do not see it.
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
from .matmul import Products
from .recurrence import run

N_STEPS = 4  # of a recording
# What the gates of a recording may take. More rows keep a GPU busy without one; fewer do where
# it multiplies float32 as it is, many times slower.
GATE_BYTES, GATE_BYTES_OF_FLOAT32 = 2**27, 2**25
SMALL = 64  # up to here a product takes as long for any number of rows
# before a recording: libraries prepare themselves at the first calls
N_REHEARSALS = 3


# torch records one graph at a time in a process
_recording = RLock()


def record(
    run: Callable[[], object],
    device: torch.device,
    n_rehearsals: int = N_REHEARSALS,
    pool: Any = None,
) -> Callable[[], None]:
    """Record what a function does on a GPU.

    n_rehearsals (int): Calls before that of the recording.
    pool (Any): Where the recording has its memory, by `torch.cuda.graph_pool_handle`; None for
        a place of its own.
    RETURNS (Callable[[], None]): Does it again, in the same memory, without the function. The
        tensors from before that it reads and writes must be kept for as long.
    """
    with _recording, torch.cuda.device(device):
        stream, current = _stream(device), torch.cuda.current_stream()
        stream.wait_stream(current)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.stream(stream):
                for _ in range(n_rehearsals):
                    run()
            current.wait_stream(stream)
            # other threads may go on with what they do on the GPU
            with torch.cuda.graph(
                graph, pool=pool, stream=stream, capture_error_mode="thread_local"
            ):
                run()
        finally:
            torch.cuda.set_stream(current)  # where it failed, torch does not go back
    return graph.replay


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """One of its own for each device: torch's own for recordings is on the first one used."""
    return torch.cuda.Stream(device)


def can_record(device: torch.device) -> bool:
    """RETURNS (bool): Whether steps can be recorded and played now, on a device."""
    if device.type != "cuda" or torch.cuda.is_current_stream_capturing():
        return False
    # what is recorded has one place for its states: work on other streams would be in its way
    on_default = torch.cuda.current_stream(device) == torch.cuda.default_stream(device)
    return on_default and graphs_work(device)


@cache
def graphs_work(device: torch.device) -> bool:
    """RETURNS (bool): Whether a device records without doing, and plays what was recorded."""
    x = torch.zeros(1, dtype=torch.float32, device=device)
    try:
        replay = record(lambda: x.add_(1), device, n_rehearsals=0)
    except RuntimeError:
        return False
    before = float(x)
    replay()
    return (before, float(x)) == (0.0, 1.0)


def max_rows(n_directions: int, hidden_dim: int, dtype: torch.dtype) -> int:
    """RETURNS (int): Most rows of a step that are recorded for, a power of two."""
    slow = dtype == torch.float32 and torch.backends.cuda.matmul.fp32_precision != "tf32"
    n_bytes = GATE_BYTES_OF_FLOAT32 if slow else GATE_BYTES
    row = n_directions * N_STEPS * 4 * hidden_dim * dtype.itemsize
    return int(2 ** np.floor(np.log2(max(1, n_bytes // row))))


def round_up(n_rows: np.ndarray) -> np.ndarray:
    """RETURNS (ndarray): Numbers of rows that are recorded for: powers of two, and from
    `SMALL` on three between two of these."""
    exponent = np.ceil(np.log2(n_rows)).astype(np.int64)
    step = 2 ** np.where(n_rows <= SMALL, exponent, np.maximum(exponent - 3, 0))
    return -(-n_rows // step) * step


def widen(active: np.ndarray, most: int) -> np.ndarray:
    """Fill the steps of a batch up to what is recorded.

    active (ndarray): Rows of each step, descending.
    most (int): Of a step with more rows nothing is recorded.
    RETURNS (ndarray): No fewer rows and steps: from the first step with at most so many rows
        on, `N_STEPS` steps at a time have the same number.
    """
    first = int(np.searchsorted(-active, -most))
    rest = active[first::N_STEPS]
    return np.concatenate([active[:first], np.repeat(round_up(rest), N_STEPS)])


def stretches(active: list[int], most: int) -> Iterator[tuple[bool, list[int]]]:
    """Divide steps by whether they are recorded.

    active (List[int]): Rows of each step, descending.
    most (int): Of a step with more rows nothing is recorded.
    YIELDS (Tuple[bool, List[int]]): Whether the next steps are, and their rows; of recorded
        steps, `N_STEPS` at a time have the same number.
    """
    sizes = round_up(np.array(active, dtype=np.int64)).tolist() if active else []
    start, recorded = 0, False
    step = 0
    while step < len(active):
        n = active[step]
        whole = step + N_STEPS <= len(active) and active[step + N_STEPS - 1] == n
        fits = whole and n <= most and n == sizes[step]
        if fits != recorded:
            if step > start:
                yield recorded, active[start:step]
            start, recorded = step, fits
        step += N_STEPS if fits else 1
    if step > start:
        yield recorded, active[start:step]


class RecordedSteps:
    """Steps of a layer, each number of rows recorded when it is first met.

    products (Products): The weights, of all directions.
    bounds (Bounds): Where to clip.
    h, c (Tensor): States as they are given later, [D, n, P] and [D, n, H], for their sizes.
    most (int): Rows of a step at the most, by `max_rows`.
    """

    def __init__(self, products: Products, bounds: Bounds, h: Tensor, c: Tensor, most: int) -> None:
        self.products, self.bounds, self.most = products, bounds, most
        n_directions, _, dim = h.shape
        # also written outside of inference_mode
        with torch.inference_mode(False):
            self.h, self.c = (
                torch.zeros(n_directions, most, state.shape[2], dtype=h.dtype, device=h.device)
                for state in (h, c)
            )
            self.x, self.outputs = (h.new_zeros(n_directions, N_STEPS * most, dim) for _ in "xy")
        self.replays: dict[int, Callable[[], None]] = {}
        self.pool: Any = None
        self._lock = Lock()  # a server may run one pipeline in several threads

    def __call__(
        self,
        x: Tensor,
        h: Tensor,
        c: Tensor,
        parts: Sequence[tuple[bool, list[int]]],
        outputs: Tensor,
    ) -> None:
        """As `recurrence.run`, with the steps as `stretches` divides them."""
        with self._lock:
            # before states lie where recordings read and write
            can_play = self._prepare({n for recorded, ns in parts if recorded for n in ns})
            row = 0
            for recorded, steps in parts:
                rows = slice(row, row + sum(steps))
                row = rows.stop
                if recorded and can_play:
                    n = steps[0]
                    self._play(x[:, rows], h[:, :n], c[:, :n], steps, outputs[:, rows])
                else:
                    run(x[:, rows], h, c, self.products, steps, self.bounds, outputs[:, rows])

    def _prepare(self, sizes: set[int]) -> bool:
        """RETURNS (bool): Whether there are recordings for all these numbers of rows."""
        try:
            for n in sizes - set(self.replays):
                self.replays[n] = self._record(n)
        except RuntimeError as error:
            warnings.warn(
                f"The steps of the biLM could not be recorded ({error}): they are launched one "
                f"by one, which is slower.",
                stacklevel=2,
            )
            return False
        return True

    def _play(self, x: Tensor, h: Tensor, c: Tensor, steps: list[int], outputs: Tensor) -> None:
        n_rows = steps[0]
        self.h[:, :n_rows].copy_(h)
        self.c[:, :n_rows].copy_(c)
        sizes = [n * N_STEPS for n in steps[::N_STEPS]]
        for n, given, wanted in zip(sizes, x.split(sizes, dim=1), outputs.split(sizes, dim=1)):
            self.x[:, :n].copy_(given)
            self.replays[n // N_STEPS]()
            wanted.copy_(self.outputs[:, :n])
        h.copy_(self.h[:, :n_rows])
        c.copy_(self.c[:, :n_rows])

    def _record(self, n_rows: int) -> Callable[[], None]:
        if self.pool is None:
            # all play one after the other and leave nothing there that another needs
            self.pool = torch.cuda.graph_pool_handle()
        return record(lambda: self._run(n_rows), self.h.device, pool=self.pool)

    def _run(self, n_rows: int) -> None:
        rows, state = slice(N_STEPS * n_rows), slice(n_rows)
        parts = self.x[:, rows], self.h[:, state], self.c[:, state]
        run(*parts, self.products, [n_rows] * N_STEPS, self.bounds, self.outputs[:, rows])
