"""Sentences as distinct words and ids, the form in which text enters the biLM."""

from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass

import numpy as np

from ..lstm.packing import longest_first
from ..runtime.ragged import elements_of
from .packed_words import N_BOUNDARIES

NO_TOKENS = "Each sentence must be a list of strings"


@dataclass(frozen=True)
class WordBatch:
    """Tokens of sentences, sentence after sentence.

    words (List[str]): The distinct words.
    ids (ndarray): Index into `words` of each token, int64 [n_tokens]; -2 and -1 are the
        boundary words before and after a sentence.
    lengths (ndarray): Tokens in each sentence, int64 [n_sentences].
    """

    words: list[str]
    ids: np.ndarray
    lengths: np.ndarray

    @classmethod
    def from_sentences(
        cls, sentences: Sequence[Sequence[str]], boundaries: Sequence[str] = ()
    ) -> "WordBatch":
        """Number the distinct words of tokenized sentences.

        sentences (Sequence[Sequence[str]]): The tokens of each sentence.
        boundaries (Sequence[str]): Two tokens to read as the boundary words, e.g. "<S>" and
            "</S>". Without them, such tokens are spelled like other words.
        RETURNS (WordBatch): The batch.
        RAISES (ValueError): If `sentences` is not a list of lists of strings.
        """
        if isinstance(sentences, str) or not isinstance(sentences, Sized):
            raise ValueError(
                f"Expected a list of sentences, but found a {type(sentences).__name__}. Convert it "
                f"by list(sentences), or pass a stream to `ElmoEmbedder.embed_sentences`."
            )
        for sentence in sentences:
            if isinstance(sentence, str):
                raise ValueError(
                    f"A sentence must be a list of tokens, but {sentence[:30]!r} is a string. "
                    f"Split it into tokens first."
                )
            if not isinstance(sentence, Sized):
                raise ValueError(
                    f"{NO_TOKENS}, but found a {type(sentence).__name__}. Convert it to a list."
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
                    f"{NO_TOKENS}: {str(word)[:30]!r} is a {type(word).__name__}. For a Doc, pass "
                    f"[token.text for token in doc]."
                )
        return cls(words, np.array(ids, dtype=np.int64), np.array(lengths, dtype=np.int64))

    def chunks(self, max_tokens: int) -> Iterator[np.ndarray]:
        """Split the sentences, longest first, into chunks within a token budget.

        max_tokens (int): Maximum number of tokens of a chunk, including boundary words. A longer
            sentence is a chunk by itself.
        YIELDS (ndarray): Indices of the sentences of a chunk, by descending length, int64.
        """
        order = longest_first(self.lengths)
        ends = np.cumsum(self.lengths[order] + N_BOUNDARIES)
        start = done = 0
        while start < len(order):
            stop = int(np.searchsorted(ends, done + max_tokens, side="right"))
            stop = max(stop, start + 1)
            yield order[start:stop]
            start, done = stop, int(ends[stop - 1])

    def tokens_of(self, sentences: np.ndarray) -> np.ndarray:
        """Return the indices of the tokens of some sentences.

        sentences (ndarray): Indices of the sentences, int64.
        RETURNS (ndarray): Indices of their tokens, in the order of `sentences`, int64.
        """
        return elements_of(self.lengths, sentences)
