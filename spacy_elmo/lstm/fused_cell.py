"""The elementwise arithmetic of an LSTM layer on a GPU: one kernel between two products.

The formulas are those of `arithmetic`, for float32 states with an axis of directions. There
each operation is a kernel of its own, which reads and writes all that it works on.
"""

import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache

import torch
from torch import Tensor

from .cell import Bounds, PlainArithmetic, Tape

BLOCK = 1024


def is_fusible(c: Tensor) -> bool:
    """RETURNS (bool): Whether the kernels run where cells [D, n_rows, H] are."""
    return c.is_cuda and c.dim() == 3 and c.dtype == torch.float32 and kernels_work(c.device)


@cache
def kernels_work(device: torch.device) -> bool:
    """RETURNS (bool): Whether Triton is there, builds a kernel for a device, and it is right.
    Building takes a C compiler and Python's headers."""
    sums, cell = (
        torch.linspace(-5, 5, n, dtype=torch.float32, device=device).view(1, 3, -1)
        for n in (48, 12)
    )
    expected = PlainArithmetic(Bounds(1.0, None)).cell(sums.clone(), cell.clone(), None)
    try:
        found = FusedArithmetic(Bounds(1.0, None)).cell(sums, cell, None)
    except ImportError:  # it comes with torch for GPUs on Linux alone
        return False
    except Exception as error:  # noqa: BLE001
        warnings.warn(
            f"The LSTMs run without Triton, which is slower: it builds no kernels here "
            f"({type(error).__name__}: {error}). It needs a C compiler and the headers of Python.",
            stacklevel=2,
        )
        return False
    return torch.allclose(found, expected, atol=1e-5)


class FusedArithmetic:
    """As `arithmetic.PlainArithmetic`.

    bounds (Bounds): Where to clip.
    projects (bool): Whether a product follows the cell, so that its type will do.
    """

    def __init__(self, bounds: Bounds, projects: bool = False) -> None:
        self.bounds, self.projects = bounds, projects

    def cell(self, sums: Tensor, cell: Tensor, tape: Tape | None) -> Tensor:
        dtype = sums.dtype if self.projects else cell.dtype
        out = torch.empty_like(cell, dtype=dtype, memory_format=torch.contiguous_format)
        gates, cells, tanh_cells = (out, out, out) if tape is None else vars(tape).values()
        parts = (sums, cell, out, gates, cells, tanh_cells)
        _launch("cell", cell, parts, self.bounds.cell, TAPE=tape is not None)
        return out

    def output(self, projected: Tensor, state: Tensor, outputs: Tensor) -> None:
        _launch("output", state, (projected, state, outputs), self.bounds.output)

    def output_back(
        self, d_state: Tensor, d_out: Tensor, outputs: Tensor, d_projected: Tensor
    ) -> None:
        parts = (d_state, _readable(d_out), outputs, d_projected)
        _launch("output_back", d_state, parts, self.bounds.output)

    def cell_back(
        self, d_y: Tensor, d_cell: Tensor, before: Tensor, tape: Tape, d_gates: Tensor
    ) -> None:
        parts = (d_y, d_cell, _readable(before), *vars(tape).values(), d_gates)
        _launch("cell_back", d_cell, parts, self.bounds.cell)

    def bias(self, d_gates: Tensor) -> Tensor:
        return d_gates.sum(dim=-2, dtype=torch.float32)


def _launch(
    name: str, x: Tensor, parts: Sequence[Tensor], bound: float | None, **switches: bool
) -> None:
    """Run a kernel for each element of x [D, n, width], on parts whose rows are as wide or
    four times as wide and follow each other within a direction."""
    from . import triton_kernels as kernels

    for part in parts:
        if not _has_whole_rows(part):
            raise ValueError(
                f"The kernel {name} was given a tensor {tuple(part.shape)} with the strides "
                f"{part.stride()}; its rows must follow each other."
            )
    n_directions, n_rows, width = x.shape
    # Triton launches on the current device, wherever the tensors are
    elsewhere = x.is_cuda and x.device.index != torch.cuda.current_device()
    with torch.cuda.device(x.device) if elsewhere else nullcontext():
        getattr(kernels, name)[(-(-n_rows * width // BLOCK), n_directions)](
            *parts,
            *(part.stride(0) for part in parts),
            n_rows * width,
            0.0 if bound is None else bound,
            WIDTH=width,
            CLIPS=bound is not None,
            BLOCK=BLOCK,
            **switches,
        )


def _readable(x: Tensor) -> Tensor:
    return x if _has_whole_rows(x) else x.contiguous()


def _has_whole_rows(x: Tensor) -> bool:
    return x.stride(2) == 1 and x.stride(1) == x.shape[2]
