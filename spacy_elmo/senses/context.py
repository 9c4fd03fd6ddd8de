"""The context of a word: the mean vector of the other words of its segment.

The topic of a sentence distinguishes senses, and the state of a language model forgets much of it.
Rare words count more: they are weighted by their inverse document frequency.
"""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from spacy.attrs import ORTH
from spacy.tokens import Doc

from ..text.segments import PunctSegments, find_starts
from ..text.tokens import Tokens
from ..text.words import word_tokens
from .targets import column_of

SEGMENTER = PunctSegments()
MAX_CACHED = 100_000


class WordWeights:
    """The inverse document frequency of words, where a document is a segment of a Doc.

    Without counts stop words of the language have the weight 0, and all other words 1.
    Punctuation always has the weight 0.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.n_segments = 0
        # the weight of each word type that was looked up, by the id of its text
        self._cache: dict[int, float] = {}

    def count(self, docs: Iterable[Doc], max_words: int) -> None:
        """Count in how many segments each word occurs. Earlier counts are dropped.

        docs (Iterable[Doc]): The Docs.
        max_words (int): Number of words whose counts are kept. Other words count as if they
            occurred in no segment.
        """
        counts: Counter[str] = Counter()
        self.n_segments = 0
        self._cache.clear()
        for doc in docs:
            words = word_tokens(doc)
            if not len(words):
                continue
            segments = segment_numbers([doc])[0][words].tolist()
            texts = (text.lower() for text in column_of(doc, ORTH, words))
            counts.update(text for _, text in set(zip(segments, texts)))
            self.n_segments += segments[-1] - segments[0] + 1
            if len(counts) > 8 * max_words:  # bound the memory for millions of Docs
                counts = Counter(dict(counts.most_common(4 * max_words)))
        self.counts = {text: n for text, n in counts.most_common(max_words) if n > 1}

    @classmethod
    def from_counts(cls, counts: Any, n_segments: Any) -> "WordWeights":
        """Return weights with given counts.

        counts (Any): Number of segments that contain each word, Dict[str, int].
        n_segments (Any): Number of segments, int.
        RETURNS (WordWeights): The weights.
        RAISES (ValueError): If they have other types, or a word is in more segments than there are.
        """
        if type(n_segments) is not int or not isinstance(counts, dict):
            raise ValueError("the counts of words have another type")
        if not all(type(n) is int and 0 < n <= n_segments for n in counts.values()):
            raise ValueError("a word occurs in less than one segment, or in more than there are")
        weights = cls()
        weights.counts, weights.n_segments = counts, n_segments
        return weights

    def of(self, doc: Doc) -> np.ndarray:
        """Return the weights of a Doc's tokens.

        doc (Doc): The Doc.
        RETURNS (ndarray): float32 [n_tokens]; 0 for whitespace and punctuation.
        """
        weights = np.zeros(len(doc), dtype=np.float32)
        words = word_tokens(doc)
        if not len(words):
            return weights
        orths: list[int] = doc.to_array([ORTH]).reshape(len(doc))[words].tolist()
        cache = self._cache
        for orth in orths:
            if orth not in cache:
                cache[orth] = self._weight(doc.vocab[orth])
        weights[words] = [cache[orth] for orth in orths]
        if len(cache) > MAX_CACHED:
            cache.clear()
        return weights

    def _weight(self, lexeme: Any) -> float:
        text = lexeme.text.lower()
        if not any(map(str.isalnum, text)):
            return 0.0
        if not self.n_segments:
            return 0.0 if lexeme.is_stop else 1.0
        return math.log((self.n_segments + 1) / (self.counts.get(text, 0) + 1))


def segment_numbers(docs: list[Doc]) -> list[np.ndarray]:
    """Number the segments of Docs. They depend on the tokens alone, so that they are the same in
    training and in prediction.

    docs (List[Doc]): The Docs.
    RETURNS (List[ndarray]): The segment of each token of each Doc, ascending, int64 [n_tokens].
    """
    tokens = Tokens.of(docs)
    numbers = np.cumsum(find_starts(tokens, SEGMENTER))
    return np.split(numbers, tokens.offsets[1:-1])


def context_vectors(
    vectors: np.ndarray, weights: np.ndarray, segments: np.ndarray, spans: np.ndarray
) -> np.ndarray:
    """Return the weighted sum of the vectors of the other words of the segment for some spans.

    vectors (ndarray): Vectors of tokens, float32 [n_tokens, width].
    weights (ndarray): Weights of tokens, float32 [n_tokens].
    segments (ndarray): The segment of each token, ascending, int64 [n_tokens].
    spans (ndarray): First token of each span, and the token after its last one, int64 [n, 2].
    RETURNS (ndarray): float32 [n, width].
    """
    firsts = np.flatnonzero(np.diff(segments, prepend=segments[0] - 1))
    bounds = np.append(firsts, len(segments))
    index = np.searchsorted(firsts, spans[:, 0], side="right") - 1
    # of a span that reaches into the next segment, only the beginning is in the sum
    own = np.stack([spans[:, 0], np.minimum(spans[:, 1], bounds[index + 1])], axis=1)
    pairs = zip(bounds[:-1].tolist(), bounds[1:].tolist())
    sums = np.stack([weights[start:end] @ vectors[start:end] for start, end in pairs])
    others: np.ndarray = sums[index] - span_sums(vectors, own, weights)
    return others


def span_sums(vectors: np.ndarray, spans: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted sum of the vectors of some spans.

    vectors (ndarray): Vectors of tokens, float32 [n_tokens, width].
    spans (ndarray): First token of each span, and the token after its last one, int64 [n, 2].
    weights (ndarray): Weights of tokens, float32 [n_tokens].
    RETURNS (ndarray): float32 [n, width].
    """
    firsts = spans[:, 0]
    sums: np.ndarray = vectors[firsts] * weights[firsts, None]
    for n in np.flatnonzero(spans[:, 1] - spans[:, 0] > 1).tolist():
        start, end = spans[n].tolist()
        sums[n] = weights[start:end] @ vectors[start:end]
    return sums
