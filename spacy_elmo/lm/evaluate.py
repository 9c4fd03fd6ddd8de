"""The perplexity of a text: every word of it counted once, nothing sampled or dropped.

Owns how a text is read for evaluation and what is reported of it.
"""

import math
from dataclasses import dataclass

import torch

from ..corpus.corpus import Corpus
from ..runtime.workers import Workers
from .language_model import LanguageModel, codes_to_ids
from .windows import Passage

MAX_ROWS, N_STEPS = 256, 32
# positions of a row at least, so that few of them are the first after a state of zeros
MIN_LENGTH = 500


@dataclass(frozen=True)
class Perplexity:
    """Over all words of a text and the ends of its sentences.

    forward, backward (float): Of each direction; a model with one direction has the same
        in both.
    n_positions (int): Words predicted, in each direction.
    unknown (float): Share of them that are not in the vocabulary.
    """

    forward: float
    backward: float
    n_positions: int
    unknown: float

    @property
    def geometric(self) -> float:
        """The exponential of the two directions' mean loss, which the original reports."""
        return math.sqrt(self.forward * self.backward)

    @property
    def arithmetic(self) -> float:
        return (self.forward + self.backward) / 2


@torch.no_grad()
def evaluate(
    model: LanguageModel,
    corpus: Corpus,
    workers: Workers,
    precision: str = "float32",
    n_rows: int | None = None,
) -> Perplexity:
    """Perplexity of a text in its order, states carried from sentence to sentence.

    model (LanguageModel): The model.
    corpus (Corpus): The text.
    workers (Workers): The processes that share the work.
    precision (str): "float32", or "bfloat16" for the matrix products.
    n_rows (Optional[int]): Stretches that the text is divided into and that are read side by
        side, each from a state of zeros; None for as many as are long enough.
    RETURNS (Perplexity): Its perplexity.
    """
    if not corpus.n_sentences:
        raise ValueError("There is no sentence in the text to evaluate on.")
    n_rows = n_rows or max(1, min(MAX_ROWS, corpus.n_positions // MIN_LENGTH))
    ids = codes_to_ids(model.vocab, corpus.words)
    table = model.word_table(corpus.words, precision)
    n_directions = model.bilm.options.n_directions
    passage = Passage(corpus, n_rows, N_STEPS)
    passage.share(workers.rank, workers.size)
    state = model.bilm.zero_state(len(passage.lengths))
    totals = torch.zeros(n_directions + 2, dtype=torch.float64, device="cpu")
    for active, read, follows in passage:
        read, targets = read[:n_directions], ids[follows[:n_directions]]
        x = model.look_up(table, torch.from_numpy(read).to(model.device))
        top, state = model.outputs(x, active, state, precision)
        for d, (h, row) in enumerate(zip(top, torch.from_numpy(targets).to(model.device))):
            totals[d] += model.head(h, row).item()
        totals[-2] += read.shape[1]
        totals[-1] += (targets[0] == model.vocab.unknown).sum()
    totals = workers.sum(totals).cpu()
    n_positions = int(totals[-2])
    forward, backward = (
        math.exp(float(total) / n_positions) if total / n_positions < 700 else math.inf
        for total in (totals[0], totals[n_directions - 1])
    )
    return Perplexity(forward, backward, n_positions, float(totals[-1]) / n_positions)
