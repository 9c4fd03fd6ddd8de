"""A bounded cache of word vectors, so that the characters of a word are encoded once."""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import torch
from torch import Tensor


class WordCache:
    """Vectors of the most recently used words. Copies start empty.

    capacity (int): Maximum number of words in the cache. A full cache evicts the least recently
        used half of its words.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.hits = 0
        self.misses = 0
        self._rows: dict[str, int] = {}
        self._vectors: Tensor | None = None
        self._lock = Lock()  # a server may call one pipeline from several threads

    def __len__(self) -> int:
        return len(self._rows)

    def __deepcopy__(self, memo: object) -> "WordCache":
        return WordCache(self.capacity)

    def __reduce__(self) -> tuple[Any, ...]:
        return WordCache, (self.capacity,)

    def clear(self) -> None:
        """Drop all vectors."""
        with self._lock:
            self._rows = {}
            self._vectors = None
            self.hits = self.misses = 0

    def get(self, words: Sequence[str], compute: Callable[[list[str]], Tensor]) -> Tensor:
        """Return the vectors of words.

        words (Sequence[str]): Distinct words.
        compute (Callable): Computes the vectors [n, dim] of words that are not in the cache.
        RETURNS (Tensor): Vectors [n_words, dim], a copy.
        """
        with self._lock:
            return self._get(words, compute)

    def _get(self, words: Sequence[str], compute: Callable[[list[str]], Tensor]) -> Tensor:
        missing = [word for word in words if word not in self._rows]
        self.misses += len(missing)
        self.hits += len(words) - len(missing)
        if not words or len(words) > self.capacity // 2:
            # so many words would evict most of the cache: bypass it
            return compute(list(words))
        if missing:
            self._add(missing, compute(missing), words)
        assert self._vectors is not None
        rows = self._rows_tensor([self._touch(word) for word in words])
        return self._vectors.index_select(0, rows)

    def _touch(self, word: str) -> int:
        # a dict keeps insertion order: reinsertion marks the word as the most recent
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
        """Replace an inference tensor, which cannot be changed outside of inference mode."""
        vectors = self._vectors
        if vectors is None or torch.is_inference_mode_enabled() or not vectors.is_inference():
            return
        self._vectors = vectors.clone()

    def _make_room(self, wanted: set[str]) -> None:
        """Evict the least recently used half, except the words that the caller reads next."""
        assert self._vectors is not None
        words = list(self._rows)
        half = len(words) // 2
        retained = [word for word in words[:half] if word in wanted] + words[half:]
        rows = self._rows_tensor([self._rows[word] for word in retained])
        self._vectors[: len(retained)] = self._vectors[rows]
        self._rows = {word: row for row, word in enumerate(retained)}

    def _rows_tensor(self, rows: list[int]) -> Tensor:
        assert self._vectors is not None
        return torch.tensor(rows, dtype=torch.int64, device=self._vectors.device)
