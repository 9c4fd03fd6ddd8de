"""What passes between the encoder, the mixes and the component."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..bilm.bilm import BiLM

BiLMLoader = Callable[[], BiLM]

# Arrays of numpy or cupy. thinc's types for them do not know enough of what arrays can
# do for a type checker, so the shapes are for the reader.
Floats1d = Any
Floats2d = Any
Floats3d = Any


@dataclass
class LayerBatch:
    """All layers of some Docs.

    layers (Floats3d): float32 [n_layers, n_tokens, width], Doc after Doc; zeros for
        whitespace tokens.
    lengths (List[int]): Tokens in each Doc.
    d_layers (Optional[Floats3d]): Where mixes add their gradients; None if nobody
        wants them, because the biLM is frozen.
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


def join(xp: Any, parts: list[Any], axis: int = 0) -> Any:
    """RETURNS (Union[Floats2d, Floats3d]): The arrays of Docs, at least one, one after the
    other; that of a single Doc, which may be a novel, is not copied."""
    return parts[0] if len(parts) == 1 else xp.concatenate(parts, axis=axis)


def split_rows(rows: Floats2d, lengths: list[int]) -> list[Floats2d]:
    """RETURNS (List[Floats2d]): The rows of each Doc, views."""
    parts: list[Floats2d] = []
    start = 0
    for length in lengths:
        parts.append(rows[start : start + length])
        start += length
    return parts
