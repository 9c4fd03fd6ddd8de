"""A plain biLM in PyTorch that processes one word and one step at a time, as a reference for
vectors and gradients.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from spacy_elmo.bilm import BiLM
from spacy_elmo.bilm.char_cnn import CharCNN
from spacy_elmo.lstm.cell import Bounds
from spacy_elmo.lstm.matmul import Weights

from ..reference import spell_bytes

State = tuple[Tensor, Tensor]


def features(cnn: CharCNN, ids: Sequence[int]) -> Tensor:
    """Return the features of one word from each filter at all positions."""
    chars = cnn.embedding[list(ids)]
    peaks = []
    for weight, bias in zip(cnn.filters, cnn.biases):
        width = weight.shape[1]
        outputs = [
            (weight * chars[start : start + width]).sum(dim=(1, 2)) + bias
            for start in range(len(ids) - width + 1)
        ]
        peaks.append(cnn.activation(torch.stack(outputs)).max(dim=0).values)
    x = torch.cat(peaks)
    for highway in cnn.highways:
        dim = highway.dim
        both = highway.weight @ x + highway.bias
        gate = torch.sigmoid(both[dim:])
        x = gate * torch.relu(both[:dim]) + (1 - gate) * x
    return x


def token(bilm: BiLM, ids: Sequence[int]) -> Tensor:
    assert bilm.tokens.char_cnn is not None
    x = features(bilm.tokens.char_cnn, ids)
    return x if bilm.tokens.projection is None else bilm.tokens.projection(x)


def step(weights: Weights, bounds: Bounds, x: Tensor, state: State) -> State:
    """Run one step of one direction. The bias includes the 1 of the forget gate."""
    input_weight, state_weight, bias, projection = weights
    h, c = state
    i, f, o, g = (input_weight @ x + state_weight @ h + bias).chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    if bounds.cell is not None:
        c = torch.clamp(c, -bounds.cell, bounds.cell)
    h = torch.sigmoid(o) * torch.tanh(c)
    if projection is not None:
        h = projection @ h
    if bounds.output is not None:
        h = torch.clamp(h, -bounds.output, bounds.output)
    return h, c


def packed_layer(
    x: Tensor, h: Tensor, c: Tensor, weights: Weights, active: list[int], bounds: Bounds
) -> tuple[Tensor, Tensor, Tensor]:
    """Run a layer like `recurrence.run`, without overwriting `h` and `c`."""
    n_directions, n_rows = x.shape[:2]
    outputs: list[list[Tensor | None]] = [[None] * n_rows for _ in range(n_directions)]
    ends: list[list[State]] = []
    for d in range(n_directions):
        own = tuple(None if weight is None else weight[d] for weight in weights)
        states = [(h[d, k], c[d, k]) for k in range(h.shape[1])]
        row = 0
        for n in active:
            for k in range(n):
                states[k] = step(own, bounds, x[d, row], states[k])
                outputs[d][row] = states[k][0]
                row += 1
        ends.append(states)
    return (
        torch.stack([torch.stack(rows) for rows in outputs]),
        torch.stack([torch.stack([state[0] for state in states]) for states in ends]),
        torch.stack([torch.stack([state[1] for state in states]) for states in ends]),
    )


def layers(
    bilm: BiLM, sentence: Sequence[str], h: Tensor | None = None, c: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return all layers of one sentence and the states after it.

    h, c (Optional[Tensor]): Start states [n_layers, n_directions, P or H]; zeros if None.
    RETURNS (Tuple[Tensor, Tensor, Tensor]): Layers [n_layers + 1, n_words, width] and
        the states after the sentence, in the shapes of the start states.
    """
    options = bilm.options
    h = torch.zeros_like(bilm.start_h) if h is None else h
    c = torch.zeros_like(bilm.start_c) if c is None else c
    n_positions = options.max_characters
    pad = [260] * (n_positions - 3)
    start, end = ([258, char, 259, *pad] for char in (256, 257))
    rows = [start, *(spell_bytes(word, n_positions) for word in sentence), end]
    tokens = [token(bilm, row) for row in rows]
    sides, ends = [], []
    for direction in range(options.n_directions):
        xs = tokens if direction == 0 else tokens[::-1]
        found, states = [torch.stack(xs)], []
        for number, layer in enumerate(bilm.layers):
            bias = layer.bias[direction].clone()
            bias[options.hidden_dim : 2 * options.hidden_dim] += 1
            own = (
                layer.input_weight[direction],
                layer.state_weight[direction],
                bias,
                None if layer.projection is None else layer.projection[direction],
            )
            state = (h[number, direction], c[number, direction])
            outputs = []
            for x in xs:
                state = step(own, layer.bounds, x, state)
                outputs.append(state[0] + x if number and options.skip_connections else state[0])
            found.append(torch.stack(outputs))
            states.append(state)
            xs = outputs
        side = torch.stack(found)
        sides.append(side if direction == 0 else side.flip(1))
        ends.append(states)
    return (
        torch.cat(sides, dim=2)[:, 1:-1],
        torch.stack([torch.stack([s[n][0] for s in ends]) for n in range(options.n_layers)]),
        torch.stack([torch.stack([s[n][1] for s in ends]) for n in range(options.n_layers)]),
    )
