"""Windows for evaluation on a text: one pass in order, in which each position occurs once."""

from collections.abc import Iterator

import numpy as np

from ..corpus.corpus import Corpus
from ..runtime.ragged import positions_within
from .word_codes import read_positions


class EvaluationWindows:
    """One pass over a text, divided into rows of similar length.

    Rows start at sentence boundaries. A row holds the same sentences in both directions. Rows are
    sorted by length, longest first, so that the rows of a window can be packed by steps.

    corpus (Corpus): The text.
    n_rows (int): At most this many rows; fewer if the text has fewer sentences.
    n_steps (int): Steps of a window.
    """

    def __init__(self, corpus: Corpus, n_rows: int, n_steps: int) -> None:
        self.corpus, self.n_steps = corpus, n_steps
        # positions before each sentence
        self.before = np.asarray(corpus.starts) + np.arange(corpus.n_sentences + 1)
        cuts = -(-np.arange(n_rows + 1) * corpus.n_positions // n_rows)  # rounded up
        bounds = np.unique(self.before[np.searchsorted(self.before, cuts)])
        lengths = np.diff(bounds)
        descending = np.argsort(-lengths, kind="stable")
        self.starts, self.lengths = bounds[:-1][descending], lengths[descending]

    def select_shard(self, index: int, n_shards: int) -> None:
        """Keep only every `n_shards`-th row, from row `index` on, for one of several processes."""
        rows = slice(index, None, n_shards)
        self.starts, self.lengths = self.starts[rows], self.lengths[rows]

    def __iter__(self) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
        """Iterate over the windows.

        YIELDS (tuple[list[int], ndarray, ndarray]): The number of active rows at each step, the
            codes to read, and the codes to predict. Codes are packed by steps, int64
            [2, n_positions].
        """
        longest = int(self.lengths[0]) if len(self.lengths) else 0
        for begin in range(0, longest, self.n_steps):
            steps = np.arange(begin, min(begin + self.n_steps, longest))
            active = (self.lengths[None, :] > steps[:, None]).sum(axis=1)
            row, step = positions_within(active), np.repeat(steps, active)
            read, follows = self._read(row, step, reverse=False)
            read_back, follows_back = self._read(row, step, reverse=True)
            yield active.tolist(), np.stack([read, read_back]), np.stack([follows, follows_back])

    def _read(
        self, row: np.ndarray, step: np.ndarray, reverse: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        in_row = self.lengths[row] - 1 - step if reverse else step
        position = self.starts[row] + in_row
        sentence = np.searchsorted(self.before, position, side="right") - 1
        within = position - self.before[sentence]
        if reverse:
            within = self.before[sentence + 1] - self.before[sentence] - 1 - within
        return read_positions(self.corpus, sentence, within, reverse)
