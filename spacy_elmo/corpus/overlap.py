"""The overlap of a held-out text with the training text.

Sentences are compared by 64-bit hashes of their words, in chunks of the training text.
"""

import warnings

import numpy as np

from ..runtime.ragged import positions_within
from .corpus import Corpus

# shorter sentences ("Yes.", "he said") occur in any two texts and are not compared
MIN_WORDS = 6
CHUNK_SENTENCES = 100_000
# minimum fraction of the held-out words for a warning
MAX_OVERLAP = 0.1
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def warn_of_overlap(train: Corpus, heldout: Corpus) -> None:
    """Warn if sentences of the held-out text are in the training text as well.

    train, heldout (Corpus): The texts.
    """
    found = overlap(train, heldout)
    if found >= MAX_OVERLAP:
        warnings.warn(
            f"{found:.0%} of the held-out text is part of the training text as well, so its "
            f"perplexity says little about other text. Give other files under [text] heldout.",
            stacklevel=2,
        )


def overlap(train: Corpus, heldout: Corpus) -> float:
    """Compute the fraction of a held-out text that is in the training text.

    train, heldout (Corpus): The texts.
    RETURNS (float): The fraction of the held-out words, 0 to 1, in sentences that occur in the
        training text. Sentences of fewer than `MIN_WORDS` words count only if there are no longer
        sentences.
    """
    lengths = np.diff(heldout.starts)
    if not len(lengths):
        return 0.0
    counted = lengths >= min(MIN_WORDS, int(lengths.max()))
    hashes = _sentence_hashes(heldout, _word_hashes(heldout), 0, heldout.n_sentences)[counted]
    known = np.unique(hashes)
    seen = np.zeros(len(known), dtype=bool)
    words = _word_hashes(train)
    for start in range(0, train.n_sentences, CHUNK_SENTENCES):
        end = min(start + CHUNK_SENTENCES, train.n_sentences)
        chunk = _sentence_hashes(train, words, start, end)
        places = np.minimum(np.searchsorted(known, chunk), len(known) - 1)
        seen[places[known[places] == chunk]] = True
    shared = seen[np.searchsorted(known, hashes)]
    return float(lengths[counted][shared].sum() / lengths[counted].sum())


def _word_hashes(corpus: Corpus) -> np.ndarray:
    """Return a hash of each distinct word, uint64 [n_words]."""
    hashes = np.fromiter(map(hash, corpus.words), dtype=np.int64, count=len(corpus.words))
    return hashes.view(np.uint64)


def _sentence_hashes(corpus: Corpus, words: np.ndarray, start: int, end: int) -> np.ndarray:
    """Return a hash of each sentence from `start` to `end`, uint64 [end - start]."""
    starts = np.asarray(corpus.starts[start : end + 1])
    lengths = np.diff(starts)
    tokens = np.asarray(corpus.tokens[starts[0] : starts[-1]])
    firsts = starts[:-1] - starts[0]
    powers = np.cumprod(np.full(int(lengths.max(initial=0)), MULTIPLIER))
    hashes: np.ndarray = np.add.reduceat(words[tokens] * powers[positions_within(lengths)], firsts)
    return hashes
