"""The LSTM layers of the biLM, each with its own state, and the residual connections."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..lstm.cell import Bounds
from ..lstm.lstm import LSTMLayer
from ..runtime.devices import send
from .options import BiLMOptions
from .packed_words import PackedWords


@dataclass(frozen=True)
class State:
    """LSTM states of each layer, direction and batch row.

    h (Tensor): Outputs [n_layers, n_directions, n_rows, P].
    c (Tensor): Memory cells [n_layers, n_directions, n_rows, H].
    """

    h: Tensor
    c: Tensor


def make_layer(options: BiLMOptions) -> LSTMLayer:
    """RETURNS (LSTMLayer): A layer of the biLM with random weights."""
    projects = options.state_projection
    return LSTMLayer(
        options.n_directions,
        options.projection_dim,
        options.hidden_dim,
        projects=projects,
        bounds=Bounds(options.cell_clip, options.proj_clip if projects else None),
        use_cuda_graphs=True,
    )


def run_layers(
    layers: Iterable[nn.Module],
    x: Tensor,
    active: list[int],
    state: State,
    *,
    dtype: torch.dtype,
    skip_connections: bool,
    dropout: float = 0.0,
) -> tuple[list[Tensor], State]:
    """Run stacked LSTM layers on a packed batch.

    layers (Iterable[nn.Module]): The `LSTMLayer`s, first one first.
    x (Tensor): Token vectors [n_directions, R, P].
    active (List[int]): Sentences running at each step, descending; they sum to R.
    state (State): States before the first step, one row for each sentence.
    dtype (torch.dtype): Dtype of the matrix products.
    skip_connections (bool): Whether each layer from the second on adds its input to its output.
        The state that the layer carries to the next step is the output without the input.
    dropout (float): Fraction of each layer's inputs to drop. Skip connections add the inputs
        after dropout.
    RETURNS (Tuple[List[Tensor], State]): The outputs of each layer [n_directions, R, P], and the
        states after each sentence's last step.
    """
    outputs: list[Tensor] = []
    end_h: list[Tensor] = []
    end_c: list[Tensor] = []
    for index, layer in enumerate(layers):
        if dropout:
            x = nn.functional.dropout(x, dropout)
        output, h, c = layer(x, active, state.h[index], state.c[index], dtype=dtype)
        x = output + x if index and skip_connections else output
        outputs.append(x)
        end_h.append(h)
        end_c.append(c)
    return outputs, State(torch.stack(end_h), torch.stack(end_c))


def run_packed_words(
    layers: Iterable[nn.Module],
    table: Tensor,
    packed: PackedWords,
    state: State,
    *,
    dtype: torch.dtype,
    skip_connections: bool,
) -> tuple[Tensor, State]:
    """Look up packed words and run the layers on them.

    layers, dtype, skip_connections: As for `run_layers`.
    table (Tensor): Vectors of the boundary words and of the distinct words [2 + n_words, P].
    packed (PackedWords): The words.
    state (State): States before the first step, one row for each sentence.
    RETURNS (Tuple[Tensor, State]): All layers [n_layers + 1, n_tokens, width], and the states
        after each sentence's last step.
    """
    n_directions = state.h.shape[1]
    rows = send(packed.outputs[:n_directions], table.device)
    # [n_directions, R, P]
    x = table[send(packed.inputs[:n_directions], table.device)]
    outputs, end = run_layers(
        layers,
        x,
        packed.packing.active,
        state,
        dtype=dtype,
        skip_connections=skip_connections,
    )
    return torch.stack([_gather(layer, rows) for layer in (x, *outputs)]), end


def _gather(x: Tensor, rows: Tensor) -> Tensor:
    """Gather the rows of each direction and concatenate the directions.

    x (Tensor): [D, R, P].
    rows (Tensor): Rows of each direction, int64 [D, n_tokens].
    RETURNS (Tensor): [n_tokens, D * P].
    """
    return torch.cat([x[direction, index] for direction, index in enumerate(rows)], dim=1)
