"""The perplexity of a text, without sampling or dropout."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..corpus.corpus import Corpus
from ..runtime.workers import Workers
from .evaluation_windows import EvaluationWindows
from .language_model import LanguageModel
from .vocab import Vocab
from .word_codes import codes_to_ids

MAX_ROWS, N_STEPS = 256, 32
# minimum number of positions in a row, so that few of them follow the zero start state
MIN_LENGTH = 500
# the exponential of a larger loss overflows float64
MAX_LOSS = 700


@dataclass(frozen=True)
class Perplexity:
    """Perplexity of a text under a language model.

    forward, backward (float): The perplexity of each direction; equal for a model with one
        direction.
    n_positions (int): Number of words and sentence ends of the text, in each direction.
    unknown (float): The fraction of these, 0 to 1, that are not in the vocabulary. With a second
        vocabulary: that are not in both.
    n_scored (int): Number of positions that the perplexity averages: all, or with a second
        vocabulary those in both.
    """

    forward: float
    backward: float
    n_positions: int
    unknown: float
    n_scored: int

    @property
    def geometric(self) -> float:
        """The exponential of the mean loss of both directions, as the original implementation
        reports it."""
        return math.sqrt(self.forward * self.backward)

    @property
    def arithmetic(self) -> float:
        """The mean of the perplexities of both directions."""
        return (self.forward + self.backward) / 2


def pool(perplexities: Sequence[Perplexity]) -> Perplexity:
    """Return the perplexity over the positions of several texts.

    perplexities (Sequence[Perplexity]): The perplexity of each text, at least one.
    RETURNS (Perplexity): The perplexity of all texts.
    """
    n_positions = sum(one.n_positions for one in perplexities)
    n_scored = sum(one.n_scored for one in perplexities)
    n_unknown = sum(one.unknown * one.n_positions for one in perplexities)
    forward = sum(math.log(one.forward) * one.n_scored for one in perplexities)
    backward = sum(math.log(one.backward) * one.n_scored for one in perplexities)
    return Perplexity(
        forward=_perplexity(forward, n_scored),
        backward=_perplexity(backward, n_scored),
        n_positions=n_positions,
        unknown=n_unknown / n_positions,
        n_scored=n_scored,
    )


@torch.no_grad()
def evaluate(
    model: LanguageModel,
    corpus: Corpus,
    workers: Workers,
    precision: str = "float32",
    n_rows: int | None = None,
    vocab: Vocab | None = None,
) -> Perplexity:
    """Compute the perplexity of a text, with the LSTM states carried from sentence to sentence.

    model (LanguageModel): The model.
    corpus (Corpus): The text.
    workers (Workers): The processes that share the work.
    precision (str): "float32", or "bfloat16" for matrix products in bfloat16.
    n_rows (int | None): Rows that the text is divided into. Each starts from a zero state. None
        for at most `MAX_ROWS` rows of at least `MIN_LENGTH` positions.
    vocab (Vocab | None): A second vocabulary. Words that are not in both vocabularies are read,
        but not scored. Sentence ends are scored.
    RETURNS (Perplexity): The perplexity of both directions.
    RAISES (ValueError): If the text has no sentence.
    """
    if not corpus.n_sentences:
        raise ValueError("There is no sentence in the text to evaluate on.")
    n_rows = n_rows or max(1, min(MAX_ROWS, corpus.n_positions // MIN_LENGTH))
    ids = codes_to_ids(model.vocab, corpus.words)
    is_unknown = ids == model.vocab.unknown
    if vocab is not None:
        is_unknown |= codes_to_ids(vocab, corpus.words) == vocab.unknown
    table = model.word_table(corpus.words, precision)
    n_directions = model.bilm.options.n_directions
    windows = EvaluationWindows(corpus, n_rows, N_STEPS)
    windows.select_shard(workers.rank, workers.size)
    state = model.bilm.zero_state(len(windows.lengths))
    # sums: the loss of each direction, the number of positions, the number of unknown words
    totals = torch.zeros(n_directions + 2, dtype=torch.float64, device="cpu")
    for active, read, follows in windows:
        read, follows = read[:n_directions], follows[:n_directions]
        x = model.look_up(table, torch.from_numpy(read).to(model.device))
        top, state = model.outputs(x, active, state, precision)
        for d, (h, codes) in enumerate(zip(top, follows)):
            if vocab is not None:
                scored = np.flatnonzero(~is_unknown[codes])
                h, codes = h[torch.from_numpy(scored).to(model.device)], codes[scored]
            totals[d] += model.head(h, torch.from_numpy(ids[codes]).to(model.device)).item()
        totals[-2] += read.shape[1]
        totals[-1] += is_unknown[follows[0]].sum()
    losses = workers.sum(totals).cpu().tolist()
    n_positions, n_unknown = int(losses[-2]), int(losses[-1])
    n_scored = n_positions if vocab is None else n_positions - n_unknown
    return Perplexity(
        forward=_perplexity(losses[0], n_scored),
        backward=_perplexity(losses[n_directions - 1], n_scored),
        n_positions=n_positions,
        unknown=n_unknown / n_positions,
        n_scored=n_scored,
    )


def _perplexity(total_loss: float, n_positions: int) -> float:
    mean = total_loss / n_positions
    return math.exp(mean) if mean < MAX_LOSS else math.inf
