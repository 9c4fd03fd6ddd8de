"""The perplexity of a text, computed over all of its words without sampling or dropout."""

import math
from dataclasses import dataclass

import torch

from ..corpus.corpus import Corpus
from ..runtime.workers import Workers
from .evaluation_windows import EvaluationWindows
from .language_model import LanguageModel
from .word_codes import codes_to_ids

MAX_ROWS, N_STEPS = 256, 32
# minimum number of positions in a row, so that few of them follow the zero start state
MIN_LENGTH = 500
# the exponential of a larger loss overflows float64
MAX_LOSS = 700


@dataclass(frozen=True)
class Perplexity:
    """Perplexity over all words of a text and the ends of its sentences.

    forward, backward (float): The perplexity of each direction; equal for a model with one
        direction.
    n_positions (int): Number of words and sentence ends predicted in each direction.
    unknown (float): The fraction of the predictions, 0 to 1, whose word is not in the vocabulary.
    """

    forward: float
    backward: float
    n_positions: int
    unknown: float

    @property
    def geometric(self) -> float:
        """The exponential of the mean loss of both directions, as the original implementation
        reports it."""
        return math.sqrt(self.forward * self.backward)

    @property
    def arithmetic(self) -> float:
        """The mean of the perplexities of both directions."""
        return (self.forward + self.backward) / 2


@torch.no_grad()
def evaluate(
    model: LanguageModel,
    corpus: Corpus,
    workers: Workers,
    precision: str = "float32",
    n_rows: int | None = None,
) -> Perplexity:
    """Compute the perplexity of a text, with the LSTM states carried from sentence to sentence.

    model (LanguageModel): The model.
    corpus (Corpus): The text.
    workers (Workers): The processes that share the work.
    precision (str): "float32", or "bfloat16" for matrix products in bfloat16.
    n_rows (int | None): Rows that the text is divided into. Each starts from a zero state. None
        for at most `MAX_ROWS` rows of at least `MIN_LENGTH` positions.
    RETURNS (Perplexity): The perplexity of both directions.
    RAISES (ValueError): If the text has no sentence.
    """
    if not corpus.n_sentences:
        raise ValueError("There is no sentence in the text to evaluate on.")
    n_rows = n_rows or max(1, min(MAX_ROWS, corpus.n_positions // MIN_LENGTH))
    ids = codes_to_ids(model.vocab, corpus.words)
    table = model.word_table(corpus.words, precision)
    n_directions = model.bilm.options.n_directions
    windows = EvaluationWindows(corpus, n_rows, N_STEPS)
    windows.select_shard(workers.rank, workers.size)
    state = model.bilm.zero_state(len(windows.lengths))
    # sums: the loss of each direction, the number of positions, the number of unknown words
    totals = torch.zeros(n_directions + 2, dtype=torch.float64, device="cpu")
    for active, read, follows in windows:
        read, targets = read[:n_directions], ids[follows[:n_directions]]
        x = model.look_up(table, torch.from_numpy(read).to(model.device))
        top, state = model.outputs(x, active, state, precision)
        for d, (h, row) in enumerate(zip(top, torch.from_numpy(targets).to(model.device))):
            totals[d] += model.head(h, row).item()
        totals[-2] += read.shape[1]
        totals[-1] += (targets[0] == model.vocab.unknown).sum()
    losses = workers.sum(totals).cpu().tolist()
    n_positions, n_unknown = int(losses[-2]), losses[-1]
    forward = _perplexity(losses[0], n_positions)
    backward = _perplexity(losses[n_directions - 1], n_positions)
    return Perplexity(forward, backward, n_positions, n_unknown / n_positions)


def _perplexity(total_loss: float, n_positions: int) -> float:
    mean = total_loss / n_positions
    return math.exp(mean) if mean < MAX_LOSS else math.inf
