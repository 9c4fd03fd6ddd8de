"""A check for vectors that are not finite, which reports the first affected word."""

import numpy as np
import torch
from torch import Tensor

from .batch import WordBatch

SHOWN_WORDS = 8


def check_finite(sums: list[Tensor], layers: Tensor, batch: WordBatch) -> None:
    """Check that all vectors are finite.

    Checking sums takes one pass over values that are still in the processor's cache, and one
    synchronization on a GPU.

    sums (List[Tensor]): Sums of the vectors, scalars. A finite sum proves that the vectors are
        finite. `layers` is read only if a sum is not finite.
    layers (Tensor): The vectors [n_layers, n_tokens, width].
    batch (WordBatch): The sentences of the tokens.
    RAISES (ValueError): If a vector contains NaN or infinity. The message names the first such
        word and its sentence.
    """
    if not sums or bool(torch.isfinite(torch.stack(sums)).all()):
        return
    # the sum of finite values can be infinite
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
        f"are damaged or its training diverged: load the weights again, or use another model."
    )


def _word(batch: WordBatch, token: int) -> str:
    number = int(batch.ids[token])
    return batch.words[number] if number >= 0 else "<S>"
