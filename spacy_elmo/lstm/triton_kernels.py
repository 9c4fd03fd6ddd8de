"""Triton kernels for the elementwise arithmetic of an LSTM step; see `fused`.

Each works on rows of one direction, `width` elements wide or, for the gates, four times as
wide; directions lie a stride apart. Imported only where there is a GPU.
"""

import triton
import triton.language as tl


@triton.jit
def _clip(x, bound):  # type: ignore[no-untyped-def]
    # what is not a number stays so
    x = tl.where(x > bound, bound, x)
    return tl.where(x < -bound, -bound, x)


@triton.jit
def cell(  # type: ignore[no-untyped-def]
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
def output(  # type: ignore[no-untyped-def]
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
def output_back(  # type: ignore[no-untyped-def]
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
def cell_back(  # type: ignore[no-untyped-def]
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
