"""Vectors that are not finite, found by their sums and told by the words that they belong to."""

import numpy as np
import torch
from torch import Tensor

from .batch import WordBatch

SHOWN_WORDS = 8


def check_finite(sums: list[Tensor], layers: Tensor, batch: WordBatch) -> None:
    """Raise a ValueError if a vector holds NaN or infinity.

    sums (List[Tensor]): Scalars that are finite only if all vectors are, which costs one pass
        over values that are in the cache, and one synchronization on a GPU.
    layers (Tensor): The vectors [n_layers, n_tokens, width], looked at if a sum is not finite.
    batch (WordBatch): The sentences of the tokens.
    RAISES (ValueError): Names the word and the sentence of the first such vector.
    """
    if not sums or bool(torch.isfinite(torch.stack(sums)).all()):
        return
    # finite values can have an infinite sum
    wrong = np.flatnonzero((~torch.isfinite(layers)).any(dim=2).any(dim=0).cpu().numpy())
    if not len(wrong):
        return
    first = int(wrong[0])
    ends = np.cumsum(batch.lengths)
    sentence = int(np.searchsorted(ends, first, side="right"))
    start = int(ends[sentence] - batch.lengths[sentence])
    shown = range(max(start, first - SHOWN_WORDS), min(int(ends[sentence]), first + SHOWN_WORDS))
    text = " ".join(_word(batch, token) for token in shown)
    raise ValueError(
        f"The biLM gives vectors that are not finite (NaN or infinity) for {len(wrong):,} of "
        f"{len(batch.ids):,} tokens, first for {_word(batch, first)!r} in '{text}'. Its weights "
        f"are damaged or its training broke down: load the weights again, or others."
    )


def _word(batch: WordBatch, token: int) -> str:
    number = int(batch.ids[token])
    return batch.words[number] if number >= 0 else "<S>"
