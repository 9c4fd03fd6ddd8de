"""The elementwise arithmetic of an LSTM layer on a GPU: one kernel between two products.

The formulas are those of `arithmetic`, for float32 states with an axis of directions. There
each operation is a kernel of its own, which reads and writes all that it works on.
"""

from functools import cache
from typing import Any, Optional

import torch
from torch import Tensor

from .arithmetic import Bounds, Tape

try:
    import triton
    import triton.language as tl
except ImportError:  # comes with torch for GPUs on Linux
    triton = None

BLOCK = 1024


@cache
def has_triton() -> bool:
    return triton is not None


def is_fusible(c: Tensor) -> bool:
    """RETURNS (bool): Whether the kernels run where cells [D, n_rows, H] are."""
    return c.is_cuda and c.dim() == 3 and c.dtype == torch.float32 and has_triton()


class FusedArithmetic:
    """As `arithmetic.PlainArithmetic`.

    bounds (Bounds): Where to clip.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds

    def cell(self, sums: Tensor, cell: Tensor, tape: Optional[Tape]) -> Tensor:
        out = torch.empty_like(cell, dtype=sums.dtype, memory_format=torch.contiguous_format)
        gates, cells, tanh_cells = (out, out, out) if tape is None else vars(tape).values()
        parts = (sums, cell, out, gates, cells, tanh_cells)
        _launch(_cell, cell, parts, self.bounds.cell, TAPE=tape is not None)
        return out

    def output(self, projected: Tensor, state: Tensor, outputs: Tensor) -> None:
        _launch(_output, state, (projected, state, outputs), self.bounds.output)

    def output_back(
        self, d_state: Tensor, d_out: Tensor, outputs: Tensor, d_projected: Tensor
    ) -> None:
        parts = (d_state, d_out, outputs, d_projected)
        _launch(_output_back, d_state, parts, self.bounds.output)

    def cell_back(
        self, d_y: Tensor, d_cell: Tensor, before: Tensor, tape: Tape, d_gates: Tensor
    ) -> None:
        parts = (d_y, d_cell, before, *vars(tape).values(), d_gates)
        _launch(_cell_back, d_cell, parts, self.bounds.cell)

    def bias(self, d_gates: Tensor) -> Tensor:
        return d_gates.sum(dim=-2, dtype=torch.float32)


def _launch(kernel: Any, x: Tensor, parts: Any, bound: Optional[float], **switches: bool) -> None:
    """Run a kernel for each element of x [D, n, width], on parts whose rows are as wide or
    four times as wide and follow each other within a direction."""
    n_directions, n_rows, width = x.shape
    parts = [part if _has_whole_rows(part) else part.contiguous() for part in parts]
    kernel[(triton.cdiv(n_rows * width, BLOCK), n_directions)](
        *parts,
        *(part.stride(0) for part in parts),
        n_rows * width,
        0.0 if bound is None else bound,
        WIDTH=width,
        CLIPS=bound is not None,
        BLOCK=BLOCK,
        **switches,
    )


def _has_whole_rows(x: Tensor) -> bool:
    return x.stride(2) == 1 and x.stride(1) == x.shape[2]


if triton is not None:

    @triton.jit
    def _clip(x, bound):  # type: ignore[no-untyped-def]
        # what is not a number stays so
        x = tl.where(x > bound, bound, x)
        return tl.where(x < -bound, -bound, x)

    @triton.jit
    def _cell(  # type: ignore[no-untyped-def]
        sums,
        cell,
        out,
        gates,
        cells,
        tanh_cells,
        sums_stride,
        cell_stride,
        out_stride,
        gates_stride,
        cells_stride,
        tanh_cells_stride,
        n,
        bound,
        WIDTH: tl.constexpr,
        CLIPS: tl.constexpr,
        BLOCK: tl.constexpr,
        TAPE: tl.constexpr,
    ):
        k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        d = tl.program_id(1).to(tl.int64)
        there = k < n
        wide = (k // WIDTH) * (4 * WIDTH) + k % WIDTH
        sums += d * sums_stride + wide
        i = tl.sigmoid(tl.load(sums, there).to(tl.float32))
        f = tl.sigmoid(tl.load(sums + WIDTH, there).to(tl.float32))
        o = tl.sigmoid(tl.load(sums + 2 * WIDTH, there).to(tl.float32))
        g = 2 * tl.sigmoid(2 * tl.load(sums + 3 * WIDTH, there).to(tl.float32)) - 1
        cell += d * cell_stride + k
        c = f * tl.load(cell, there) + i * g
        if CLIPS:
            c = _clip(c, bound)
        tanh_c = 2 * tl.sigmoid(2 * c) - 1
        tl.store(cell, c, there)
        tl.store(out + d * out_stride + k, o * tanh_c, there)
        if TAPE:
            gates += d * gates_stride + wide
            tl.store(gates, i, there)
            tl.store(gates + WIDTH, f, there)
            tl.store(gates + 2 * WIDTH, o, there)
            tl.store(gates + 3 * WIDTH, g, there)
            tl.store(cells + d * cells_stride + k, c, there)
            tl.store(tanh_cells + d * tanh_cells_stride + k, tanh_c, there)

    @triton.jit
    def _output(  # type: ignore[no-untyped-def]
        projected,
        state,
        outputs,
        projected_stride,
        state_stride,
        outputs_stride,
        n,
        bound,
        WIDTH: tl.constexpr,
        CLIPS: tl.constexpr,
        BLOCK: tl.constexpr,
    ):
        k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        d = tl.program_id(1).to(tl.int64)
        there = k < n
        y = tl.load(projected + d * projected_stride + k, there).to(tl.float32)
        if CLIPS:
            y = _clip(y, bound)
        tl.store(state + d * state_stride + k, y, there)
        tl.store(outputs + d * outputs_stride + k, y, there)

    @triton.jit
    def _output_back(  # type: ignore[no-untyped-def]
        d_state,
        d_out,
        outputs,
        d_projected,
        d_state_stride,
        d_out_stride,
        outputs_stride,
        d_projected_stride,
        n,
        bound,
        WIDTH: tl.constexpr,
        CLIPS: tl.constexpr,
        BLOCK: tl.constexpr,
    ):
        k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        d = tl.program_id(1).to(tl.int64)
        there = k < n
        d_y = tl.load(d_state + d * d_state_stride + k, there)
        d_y += tl.load(d_out + d * d_out_stride + k, there)
        if CLIPS:
            y = tl.load(outputs + d * outputs_stride + k, there)
            d_y = tl.where((y >= bound) | (y <= -bound), 0.0, d_y)
        tl.store(d_projected + d * d_projected_stride + k, d_y, there)

    @triton.jit
    def _cell_back(  # type: ignore[no-untyped-def]
        d_y,
        d_cell,
        before,
        gates,
        cells,
        tanh_cells,
        d_gates,
        d_y_stride,
        d_cell_stride,
        before_stride,
        gates_stride,
        cells_stride,
        tanh_cells_stride,
        d_gates_stride,
        n,
        bound,
        WIDTH: tl.constexpr,
        CLIPS: tl.constexpr,
        BLOCK: tl.constexpr,
    ):
        k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        d = tl.program_id(1).to(tl.int64)
        there = k < n
        wide = (k // WIDTH) * (4 * WIDTH) + k % WIDTH
        gates += d * gates_stride + wide
        i = tl.load(gates, there)
        f = tl.load(gates + WIDTH, there)
        o = tl.load(gates + 2 * WIDTH, there)
        g = tl.load(gates + 3 * WIDTH, there)
        tanh_c = tl.load(tanh_cells + d * tanh_cells_stride + k, there)
        dy = tl.load(d_y + d * d_y_stride + k, there).to(tl.float32)
        d_cell += d * d_cell_stride + k
        dc = tl.load(d_cell, there) + dy * o * (1 - tanh_c * tanh_c)
        if CLIPS:
            c = tl.load(cells + d * cells_stride + k, there)
            dc = tl.where((c >= bound) | (c <= -bound), 0.0, dc)
        c_before = tl.load(before + d * before_stride + k, there)
        d_gates += d * d_gates_stride + wide
        tl.store(d_gates, dc * g * i * (1 - i), there)
        tl.store(d_gates + WIDTH, dc * c_before * f * (1 - f), there)
        tl.store(d_gates + 2 * WIDTH, dy * tanh_c * o * (1 - o), there)
        tl.store(d_gates + 3 * WIDTH, dc * i * (1 - g * g), there)
        tl.store(d_cell, dc * f, there)
