"""A bounded memory of word vectors, so that a word's characters are read once.

Owns which words are kept and which make room. It does not know how a vector is
computed; the token embedder asks for what is missing and empties the cache when
its weights change.
"""

from collections.abc import Callable, Sequence
from threading import Lock

import torch
from torch import Tensor


class WordCache:
    """Vectors of the most recently used words.

    capacity (int): Words kept at the most. Half of them make room when it is full.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.hits = 0
        self.misses = 0
        self._rows: dict[str, int] = {}
        self._vectors: Tensor | None = None
        self._lock = Lock()  # a server may run one pipeline in several threads

    def __len__(self) -> int:
        return len(self._rows)

    def __deepcopy__(self, memo: object) -> "WordCache":
        return WordCache(self.capacity)

    def __reduce__(self):  # type: ignore[no-untyped-def]
        return WordCache, (self.capacity,)

    def clear(self) -> None:
        with self._lock:
            self._rows = {}
            self._vectors = None
            self.hits = self.misses = 0

    def get(self, words: Sequence[str], compute: Callable[[list[str]], Tensor]) -> Tensor:
        """Vectors of distinct words.

        words (Sequence[str]): The words, each once.
        compute (Callable): Gives the vectors [n, dim] of words not kept yet.
        RETURNS (Tensor): Vectors [n_words, dim], a copy.
        """
        with self._lock:
            return self._get(words, compute)

    def _get(self, words: Sequence[str], compute: Callable[[list[str]], Tensor]) -> Tensor:
        missing = [word for word in words if word not in self._rows]
        self.misses += len(missing)
        self.hits += len(words) - len(missing)
        if not words or len(words) > self.capacity // 2:
            # nothing to keep, or too much beside what is there: leave the cache as it is
            return compute(list(words))
        if missing:
            self._add(missing, compute(missing), words)
        assert self._vectors is not None
        rows = self._rows_tensor([self._touch(word) for word in words])
        return self._vectors.index_select(0, rows)

    def _touch(self, word: str) -> int:
        # a dict keeps insertion order: re-inserting makes the word the latest
        row = self._rows[word] = self._rows.pop(word)
        return row

    def _add(self, words: list[str], vectors: Tensor, wanted: Sequence[str]) -> None:
        self._make_writable()
        if len(self._rows) + len(words) > self.capacity:
            self._make_room(set(wanted))
        used = len(self._rows)
        needed = used + len(words)
        if self._vectors is None or needed > len(self._vectors):
            size = min(self.capacity, max(1024, 2 * needed))
            grown = vectors.new_empty(size, vectors.shape[1])
            if self._vectors is not None:
                grown[:used] = self._vectors[:used]
            self._vectors = grown
        self._vectors[used:needed] = vectors
        self._rows.update(zip(words, range(used, needed)))

    def _make_writable(self) -> None:
        """What was made in torch.inference_mode cannot be changed outside of it."""
        vectors = self._vectors
        if vectors is None or torch.is_inference_mode_enabled() or not vectors.is_inference():
            return
        self._vectors = vectors.clone()

    def _make_room(self, wanted: set[str]) -> None:
        """Keep the later half, and what the caller is about to read."""
        assert self._vectors is not None
        words = list(self._rows)
        half = len(words) // 2
        kept = [word for word in words[:half] if word in wanted] + words[half:]
        rows = self._rows_tensor([self._rows[word] for word in kept])
        self._vectors[: len(kept)] = self._vectors[rows]
        self._rows = {word: row for row, word in enumerate(kept)}

    def _rows_tensor(self, rows: list[int]) -> Tensor:
        assert self._vectors is not None
        return torch.tensor(rows, dtype=torch.int64, device=self._vectors.device)
