"""Training windows: rows of text, cut into windows between which the LSTM states carry over.

An `Order` determines which sentences each row reads. `Windows` reads them in one direction. A
training that resumes restores only the small state of its orders.
"""

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..corpus.corpus import Corpus
from ..lm.word_codes import read_positions
from ..runtime.ragged import concatenated_ranges
from .draws import DRAW_ORDER

if TYPE_CHECKING:
    from .config import PretrainConfig

Window = tuple[np.ndarray, np.ndarray]
"""Codes read and codes to predict, both int64 [n_steps, n_rows]; see `word_codes`."""


class Order(Protocol):
    """The order of the text: which sentences each row reads."""

    def next(self, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Advance all rows.

        n_steps (int): Steps T.
        RETURNS (tuple[ndarray, ndarray]): The sentence that each row reads at each step, and the
            position within the sentence, both int64 [n_rows, n_steps]. A sentence of n words has
            n + 1 positions.
        """

    def state(self) -> dict[str, Any]:
        """Return the positions of the rows, JSON-serializable."""

    def restore(self, state: dict[str, Any]) -> None:
        """Restore positions that `state` returned."""


class Shuffled:
    """Shuffle the sentences for each epoch. A row that has read a sentence takes the next one.

    corpus (Corpus): The text.
    n_rows (int): Rows B.
    seed (tuple[int, ...]): Determines the order, together with the number of the epoch.
    """

    def __init__(self, corpus: Corpus, n_rows: int, seed: tuple[int, ...]) -> None:
        self.corpus, self.n_rows, self.seed = corpus, n_rows, seed
        # for each row: its sentence, the next position in it, and the positions left in it
        self.rows: list[tuple[int, int, int]] = [(0, 0, 0)] * n_rows
        self._shuffle(0)

    def next(self, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
        ranges: list[tuple[int, int, int]] = []  # sentence, first position, positions
        starts = self.corpus.starts
        for row, (sentence, position, left) in enumerate(self.rows):
            room = n_steps
            while room:
                if not left:
                    sentence, position = self._next_sentence(), 0
                    left = int(starts[sentence + 1] - starts[sentence]) + 1
                n = min(room, left)
                ranges.append((sentence, position, n))
                position, left, room = position + n, left - n, room - n
            self.rows[row] = (sentence, position, left)
        sentences, firsts, lengths = np.array(ranges, dtype=np.int64).T
        shape = (self.n_rows, n_steps)
        positions = concatenated_ranges(firsts, lengths)
        return np.repeat(sentences, lengths).reshape(shape), positions.reshape(shape)

    def state(self) -> dict[str, Any]:
        return {"rows": self.rows, "passes": self.passes, "taken": self.taken}

    def restore(self, state: dict[str, Any]) -> None:
        self.rows = [(row[0], row[1], row[2]) for row in state["rows"]]
        self._shuffle(state["passes"])
        self.taken = state["taken"]

    def _next_sentence(self) -> int:
        if self.taken == self.corpus.n_sentences:
            self._shuffle(self.passes + 1)
        self.taken += 1
        return int(self.order[self.taken - 1])

    def _shuffle(self, passes: int) -> None:
        self.passes, self.taken, n = passes, 0, self.corpus.n_sentences
        dtype = np.int32 if n < 2**31 else np.int64
        generator = np.random.default_rng([*self.seed, passes])
        self.order = generator.permutation(np.arange(n, dtype=dtype))


class InDocuments:
    """Read documents from start to end.

    The documents are shuffled once and arranged in a ring, on which the rows start at equal
    distances. In the backward direction, documents are read from their ends.

    corpus (Corpus): The text.
    n_rows (int): Rows B.
    reverse (bool): Whether to read backward.
    seed (tuple[int, ...]): Determines the order of the documents.
    """

    def __init__(self, corpus: Corpus, n_rows: int, reverse: bool, seed: tuple[int, ...]) -> None:
        n_sentences = np.diff(corpus.documents)
        shuffled = np.random.default_rng(list(seed)).permutation(len(n_sentences))
        firsts = np.asarray(corpus.documents)[shuffled]
        self.order = concatenated_ranges(firsts, n_sentences[shuffled])
        if reverse:
            self.order = self.order[::-1]
        # where each sentence of the order begins and ends on the ring of positions
        n_positions = np.diff(corpus.starts)[self.order] + 1
        self.ends = np.cumsum(n_positions)
        self.begins = self.ends - n_positions
        # each row starts at a sentence boundary
        cuts = np.arange(n_rows) * self.ends[-1] // n_rows
        self.at = self.begins[np.searchsorted(self.ends, cuts, side="right")]

    def next(self, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
        at = (self.at[:, None] + np.arange(n_steps)) % self.ends[-1]
        self.at = (self.at + n_steps) % self.ends[-1]
        index = np.searchsorted(self.ends, at, side="right")
        return self.order[index], at - self.begins[index]

    def state(self) -> dict[str, Any]:
        return {"at": self.at.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        self.at = np.array(state["at"])


class Windows:
    """The windows of one direction.

    A row that has read a sentence continues with another sentence in the next step. A sentence that
    does not fit into a window continues in the row's next window.

    corpus (Corpus): The text.
    order (Order): Which sentences each row reads.
    n_steps (int): Steps T of a window.
    reverse (bool): Whether to read backward.
    RAISES (ValueError): If the text has no sentence.
    """

    def __init__(self, corpus: Corpus, order: Order, n_steps: int, reverse: bool) -> None:
        if not corpus.n_sentences:
            raise ValueError("There is no sentence in the text to train on.")
        self.corpus, self.order, self.n_steps, self.reverse = corpus, order, n_steps, reverse

    def next(self) -> Window:
        """Return the next window of all rows."""
        sentences, positions = self.order.next(self.n_steps)
        return read_positions(self.corpus, sentences.T, positions.T, self.reverse)


def make_windows(config: "PretrainConfig", corpus: Corpus, reverse: bool) -> Windows:
    """Return the windows of one direction, for the rows of all processes.

    config (PretrainConfig): The settings.
    corpus (Corpus): The training text.
    reverse (bool): Whether to read backward.
    RETURNS (Windows): The windows.
    """
    batches = config.batches
    seed = (config.training.seed, DRAW_ORDER, int(reverse))
    order: Order
    if batches.order == "shuffled":
        order = Shuffled(corpus, batches.n_rows, seed)
    else:
        order = InDocuments(corpus, batches.n_rows, reverse, seed)
    return Windows(corpus, order, batches.n_steps, reverse)
