"""A reference biLM in NumPy and float64, implemented from the formulas without code of the package.

Filters run over all positions, and sentences and directions run separately, step by step. The
weight readers are compared with it. `tests.weights.writers` writes its weights in each format.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = Any  # an ndarray of float32 for weights, of float64 for results


@dataclass
class Cell:
    """The LSTM of one layer and direction. The rows of `kernel` are the input, then the state; its
    columns are the input gate, the candidate, the forget gate and the output gate."""

    kernel: Array  # [P + P, 4H]
    bias: Array  # [4H], without the 1 of the forget gate
    projection: Array | None  # [H, P]


@dataclass
class Highway:
    """A highway layer; weights multiply from the right, x @ W."""

    transform: Array  # [F, F]
    transform_bias: Array
    gate: Array  # [F, F], gates the transformed value
    gate_bias: Array


@dataclass
class Reference:
    """Weights and settings of the biLM."""

    cells: list[list[Cell]]  # by direction and layer
    chars: Array | None = None  # [n_chars, E]
    filters: list[tuple[Array, Array]] = field(default_factory=list)  # [width, E, n], [n]
    highways: list[Highway] = field(default_factory=list)
    words: Array | None = None  # [n_words, W]
    projection: tuple[Array, Array] | None = None  # [features, P], [P]
    activation: str = "relu"
    cell_clip: float | None = 3.0
    proj_clip: float | None = 3.0
    skip: bool = True

    def token(self, char_ids: Sequence[int] = (), word_id: int = 0) -> Array:
        """Return the vector of a word [P]."""
        features = [] if self.words is None else [self.words[word_id].astype(np.float64)]
        if self.chars is not None:
            features.append(self._spelled(char_ids))
        x = np.concatenate(features)
        return x if self.projection is None else x @ self.projection[0] + self.projection[1]

    def _spelled(self, char_ids: Sequence[int]) -> Array:
        chars = self.chars[list(char_ids)].astype(np.float64)  # [C, E]
        peaks = []
        for kernel, bias in self.filters:
            width = len(kernel)
            outputs = [
                sum(chars[start + k] @ kernel[k] for k in range(width)) + bias
                for start in range(len(chars) - width + 1)
            ]
            values = np.array(outputs)
            values = np.maximum(values, 0) if self.activation == "relu" else np.tanh(values)
            peaks.append(values.max(axis=0))
        x = np.concatenate(peaks)
        for highway in self.highways:
            gate = sigmoid(x @ highway.gate + highway.gate_bias)
            changed = np.maximum(x @ highway.transform + highway.transform_bias, 0)
            x = gate * changed + (1 - gate) * x
        return x

    def layers(self, tokens: Sequence[Array]) -> Array:
        """Return all layers of a sentence.

        tokens (Sequence[ndarray]): Vectors of its words [P], between the two boundary words.
        RETURNS (ndarray): [n_layers + 1, n_words, n_directions * P].
        """
        sides = []
        for direction, cells in enumerate(self.cells):
            xs = list(tokens) if direction == 0 else list(tokens)[::-1]
            found = [xs]
            for number, cell in enumerate(cells):
                outputs = self._run(cell, xs)
                if number > 0 and self.skip:
                    outputs = [output + x for output, x in zip(outputs, xs)]
                found.append(outputs)
                xs = outputs
            side = np.array(found)
            sides.append(side if direction == 0 else side[:, ::-1])
        return np.concatenate(sides, axis=2)[:, 1:-1]

    def _run(self, cell: Cell, xs: Sequence[Array]) -> list[Array]:
        hidden, dim = len(cell.bias) // 4, len(cell.kernel) - len(xs[0])
        c, h = np.zeros(hidden), np.zeros(dim)
        outputs = []
        for x in xs:
            z = np.concatenate([x, h]) @ cell.kernel + cell.bias
            i, j, f, o = np.split(z, 4)
            c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(j)
            c = clip(c, self.cell_clip)
            h = sigmoid(o) * np.tanh(c)
            if cell.projection is not None:
                h = clip(h @ cell.projection, self.proj_clip)
            outputs.append(h)
        return outputs


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def clip(x: Array, bound: float | None) -> Array:
    return x if bound is None else np.clip(x, -bound, bound)


def random_reference(
    seed: int = 0,
    *,
    hidden: int = 12,
    dim: int = 6,
    n_layers: int = 2,
    n_directions: int = 2,
    filters: Sequence[tuple[int, int]] = ((1, 4), (2, 6), (3, 8)),
    n_chars: int = 261,
    char_dim: int = 5,
    n_highway: int = 2,
    n_words: int = 0,
    word_dim: int = 0,
    token_projection: bool = True,
    state_projection: bool = True,
    **switches: Any,
) -> Reference:
    """Create random weights, large enough that values reach the bounds of 3."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int, std: float = 1.0) -> Array:
        return (std * rng.standard_normal(shape)).astype(np.float32)

    n_filters = sum(count for _, count in filters)
    reference = Reference(cells=[], **switches)
    if filters:
        reference.chars = normal(n_chars, char_dim)
        reference.filters = [(normal(w, char_dim, n, std=0.4), normal(n)) for w, n in filters]
        reference.highways = [
            Highway(
                normal(n_filters, n_filters, std=n_filters**-0.5),
                normal(n_filters),
                normal(n_filters, n_filters, std=n_filters**-0.5),
                normal(n_filters),
            )
            for _ in range(n_highway)
        ]
    if word_dim:
        reference.words = normal(n_words, word_dim)
    n_features = n_filters + word_dim
    if token_projection:
        reference.projection = (normal(n_features, dim, std=n_features**-0.5), normal(dim))
    for _ in range(n_directions):
        reference.cells.append(
            [
                Cell(
                    normal(2 * dim, 4 * hidden, std=0.3),
                    normal(4 * hidden, std=0.5),
                    normal(hidden, dim, std=1.5) if state_projection else None,
                )
                for _ in range(n_layers)
            ]
        )
    return reference


def spell_bytes(word: str, n_positions: int = 50) -> list[int]:
    """Return the ids of a word: 258, its bytes, 259, and 260 as padding."""
    return _row(list(word.encode("utf8"))[: n_positions - 2], 258, 259, 260, n_positions)


def byte_sentence(reference: Reference, words: Sequence[str], n_positions: int = 50) -> Array:
    """Return the layers of a sentence from a model with byte input."""
    start, end = (_row([char], 258, 259, 260, n_positions) for char in (256, 257))
    rows = [start, *(spell_bytes(word, n_positions) for word in words), end]
    return reference.layers([reference.token(row) for row in rows])


def word_sentence(
    reference: Reference, words: Sequence[str], ids: dict[str, int], special: Sequence[str]
) -> Array:
    """Return the layers of a sentence from a model with word input.

    special (Sequence[str]): The unknown word and the two boundary words.
    """
    unknown, start, end = (ids[name] for name in special)
    rows = [start, *(ids.get(word, unknown) for word in words), end]
    return reference.layers([reference.token(word_id=row) for row in rows])


def many_langs_sentence(
    reference: Reference,
    words: Sequence[str],
    chars: dict[str, int],
    word_ids: dict[str, int],
    n_positions: int = 50,
) -> Array:
    """Return the layers of a sentence from a model of ELMoForManyLangs. The dictionary of an input
    that the model does not have is empty."""
    tokens = []
    for word in ["<bos>", *(word[: n_positions - 2] for word in words), "<eos>"]:
        row: list[int] = []
        if chars:
            ids = [chars.get(c, chars["<oov>"]) for c in word]
            ids = [chars[word]] if word in ("<bos>", "<eos>") else ids
            # ELMoForManyLangs opens a word with <eow> and closes it with <bow>
            row = _row(ids, chars["<eow>"], chars["<bow>"], chars["<pad>"], n_positions)
        tokens.append(reference.token(row, word_ids.get(word, word_ids.get("<oov>", 0))))
    return reference.layers(tokens)


def _row(ids: list[int], start: int, end: int, pad: int, n_positions: int) -> list[int]:
    row = [start, *ids, end]
    return row + [pad] * (n_positions - len(row))
