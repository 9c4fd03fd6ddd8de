"""Elementwise operations of an LSTM step on a GPU, one fused Triton kernel between two GEMMs.

The formulas are the same as in `cell`, where each operation is a separate kernel that reads and
writes whole tensors. States are float32 and have a direction axis.
"""

import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache

import torch
from torch import Tensor

from .cell import Bounds, SavedActivations, TorchCellOps

BLOCK = 1024


def is_fusible(c: Tensor) -> bool:
    """RETURNS (bool): Whether the kernels run on cells [D, n_rows, H] of this device and dtype."""
    return c.is_cuda and c.dim() == 3 and c.dtype == torch.float32 and kernels_work(c.device)


@cache
def kernels_work(device: torch.device) -> bool:
    """Probe Triton on a device. Compiling needs a C compiler and Python's headers.

    device (torch.device): The GPU.
    RETURNS (bool): Whether Triton compiles a kernel and the kernel is correct.
    """
    sums, cell = (
        torch.linspace(-5, 5, n, dtype=torch.float32, device=device).view(1, 3, -1)
        for n in (48, 12)
    )
    expected = TorchCellOps(Bounds(1.0, None)).cell(sums.clone(), cell.clone(), None)
    try:
        found = TritonCellOps(Bounds(1.0, None)).cell(sums, cell, None)
    except ImportError:  # PyTorch ships Triton with its CUDA builds for Linux only
        return False
    except Exception as error:  # noqa: BLE001
        warnings.warn(
            f"The LSTMs run without Triton, which is slower: Triton cannot compile kernels here "
            f"({type(error).__name__}: {error}). Install a C compiler and Python's headers.",
            stacklevel=2,
        )
        return False
    return torch.allclose(found, expected, atol=1e-5)


class TritonCellOps:
    """`CellOps` in fused Triton kernels.

    bounds (Bounds): Bounds at which to clip.
    projects (bool): Whether the output of `cell` is projected. `cell` then returns the dtype of
        the matrix products.
    """

    def __init__(self, bounds: Bounds, projects: bool = False) -> None:
        self.bounds, self.projects = bounds, projects

    def cell(self, sums: Tensor, cell: Tensor, saved: SavedActivations | None) -> Tensor:
        dtype = sums.dtype if self.projects else cell.dtype
        out = torch.empty_like(cell, dtype=dtype, memory_format=torch.contiguous_format)
        if saved is None:
            gates = cells = tanh_cells = out  # not written
        else:
            gates, cells, tanh_cells = saved.gates, saved.cell, saved.tanh_cell
        tensors = (sums, cell, out, gates, cells, tanh_cells)
        _launch("cell", cell, tensors, self.bounds.cell, SAVES=saved is not None)
        return out

    def output(self, projected: Tensor, state: Tensor, outputs: Tensor) -> None:
        _launch("output", state, (projected, state, outputs), self.bounds.output)

    def output_backward(
        self, d_state: Tensor, d_out: Tensor, outputs: Tensor, d_projected: Tensor
    ) -> None:
        tensors = (d_state, _with_whole_rows(d_out), outputs, d_projected)
        _launch("output_backward", d_state, tensors, self.bounds.output)

    def cell_backward(
        self,
        d_y: Tensor,
        d_cell: Tensor,
        before: Tensor,
        saved: SavedActivations,
        d_gates: Tensor,
    ) -> None:
        before = _with_whole_rows(before)
        tensors = (d_y, d_cell, before, saved.gates, saved.cell, saved.tanh_cell, d_gates)
        _launch("cell_backward", d_cell, tensors, self.bounds.cell)

    def bias_gradient(self, d_gates: Tensor) -> Tensor:
        return d_gates.sum(dim=-2, dtype=torch.float32)


def _launch(
    name: str, x: Tensor, tensors: Sequence[Tensor], bound: float | None, **switches: bool
) -> None:
    """Launch a kernel with one thread for each element of x [D, n, width].

    tensors (Sequence[Tensor]): Arguments of the kernel, [D, n, width] or [D, n, 4 * width]; the
        rows of a direction must be contiguous.
    bound (Optional[float]): Bound at which the kernel clips.
    switches (bool): Further compile-time constants of the kernel.
    RAISES (ValueError): If the rows of a tensor are not contiguous.
    """
    from . import triton_kernels as kernels

    for tensor in tensors:
        if not _has_whole_rows(tensor):
            raise ValueError(
                f"The kernel {name} was given a tensor {tuple(tensor.shape)} with strides "
                f"{tensor.stride()}; the rows of each direction must be contiguous."
            )
    n_directions, n_rows, width = x.shape
    # Triton launches on the current device, which need not be the tensors' device
    elsewhere = x.is_cuda and x.device.index != torch.cuda.current_device()
    with torch.cuda.device(x.device) if elsewhere else nullcontext():
        getattr(kernels, name)[(-(-n_rows * width // BLOCK), n_directions)](
            *tensors,
            *(tensor.stride(0) for tensor in tensors),
            n_rows * width,
            0.0 if bound is None else bound,
            WIDTH=width,
            CLIPS=bound is not None,
            BLOCK=BLOCK,
            **switches,
        )


def _with_whole_rows(x: Tensor) -> Tensor:
    return x if _has_whole_rows(x) else x.contiguous()


def _has_whole_rows(x: Tensor) -> bool:
    return x.stride(2) == 1 and x.stride(1) == x.shape[2]
