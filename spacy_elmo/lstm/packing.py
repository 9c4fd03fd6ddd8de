"""How sentences of different lengths share a batch without padding.

Sentences are sorted by length, longest first, and their words laid out step by
step: all first words, then all second words, and so on. Sentences that end leave
the batch, so step t is a run of `active[t]` consecutive rows. The backward
direction reads every sentence from its end and has the same layout.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..runtime.ragged import positions_within

N_BOUNDARIES = 2
START, END = 0, 1  # rows of the boundary words in a table of token vectors


@dataclass(frozen=True)
class Packing:
    """Where everything is in a packed batch of R rows.

    order (Tensor): The sentence in each row, longest first, int64 [n_sentences].
    active (List[int]): Sentences still running at each step, or more, where the layout was
        widened.
    inputs (Tensor): Row of the token table for each packed row and direction,
        int64 [2, R]; rows START and END are the boundary words.
    outputs (Tensor): Packed row of each word and direction, int64 [2, n_tokens],
        the words in the order they came in.
    """

    order: Tensor
    active: list[int]
    inputs: Tensor
    outputs: Tensor


def pack(
    ids: np.ndarray,
    lengths: np.ndarray,
    widen: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Packing:
    """Lay sentences out, a boundary word added at either end.

    ids (ndarray): Word of each token, int64 [n_tokens], sentence after sentence;
        word k is row k + 2 of the token table, so -2 and -1 are the boundary words.
    lengths (ndarray): Tokens in each sentence, int64 [n_sentences].
    widen (Optional[Callable]): Makes of the sentences running at each step, int64 [n_steps],
        what is laid out: no fewer rows, no fewer steps. What is added reads START.
    RETURNS (Packing): The layout.
    """
    order = np.argsort(-lengths, kind="stable")
    n_steps = lengths[order] + N_BOUNDARIES
    longest = int(n_steps[0]) if len(n_steps) else 0
    # n_steps falls, so the sentences that reach step t are those before the first that does not
    active = np.searchsorted(-n_steps, -np.arange(longest), side="left")
    if widen is not None:
        active = widen(active)
    offsets = np.concatenate([[0], np.cumsum(active)])

    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    token_rank = np.repeat(rank, lengths)
    token_length = np.repeat(lengths, lengths)
    position = positions_within(lengths)
    outputs = np.stack(
        [offsets[position + 1] + token_rank, offsets[token_length - position] + token_rank]
    )

    inputs = np.full((2, offsets[-1]), START)
    last = offsets[n_steps - 1] + np.arange(len(n_steps))
    inputs[0, last] = END
    inputs[1, : len(n_steps)] = END
    for direction in (0, 1):
        inputs[direction, outputs[direction]] = ids + N_BOUNDARIES
    return Packing(
        order=torch.from_numpy(order),
        active=active.tolist(),
        inputs=torch.from_numpy(inputs),
        outputs=torch.from_numpy(outputs),
    )
