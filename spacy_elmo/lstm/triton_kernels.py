"""Triton kernels for the elementwise operations of an LSTM step, launched by `fused_cell`.

Each program of a kernel works on the rows of one direction. A row has `WIDTH` elements, and a row
of gates 4 * WIDTH. Directions are a stride apart, and the rows of a direction are contiguous. This
module is imported only on a machine with a GPU.
"""

# Triton has no type annotations, and the arguments of a kernel are pointers.
# mypy: disable-error-code="no-untyped-def, untyped-decorator"

import triton
import triton.language as tl


@triton.jit
def _clip(x, bound):
    # propagates NaN
    x = tl.where(x > bound, bound, x)
    return tl.where(x < -bound, -bound, x)


@triton.jit
def cell(
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
    SAVES: tl.constexpr,
):
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    d = tl.program_id(1).to(tl.int64)
    mask = k < n
    wide = (k // WIDTH) * (4 * WIDTH) + k % WIDTH
    sums += d * sums_stride + wide
    i = tl.sigmoid(tl.load(sums, mask).to(tl.float32))
    f = tl.sigmoid(tl.load(sums + WIDTH, mask).to(tl.float32))
    o = tl.sigmoid(tl.load(sums + 2 * WIDTH, mask).to(tl.float32))
    g = 2 * tl.sigmoid(2 * tl.load(sums + 3 * WIDTH, mask).to(tl.float32)) - 1
    cell += d * cell_stride + k
    c = f * tl.load(cell, mask) + i * g
    if CLIPS:
        c = _clip(c, bound)
    tanh_c = 2 * tl.sigmoid(2 * c) - 1
    tl.store(cell, c, mask)
    tl.store(out + d * out_stride + k, o * tanh_c, mask)
    if SAVES:
        gates += d * gates_stride + wide
        tl.store(gates, i, mask)
        tl.store(gates + WIDTH, f, mask)
        tl.store(gates + 2 * WIDTH, o, mask)
        tl.store(gates + 3 * WIDTH, g, mask)
        tl.store(cells + d * cells_stride + k, c, mask)
        tl.store(tanh_cells + d * tanh_cells_stride + k, tanh_c, mask)


@triton.jit
def output(
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
    mask = k < n
    y = tl.load(projected + d * projected_stride + k, mask).to(tl.float32)
    if CLIPS:
        y = _clip(y, bound)
    tl.store(state + d * state_stride + k, y, mask)
    tl.store(outputs + d * outputs_stride + k, y, mask)


@triton.jit
def output_backward(
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
    mask = k < n
    d_y = tl.load(d_state + d * d_state_stride + k, mask)
    d_y += tl.load(d_out + d * d_out_stride + k, mask)
    if CLIPS:
        y = tl.load(outputs + d * outputs_stride + k, mask)
        d_y = tl.where((y >= bound) | (y <= -bound), 0.0, d_y)
    tl.store(d_projected + d * d_projected_stride + k, d_y, mask)


@triton.jit
def cell_backward(
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
    mask = k < n
    wide = (k // WIDTH) * (4 * WIDTH) + k % WIDTH
    gates += d * gates_stride + wide
    i = tl.load(gates, mask)
    f = tl.load(gates + WIDTH, mask)
    o = tl.load(gates + 2 * WIDTH, mask)
    g = tl.load(gates + 3 * WIDTH, mask)
    tanh_c = tl.load(tanh_cells + d * tanh_cells_stride + k, mask)
    dy = tl.load(d_y + d * d_y_stride + k, mask).to(tl.float32)
    d_cell += d * d_cell_stride + k
    dc = tl.load(d_cell, mask) + dy * o * (1 - tanh_c * tanh_c)
    if CLIPS:
        c = tl.load(cells + d * cells_stride + k, mask)
        dc = tl.where((c >= bound) | (c <= -bound), 0.0, dc)
    c_before = tl.load(before + d * before_stride + k, mask)
    d_gates += d * d_gates_stride + wide
    tl.store(d_gates, dc * g * i * (1 - i), mask)
    tl.store(d_gates + WIDTH, dc * c_before * f * (1 - f), mask)
    tl.store(d_gates + 2 * WIDTH, dy * tanh_c * o * (1 - o), mask)
    tl.store(d_gates + 3 * WIDTH, dc * i * (1 - g * g), mask)
    tl.store(d_cell, dc * f, mask)
