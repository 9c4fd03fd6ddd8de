"""Sentences with boundary words, packed for the LSTM layers."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..lstm.packing import Packing, PadSteps, pack

N_BOUNDARIES = 2
START, END = 0, 1  # rows of the boundary words in a table of token vectors


@dataclass(frozen=True)
class PackedWords:
    """Words of a packed batch of R rows.

    packing (Packing): Rows of each step.
    inputs (Tensor): Row of the token table that each direction reads in each packed row,
        int64 [2, R].
    outputs (Tensor): Packed row of each word and direction, int64 [2, n_tokens]; words are in
        the order of the text.
    """

    packing: Packing
    inputs: Tensor
    outputs: Tensor


def pack_words(
    ids: np.ndarray, lengths: np.ndarray, pad_steps: PadSteps | None = None
) -> PackedWords:
    """Pack sentences with a boundary word added on either side.

    ids (ndarray): Word of each token, int64 [n_tokens], sentence after sentence. Word k is row
        k + 2 of the token table, so -2 and -1 are the boundary words.
    lengths (ndarray): Tokens of each sentence, descending, int64 [n_sentences].
    pad_steps (Optional[Callable]): Pads the rows of the steps, see `cuda_graphs.pad_steps`.
        Rows that are added read START.
    RETURNS (PackedWords): The packed words.
    RAISES (ValueError): If the lengths are not descending.
    """
    packing = pack(lengths + N_BOUNDARIES, pad_steps)
    outputs = packing.element_rows(lengths, first_step=1)
    sentences = np.arange(len(lengths))
    inputs = np.full((2, packing.n_rows), START)
    inputs[0, packing.offsets[lengths + 1] + sentences] = END
    inputs[1, sentences] = END
    for direction in (0, 1):
        inputs[direction, outputs[direction]] = ids + N_BOUNDARIES
    return PackedWords(packing, torch.from_numpy(inputs), torch.from_numpy(outputs))
