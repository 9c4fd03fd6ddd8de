"""The constant "warm" start states of a biLM, computed from its weights."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .batch import WordBatch

if TYPE_CHECKING:
    from .bilm import BiLM

# a few plain sentences, repeated until the states are typical of running text
WARM_UP_TEXT = (
    "It was late when they came back , and nobody said a word .",
    "The people of the town had heard of it .",
    "What is the matter ?",
    "There was nothing more to be done that day .",
)
WARM_UP_ROUNDS = 3


@torch.no_grad()
def compute_warm_start(bilm: "BiLM", text: Sequence[str] = WARM_UP_TEXT) -> tuple[Tensor, Tensor]:
    """Compute the "warm" start states.

    In pretraining, the states after one sentence are the start states of the next, so the model
    rarely starts from zeros. The model therefore reads a few sentences several times. The mean of
    the states after them is the constant start state.

    bilm (BiLM): The biLM.
    text (Sequence[str]): Tokenized sentences, space-separated.
    RETURNS (Tuple[Tensor, Tensor]): The states [n_layers, n_directions, P] and the cells
        [n_layers, n_directions, H].
    """
    batch = WordBatch.from_sentences([sentence.split() for sentence in text])
    state = bilm.zero_state(len(batch.lengths))
    for _ in range(WARM_UP_ROUNDS):
        _, state = bilm.carry(batch, state)
    return state.h.mean(dim=2), state.c.mean(dim=2)
