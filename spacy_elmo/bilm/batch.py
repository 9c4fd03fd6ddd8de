"""Sentences as distinct words and ids, and their division by a token budget.

Owns the one form in which text enters the biLM. It does not know of Docs.
"""

from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass

import numpy as np

from ..lstm.packing import N_BOUNDARIES
from ..runtime.ragged import concatenated_ranges

NO_TOKENS = "Each sentence must be a list of strings"


@dataclass(frozen=True)
class WordBatch:
    """Sentences, one after the other.

    words (List[str]): The distinct words.
    ids (ndarray): Index into `words` of each token, int64 [n_tokens]; -2 and -1 are the
        words that stand before and after a sentence.
    lengths (ndarray): Tokens in each sentence, int64 [n_sentences].
    """

    words: list[str]
    ids: np.ndarray
    lengths: np.ndarray

    @classmethod
    def from_sentences(
        cls, sentences: Sequence[Sequence[str]], boundaries: Sequence[str] = ()
    ) -> "WordBatch":
        """Number the words of tokenized sentences.

        sentences (Sequence[Sequence[str]]): The tokens of each sentence.
        boundaries (Sequence[str]): Two tokens that stand for the words before and after
            a sentence, e.g. "<S>" and "</S>"; without them such tokens are spelled.
        RETURNS (WordBatch): The batch.
        RAISES (ValueError): If this is not a list of lists of strings.
        """
        if isinstance(sentences, str) or not isinstance(sentences, Sized):
            raise ValueError(
                f"Expected a list of sentences, but a {type(sentences).__name__} was found. Make a "
                f"list of it, list(sentences); a stream is for `ElmoEmbedder.embed_sentences`."
            )
        for sentence in sentences:
            if isinstance(sentence, str):
                raise ValueError(
                    f"A sentence must be a list of tokens, but {sentence[:30]!r} is a string. "
                    f"Split it into tokens first."
                )
            if not isinstance(sentence, Sized):
                raise ValueError(
                    f"{NO_TOKENS}, but a {type(sentence).__name__} was found. Make lists of them."
                )
        index = {token: i - N_BOUNDARIES for i, token in enumerate(boundaries)}
        n_special = len(index)
        try:
            ids = [
                index.setdefault(word, len(index) - n_special)
                for sentence in sentences
                for word in sentence
            ]
        except TypeError as error:
            raise ValueError(f"{NO_TOKENS} ({error}).") from error
        lengths = [len(sentence) for sentence in sentences]
        words = list(index)[n_special:]
        for word in words:
            if not isinstance(word, str):
                raise ValueError(
                    f"{NO_TOKENS}: {str(word)[:30]!r} is a {type(word).__name__}. Of a Doc, give "
                    f"[token.text for token in doc]."
                )
        return cls(words, np.array(ids, dtype=np.int64), np.array(lengths, dtype=np.int64))

    def parts(self, max_tokens: int) -> Iterator[np.ndarray]:
        """Divide the sentences into runs of similar length within a budget.

        max_tokens (int): Tokens of a part at the most, boundary words included. A
            sentence that is longer is a part of its own.
        YIELDS (ndarray): Indices of the sentences in a part.
        """
        order = np.argsort(-self.lengths, kind="stable")
        ends = np.cumsum(self.lengths[order] + N_BOUNDARIES)
        start = done = 0
        while start < len(order):
            stop = int(np.searchsorted(ends, done + max_tokens, side="right"))
            stop = max(stop, start + 1)
            yield order[start:stop]
            start, done = stop, int(ends[stop - 1])

    def tokens_of(self, sentences: np.ndarray) -> np.ndarray:
        """RETURNS (ndarray): Positions of the tokens of some sentences, in their order."""
        starts = np.cumsum(self.lengths) - self.lengths
        return concatenated_ranges(starts[sentences], self.lengths[sentences])
