"""What passes between the encoder, the mixes and the component."""

from dataclasses import dataclass
from typing import Callable, Iterator, List, Optional

from thinc.types import Floats2d, Floats3d

from ..bilm.model import BiLM

BiLMLoader = Callable[[], BiLM]


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
    lengths: List[int]
    d_layers: Optional[Floats3d] = None

    def split(self) -> Iterator[Floats3d]:
        """YIELDS (Floats3d): The layers of each Doc, a view."""
        start = 0
        for length in self.lengths:
            yield self.layers[:, start : start + length]
            start += length


def split_rows(rows: Floats2d, lengths: List[int]) -> List[Floats2d]:
    """RETURNS (List[Floats2d]): The rows of each Doc, views."""
    parts: List[Floats2d] = []
    start = 0
    for length in lengths:
        parts.append(rows[start : start + length])
        start += length
    return parts
