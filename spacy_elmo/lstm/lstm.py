"""An LSTM layer with projection and clipping, in one or both directions, on packed rows.

The layer chooses how it runs. With gradients it calls `backward.lstm_function`. At inference it
replays CUDA graphs on a GPU, and multiplies by packed or quantized weights on a CPU. See `packing`
for the layout of the rows.
"""

from typing import Any

import torch
from torch import Tensor, nn

from .backward import lstm_function
from .cell import Bounds
from .cuda_graphs import GraphedSteps, can_capture, group_steps, max_rows
from .int8 import Int8Matmul
from .matmul import (
    BatchedMatmul,
    Matmul,
    MkldnnMatmul,
    SingleSequenceMatmul,
    Weights,
    double_weights,
    mkldnn_works,
    select_directions,
)
from .recurrence import run

DirectionMatmuls = list[tuple[int | slice, Matmul]]
"""Indices of the direction axis, each with the matrix products of these directions."""

# A single sequence reads the weights once per step. Packed weights are not faster then, and the
# overhead of operator calls dominates. Both directions therefore run in the same calls if the
# weights of a step fit into the processor's cache. This is the maximum size of these weights.
SINGLE_SEQUENCE_BYTES = 2**24


class LSTMLayer(nn.Module):
    """All directions of an LSTM layer with projection.

    For each step, with h and c the states before it:

        i, f, o = sigmoid(W x + U h + b)  (1 is added to the bias of f)
        g = tanh(W x + U h + b)
        c = clip(f * c + i * g, cell_clip)
        h = clip(V (o * tanh(c)), proj_clip)

    The rows of the weights are in the order i, f, o, g. The stored bias does not include the 1 of
    the forget gate, as in the original weight files.

    n_directions (int): Directions D, 1 or 2.
    dim (int): Width P of inputs and outputs.
    hidden_dim (int): Width H of the cell.
    projects (bool): Whether there is a projection V; without it, H must equal P.
    bounds (Bounds): Bounds at which to clip.
    use_cuda_graphs (bool): Whether to replay CUDA graphs on a GPU while the weights are frozen.
        The graphs are captured again after each change of the weights.
    REFERENCE: Sak et al. 2014, "Long short-term memory based recurrent neural network
        architectures for large vocabulary speech recognition" (LSTMP, here without peephole
        connections); Jozefowicz et al. 2015 for the bias of the forget gate.
    """

    def __init__(
        self,
        n_directions: int,
        dim: int,
        hidden_dim: int,
        *,
        projects: bool,
        bounds: Bounds,
        use_cuda_graphs: bool = False,
    ) -> None:
        super().__init__()
        n, hidden = n_directions, hidden_dim
        self.hidden_dim, self.bounds, self.use_cuda_graphs = hidden_dim, bounds, use_cuda_graphs
        self.input_weight = nn.Parameter(torch.empty(n, 4 * hidden, dim, dtype=torch.float32))
        self.state_weight = nn.Parameter(torch.empty(n, 4 * hidden, dim, dtype=torch.float32))
        self.bias = nn.Parameter(torch.empty(n, 4 * hidden, dtype=torch.float32))
        self.projection: nn.Parameter | None = None
        if projects:
            self.projection = nn.Parameter(torch.empty(n, dim, hidden, dtype=torch.float32))
        self.packed_weights, self.cuda_graphs = DerivedWeightCache(), DerivedWeightCache()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize the weights as in the original training code: Glorot-uniform on the joint
        input and state matrix, and zero biases."""
        _, rows, dim = self.input_weight.shape
        limit = (6.0 / (2 * dim + rows)) ** 0.5
        nn.init.uniform_(self.input_weight, -limit, limit)
        nn.init.uniform_(self.state_weight, -limit, limit)
        nn.init.zeros_(self.bias)
        if self.projection is not None:
            limit = (6.0 / (dim + self.hidden_dim)) ** 0.5
            nn.init.uniform_(self.projection, -limit, limit)

    def forward(
        self,
        x: Tensor,
        active: list[int],
        h: Tensor,
        c: Tensor,
        dtype: torch.dtype | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run the layer on a packed batch.

        x (Tensor): Inputs [D, R, P].
        active (List[int]): Sequences running at each step; they sum to R.
        h, c (Tensor): States before the first step, [D, n_sequences, P] and
            [D, n_sequences, H]; left unchanged.
        dtype (Optional[torch.dtype]): Dtype of the matrix products; None for the dtype of the
            weights. int8 runs only on a CPU without gradients. States and elementwise operations
            keep the dtype of the weights.
        RETURNS (Tuple[Tensor, Tensor, Tensor]): Outputs [D, R, P], and the states after each
            sequence's last step.
        RAISES (ValueError): If the dtype is int8 and gradients are required.
        """
        dtype = dtype or self.bias.dtype
        if torch.is_grad_enabled() and (x.requires_grad or self.bias.requires_grad):
            if dtype == torch.int8:
                raise ValueError(
                    "The precision is int8, which has no gradients, but gradients are required. "
                    "Set precision to float32 or bfloat16, or freeze the weights: "
                    "requires_grad_(False)."
                )
            return lstm_function(
                x, h, c, *self._weights(), active, self.bounds, dtype, self._uses_mkldnn(dtype)
            )
        h = h.clone(memory_format=torch.contiguous_format)
        c = c.clone(memory_format=torch.contiguous_format)
        outputs = torch.empty_like(x, memory_format=torch.contiguous_format)
        if self.replays_cuda_graphs():
            groups = list(group_steps(active, self.max_graph_rows(dtype)))
            if any(replayed for replayed, _ in groups):
                self._graphed_steps(h, c, dtype)(x, h, c, groups=groups, outputs=outputs)
                return outputs, h, c
        for d, matmul in self.matmuls(dtype, h.shape[1]):
            run(
                x[d],
                h[d],
                c[d],
                matmul=matmul,
                active=active,
                bounds=self.bounds,
                outputs=outputs[d],
            )
        return outputs, h, c

    def matmuls(self, dtype: torch.dtype, n_sequences: int) -> DirectionMatmuls:
        """Return the matrix products for inference on a batch; packed weights are cached.

        dtype (torch.dtype): Dtype of the products; int8 on a CPU only.
        n_sequences (int): Sequences of the batch.
        RETURNS (List[Tuple[Union[int, slice], Matmul]]): One item for each direction, or one item
            for all directions.
        """
        if dtype != torch.int8 and not self._uses_mkldnn(dtype):
            return [(slice(None), BatchedMatmul(self._weights(), dtype))]
        single = n_sequences == 1 and dtype == torch.float32 and self._suits_single_sequences()
        packed: DirectionMatmuls | None = self.packed_weights.get((dtype, single))
        if packed is None:
            packed = self.packed_weights[dtype, single] = self._pack_weights(dtype, single)
        return packed

    def replays_cuda_graphs(self) -> bool:
        """RETURNS (bool): Whether a forward pass without gradients would replay CUDA graphs now."""
        frozen = not self.bias.requires_grad
        return self.use_cuda_graphs and frozen and can_capture(self.bias.device)

    def max_graph_rows(self, dtype: torch.dtype) -> int:
        """RETURNS (int): Largest number of rows of a captured step; see `cuda_graphs.pad_steps`."""
        return max_rows(len(self.bias), self.hidden_dim, dtype)

    def drop_caches(self) -> None:
        """Drop packed weights and CUDA graphs. Call this when the weights have changed."""
        self.packed_weights.clear()
        self.cuda_graphs.clear()

    @torch.no_grad()
    def _graphed_steps(self, h: Tensor, c: Tensor, dtype: torch.dtype) -> GraphedSteps:
        # a graph keeps the float32 precision it was captured with
        key = dtype, torch.backends.cuda.matmul.fp32_precision
        graphed: GraphedSteps | None = self.cuda_graphs.get(key)
        if graphed is None:
            matmul = BatchedMatmul(self._weights(), dtype)
            most = self.max_graph_rows(dtype)
            graphed = GraphedSteps(matmul, self.bounds, h=h, c=c, max_rows=most)
            self.cuda_graphs[key] = graphed
        return graphed

    @torch.no_grad()
    def _pack_weights(self, dtype: torch.dtype, single: bool) -> DirectionMatmuls:
        weights = self._weights()
        if single:
            return [(slice(None), SingleSequenceMatmul(weights, dtype))]
        projects = self.projection is not None
        if projects:
            weights = double_weights(weights)
        directions = [select_directions(weights, d) for d in range(len(self.bias))]
        if dtype == torch.int8:
            return [(d, Int8Matmul(own, projects)) for d, own in enumerate(directions)]
        return [(d, MkldnnMatmul(own, dtype, projects)) for d, own in enumerate(directions)]

    def _weights(self) -> Weights:
        bias = self.bias.clone()
        bias[:, self.hidden_dim : 2 * self.hidden_dim] += 1.0
        return self.input_weight, self.state_weight, bias, self.projection

    def _uses_mkldnn(self, dtype: torch.dtype) -> bool:
        on_cpu = self.bias.device.type == "cpu" and self.bias.dtype == torch.float32
        return on_cpu and mkldnn_works(dtype)

    def _suits_single_sequences(self) -> bool:
        if self.projection is None:
            return False
        return self.state_weight.nbytes + self.projection.nbytes <= SINGLE_SEQUENCE_BYTES


class DerivedWeightCache(dict[Any, Any]):
    """Packed weights or CUDA graphs of a layer. The keys are the settings they are derived for.

    The layer drops them when its weights change. Copies start empty.
    """

    def __deepcopy__(self, memo: object) -> "DerivedWeightCache":
        return DerivedWeightCache()

    def __reduce__(self) -> tuple[Any, ...]:
        return DerivedWeightCache, ()
