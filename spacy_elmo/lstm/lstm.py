"""One layer of the biLM: an LSTM with projection and clipping, both directions.

Owns the parameters and the choice of how to run them: with gradients, recorded, or with
packed weights. It works on packed rows (see `packing`) and knows nothing of words or
of other layers.
"""

from typing import Any

import torch
from torch import Tensor, nn

from .backward import LSTMFunction
from .cell import Bounds
from .cuda_graphs import RecordedSteps, can_record, max_rows, stretches
from .int8 import Int8Products
from .matmul import (
    BatchedProducts,
    LoneProducts,
    PackedProducts,
    Products,
    Weights,
    doubled,
    packing_works,
    part_of,
)
from .recurrence import run

PartProducts = list[tuple[int | slice, Products]]
"""Products of a direction, or of all."""

# A lone sentence reads the weights of a step once, so packing is of no use to it, and its time
# goes into calls of operators: both directions share them, while their weights of a step stay in
# the processor's cache together.
LONE_BYTES = 2**24


class LSTMLayer(nn.Module):
    """Both directions of an LSTM layer with projection.

    Per step, with h and c the state before it (Sak et al. 2014):

        i, f, o = sigmoid(W x + U h + b)  (the forget gate's bias 1 higher)
        g = tanh(W x + U h + b)
        c = clip(f * c + i * g, cell_clip)
        h = clip(V (o * tanh(c)), proj_clip)

    Rows of the weights stand in the order i, f, o, g. The stored bias is without
    the 1 of the forget gate, as in the original weight files.

    n_directions (int): Directions D, 1 or 2.
    dim (int): Width P of inputs and outputs.
    hidden_dim (int): Width H of the cell.
    projects (bool): Whether there is V; without it, H must be P.
    bounds (Bounds): Where to clip.
    records (bool): Whether a GPU runs it from recordings, where no gradient is wanted: for
        weights that are used many times as they are.
    """

    def __init__(
        self,
        n_directions: int,
        dim: int,
        hidden_dim: int,
        projects: bool,
        bounds: Bounds,
        records: bool = False,
    ) -> None:
        super().__init__()
        n, hidden = n_directions, hidden_dim
        self.hidden_dim, self.bounds, self.records = hidden_dim, bounds, records
        self.input_weight = nn.Parameter(torch.empty(n, 4 * hidden, dim, dtype=torch.float32))
        self.state_weight = nn.Parameter(torch.empty(n, 4 * hidden, dim, dtype=torch.float32))
        self.bias = nn.Parameter(torch.empty(n, 4 * hidden, dtype=torch.float32))
        self.projection: nn.Parameter | None = None
        if projects:
            self.projection = nn.Parameter(torch.empty(n, dim, hidden, dtype=torch.float32))
        self.packed, self.recorded = Kept(), Kept()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Glorot-uniform on the joint input and state matrix, as the original."""
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
        """Run over a packed batch.

        x (Tensor): Inputs [D, R, P].
        active (List[int]): Sentences running at each step; they sum to R.
        h, c (Tensor): States before the first step, [D, n_sentences, P] and
            [D, n_sentences, H]; left unchanged.
        dtype (Optional[torch.dtype]): Type of the matrix products, int8 only on a CPU and
            without gradients; states and elementwise arithmetic keep the type of the weights.
        RETURNS (Tuple[Tensor, Tensor, Tensor]): Outputs [D, R, P] and the states
            after each sentence's own last step.
        """
        dtype = dtype or self.bias.dtype
        if torch.is_grad_enabled() and (x.requires_grad or self.bias.requires_grad):
            if dtype == torch.int8:
                raise ValueError(
                    "There are no gradients in int8. Set precision to float32 or bfloat16, or "
                    "keep the weights of the biLM as they are: requires_grad_(False)."
                )
            settings = active, self.bounds, dtype, self._packs(dtype)
            return LSTMFunction.apply(x, h, c, *self._weights(), *settings)
        h, c = (state.clone(memory_format=torch.contiguous_format) for state in (h, c))
        outputs = torch.empty_like(x, memory_format=torch.contiguous_format)
        if self.is_recorded():
            parts = list(stretches(active, self.recorded_rows(dtype)))
            if any(recorded for recorded, _ in parts):
                self._record(h, c, dtype)(x, h, c, parts, outputs)
                return outputs, h, c
        for part, products in self.products(dtype, h.shape[1]):
            run(x[part], h[part], c[part], products, active, self.bounds, outputs[part])
        return outputs, h, c

    def drop_caches(self) -> None:
        """Forget what was derived from the weights: they have changed."""
        self.packed.clear()
        self.recorded.clear()

    def is_recorded(self) -> bool:
        """RETURNS (bool): Whether steps are recorded here and now."""
        return self.records and not self.bias.requires_grad and can_record(self.bias.device)

    def recorded_rows(self, dtype: torch.dtype) -> int:
        """RETURNS (int): Most rows of a step that is recorded; see `graphs.widen`."""
        return max_rows(len(self.bias), self.hidden_dim, dtype)

    @torch.no_grad()
    def _record(self, h: Tensor, c: Tensor, dtype: torch.dtype) -> RecordedSteps:
        # a recording multiplies in what it was made in
        key = dtype, torch.backends.cuda.matmul.fp32_precision
        recorded: RecordedSteps | None = self.recorded.get(key)
        if recorded is None:
            products = BatchedProducts(self._weights(), dtype)
            recorded = RecordedSteps(products, self.bounds, h, c, self.recorded_rows(dtype))
            self.recorded[key] = recorded
        return recorded

    def _weights(self) -> Weights:
        bias = self.bias.clone()
        bias[:, self.hidden_dim : 2 * self.hidden_dim] += 1.0
        return self.input_weight, self.state_weight, bias, self.projection

    def _packs(self, dtype: torch.dtype) -> bool:
        on_cpu = self.bias.device.type == "cpu" and self.bias.dtype == torch.float32
        return on_cpu and packing_works(dtype)

    def products(self, dtype: torch.dtype, n_sentences: int) -> PartProducts:
        """What multiplies for some sentences where no gradient is wanted; packed weights are
        kept until the weights change.

        dtype (torch.dtype): Type to multiply in; int8 on a CPU.
        n_sentences (int): Sentences of the batch.
        RETURNS (List[Tuple[Union[int, slice], Products]]): For a direction, or for all.
        """
        if dtype != torch.int8 and not self._packs(dtype):
            return [(slice(None), BatchedProducts(self._weights(), dtype))]
        lone = n_sentences == 1 and dtype == torch.float32 and self._suits_lone_sentences()
        packed: PartProducts | None = self.packed.get((dtype, lone))
        if packed is None:
            packed = self.packed[dtype, lone] = self._pack(dtype, lone)
        return packed

    @torch.no_grad()
    def _pack(self, dtype: torch.dtype, lone: bool) -> PartProducts:
        weights = self._weights()
        if lone:
            return [(slice(None), LoneProducts(weights, dtype))]
        projects = self.projection is not None
        if projects:
            weights = doubled(weights)
        parts = [part_of(weights, d) for d in range(len(self.bias))]
        if dtype == torch.int8:
            return [(d, Int8Products(part, projects)) for d, part in enumerate(parts)]
        return [(d, PackedProducts(part, dtype, projects)) for d, part in enumerate(parts)]

    def _suits_lone_sentences(self) -> bool:
        if self.projection is None:
            return False
        return self.state_weight.nbytes + self.projection.nbytes <= LONE_BYTES


class Kept(dict[Any, Any]):
    """What follows from the weights, by the settings that it was made for. Copies start empty."""

    def __deepcopy__(self, memo: object) -> "Kept":
        return Kept()

    def __reduce__(self):  # type: ignore[no-untyped-def]
        return Kept, ()
