"""Text as endless rows of words and the words that follow them, cut into windows.

Owns which word stands where: rows, their order of sentences, both reading directions,
and the state to go on from. It knows nothing of models. All words are codes here: 0
and 1 stand for the words before and after a sentence, n + 2 for word n of the corpus.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from ..corpus.corpus import Corpus
from ..lstm.packing import elements_of, longest_first, pack, positions_within

BEFORE, AFTER, FIRST_WORD = 0, 1, 2

Window = tuple[np.ndarray, np.ndarray]
"""Codes of the words read and of those that follow them, both int64 [n_steps, n_rows]."""


class Order(Protocol):
    """Which sentences each row reads, one after the other."""

    def next(self, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
        """RETURNS (Tuple[ndarray, ndarray]): The sentence that each row is in at its next
        steps, and the position there, both int64 [n_rows, n_steps]. A sentence of n words has
        n + 1 positions."""

    def state(self) -> dict[str, Any]:
        """RETURNS (Dict[str, Any]): Where the rows are, as JSON can hold it."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""


class Shuffled:
    """All rows take from one pass over the sentences, shuffled anew each time.

    corpus (Corpus): The text.
    n_rows (int): Rows B.
    seed (Tuple[int, ...]): With the number of the pass, decides the order.
    """

    def __init__(self, corpus: Corpus, n_rows: int, seed: tuple[int, ...]) -> None:
        self.corpus, self.n_rows, self.seed = corpus, n_rows, seed
        # of each row: the sentence it is in, the next position there, the positions left
        self.rows: list[tuple[int, int, int]] = [(0, 0, 0)] * n_rows
        self._shuffle(0)

    def next(self, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
        parts: list[tuple[int, int, int]] = []  # sentence, first position, positions
        starts = self.corpus.starts
        for row, (sentence, position, left) in enumerate(self.rows):
            room = n_steps
            while room:
                if not left:
                    sentence, position = self._take(), 0
                    left = int(starts[sentence + 1] - starts[sentence]) + 1
                taken = min(room, left)
                parts.append((sentence, position, taken))
                position, left, room = position + taken, left - taken, room - taken
            self.rows[row] = (sentence, position, left)
        sentences, positions, lengths = np.array(parts, dtype=np.int64).T
        shape = (self.n_rows, n_steps)
        positions = np.repeat(positions, lengths) + positions_within(lengths)
        return np.repeat(sentences, lengths).reshape(shape), positions.reshape(shape)

    def _take(self) -> int:
        if self.taken == self.corpus.n_sentences:
            self._shuffle(self.passes + 1)
        self.taken += 1
        return int(self.order[self.taken - 1])

    def _shuffle(self, passes: int) -> None:
        self.passes, self.taken, n = passes, 0, self.corpus.n_sentences
        dtype = np.int32 if n < 2**31 else np.int64
        generator = np.random.default_rng([*self.seed, passes])
        self.order = generator.permutation(np.arange(n, dtype=dtype))

    def state(self) -> dict[str, Any]:
        return {"rows": self.rows, "passes": self.passes, "taken": self.taken}

    def restore(self, state: dict[str, Any]) -> None:
        self.rows = [(row[0], row[1], row[2]) for row in state["rows"]]
        self._shuffle(state["passes"])
        self.taken = state["taken"]


class InDocuments:
    """Each row reads a stretch of the corpus in its order, then the next row's stretch.

    Documents are shuffled once. Backwards, they are read from their ends.

    corpus (Corpus): The text.
    n_rows (int): Rows B.
    reverse (bool): Whether to read backwards.
    seed (Tuple[int, ...]): Decides the order of the documents.
    """

    def __init__(self, corpus: Corpus, n_rows: int, reverse: bool, seed: tuple[int, ...]) -> None:
        lengths = np.diff(corpus.documents)
        shuffled = np.random.default_rng(list(seed)).permutation(len(lengths))
        self.order = elements_of(lengths, shuffled)
        if reverse:
            self.order = self.order[::-1]
        # where each sentence of the order begins and ends among all positions
        n_positions = np.diff(corpus.starts)[self.order] + 1
        self.ends = np.cumsum(n_positions)
        self.begins = self.ends - n_positions
        # stretches of the same number of positions, to a sentence
        cuts = np.arange(n_rows) * self.ends[-1] // n_rows
        self.at = self.begins[np.searchsorted(self.ends, cuts, side="right")]

    def next(self, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
        at = (self.at[:, None] + np.arange(n_steps)) % self.ends[-1]
        self.at = (self.at + n_steps) % self.ends[-1]
        places = np.searchsorted(self.ends, at, side="right")
        return self.order[places], at - self.begins[places]

    def state(self) -> dict[str, Any]:
        return {"at": self.at.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        self.at = np.array(state["at"])


class Windows:
    """The windows of one direction.

    A sentence of n words takes n + 1 positions of a row: forward the word before it and
    its words are read, and its words and the word after it follow; backward the other
    way round. A row that has read a sentence goes on with another at once. Sentences
    that do not fit continue in the row's next window.

    corpus (Corpus): The text.
    order (Order): Which sentences each row reads.
    n_steps (int): Steps T of a window.
    reverse (bool): Whether to read backwards.
    """

    def __init__(self, corpus: Corpus, order: Order, n_steps: int, reverse: bool) -> None:
        if not corpus.n_sentences:
            raise ValueError("There is no sentence in the text to train on.")
        self.corpus, self.order, self.n_steps, self.reverse = corpus, order, n_steps, reverse

    def next(self) -> Window:
        """RETURNS (Window): The next window of all rows."""
        sentences, positions = (part.T for part in self.order.next(self.n_steps))
        return read_positions(self.corpus, sentences, positions, self.reverse)


def read_positions(
    corpus: Corpus, sentences: np.ndarray, positions: np.ndarray, reverse: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The words at positions of sentences, and those that follow.

    corpus (Corpus): The text.
    sentences (ndarray): Sentences, int64 of any shape.
    positions (ndarray): The position in each, 0 for the word around the sentence.
    reverse (bool): Whether to read backwards.
    RETURNS (Tuple[ndarray, ndarray]): Codes read and codes that follow, int64 of that shape.
    """
    tokens, starts = corpus.tokens, corpus.starts
    begin, end = starts[sentences], starts[sentences + 1]
    around = (AFTER, BEFORE) if reverse else (BEFORE, AFTER)
    last = len(tokens) - 1
    # position k is the k-th word from the side where reading starts
    here = end - positions if reverse else begin + positions - 1
    there = here - 1 if reverse else here + 1
    first, final = positions == 0, positions == end - begin
    read = np.where(first, around[0], tokens[np.clip(here, 0, last)].astype(np.int64) + FIRST_WORD)
    follows = np.where(
        final, around[1], tokens[np.clip(there, 0, last)].astype(np.int64) + FIRST_WORD
    )
    return read, follows


class Passage:
    """One pass over a text in its order, each position once, in windows of ragged rows.

    The text is divided at sentences into rows of about the same length. Forward and
    backward reading have rows of the same lengths.

    corpus (Corpus): The text.
    n_rows (int): Rows at the most.
    n_steps (int): Steps of a window.
    """

    def __init__(self, corpus: Corpus, n_rows: int, n_steps: int) -> None:
        self.corpus, self.n_steps = corpus, n_steps
        # positions before each sentence
        self.before = np.asarray(corpus.starts) + np.arange(corpus.n_sentences + 1)
        cuts = -(-np.arange(n_rows + 1) * corpus.n_positions // n_rows)  # rounded up
        bounds = np.unique(self.before[np.searchsorted(self.before, cuts)])
        lengths = np.diff(bounds)
        descending = longest_first(lengths)
        self.starts, self.lengths = bounds[:-1][descending], lengths[descending]

    def share(self, index: int, n_shares: int) -> None:
        """Keep every n-th row only, for one of n processes."""
        rows = slice(index, None, n_shares)
        self.starts, self.lengths = self.starts[rows], self.lengths[rows]

    def __iter__(self) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
        """YIELDS (Tuple[List[int], ndarray, ndarray]): Rows active at each step, and the
        codes read and following, packed by steps, int64 [2, n_positions]."""
        longest = int(self.lengths[0]) if len(self.lengths) else 0
        for begin in range(0, longest, self.n_steps):
            packing = pack(np.clip(self.lengths - begin, 0, self.n_steps))
            row, step = packing.row_sequences(), begin + packing.row_steps()
            both = [self._read(row, step, reverse) for reverse in (False, True)]
            read, follows = (np.stack(pair) for pair in zip(*both))
            yield packing.active, read, follows

    def _read(self, row: np.ndarray, step: np.ndarray, reverse: bool) -> Window:
        place = self.lengths[row] - 1 - step if reverse else step
        position = self.starts[row] + place
        sentence = np.searchsorted(self.before, position, side="right") - 1
        within = position - self.before[sentence]
        if reverse:
            within = self.before[sentence + 1] - self.before[sentence] - 1 - within
        return read_positions(self.corpus, sentence, within, reverse)
