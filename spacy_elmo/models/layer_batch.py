"""The encoder's output for a batch of Docs, and functions that join and split arrays of Docs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from thinc.types import Floats2d, Floats3d

from ..bilm.bilm import BiLM

BiLMLoader = Callable[[], BiLM]


@dataclass
class LayerBatch:
    """All layers of a batch of Docs.

    The backward pass of a mix adds the gradient of its input to `d_layers` and returns the batch.
    All mixes of a batch therefore share one buffer.

    layers (Floats3d): float32 [n_layers, n_tokens, width], the tokens of all Docs in order. Zeros
        for whitespace tokens.
    lengths (List[int]): Number of tokens in each Doc.
    d_layers (Optional[Floats3d]): Gradient of `layers`, with the same shape. None if no gradient
        is needed because the biLM is frozen.
    """

    layers: Floats3d
    lengths: list[int]
    d_layers: Floats3d | None = None

    def split(self) -> Iterator[Floats3d]:
        """YIELDS (Floats3d): The layers of each Doc, a view."""
        start = 0
        for length in self.lengths:
            yield self.layers[:, start : start + length]
            start += length


def join_docs(xp: Any, arrays: list[Any], axis: int = 0) -> Any:
    """Concatenate the arrays of Docs. The array of a single Doc, which may be a novel, is not
    copied.

    xp (Any): numpy or cupy.
    arrays (List[FloatsXd]): One array for each Doc, at least one.
    axis (int): The axis of the tokens.
    RETURNS (FloatsXd): One array for all Docs.
    """
    return arrays[0] if len(arrays) == 1 else xp.concatenate(arrays, axis=axis)


def split_docs(rows: Floats2d, lengths: list[int]) -> list[Floats2d]:
    """Split the rows of all tokens into the rows of each Doc.

    rows (Floats2d): One row for each token [n_tokens, D].
    lengths (List[int]): Number of tokens in each Doc.
    RETURNS (List[Floats2d]): The rows of each Doc, views.
    """
    split: list[Floats2d] = []
    start = 0
    for length in lengths:
        split.append(rows[start : start + length])
        start += length
    return split
