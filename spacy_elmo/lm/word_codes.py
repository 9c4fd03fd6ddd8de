"""Codes of the words that a language model reads and predicts.

Code 0 is the boundary before a sentence, 1 the boundary after it, and n + 2 word n of the corpus.
A sentence of n words has n + 1 positions. The forward direction reads the boundary before the
sentence and then its words, and predicts its words and then the boundary after it. The backward
direction reads the boundary after the sentence and then its words from the last to the first, and
predicts these words and then the boundary before it.
"""

import numpy as np

from ..corpus.corpus import Corpus
from .vocab import Vocab

BEFORE, AFTER, FIRST_WORD = 0, 1, 2


def codes_to_ids(vocab: Vocab, words: list[str]) -> np.ndarray:
    """Return the class of each code.

    vocab (Vocab): The vocabulary.
    words (list[str]): The distinct words of the corpus.
    RETURNS (ndarray): Index into the vocabulary, int64 [2 + n_words].
    """
    return np.concatenate([[vocab.start, vocab.end], vocab.ids(words)]).astype(np.int64)


def read_positions(
    corpus: Corpus, sentences: np.ndarray, positions: np.ndarray, reverse: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the words read at some positions, and the words to predict there.

    corpus (Corpus): The text.
    sentences (ndarray): The sentence of each position, int64 of any shape.
    positions (ndarray): The position within the sentence, 0 for the boundary where reading starts,
        int64 of the same shape.
    reverse (bool): Whether to read backward.
    RETURNS (tuple[ndarray, ndarray]): Codes read and codes to predict, int64 of the same shape.
    """
    tokens, starts = corpus.tokens, corpus.starts
    begin, end = starts[sentences], starts[sentences + 1]
    opening, closing = (AFTER, BEFORE) if reverse else (BEFORE, AFTER)
    last = len(tokens) - 1
    # position k reads the k-th word from the side where reading starts
    here = end - positions if reverse else begin + positions - 1
    there = here - 1 if reverse else here + 1
    is_first, is_last = positions == 0, positions == end - begin
    words_here = tokens[np.clip(here, 0, last)].astype(np.int64) + FIRST_WORD
    words_there = tokens[np.clip(there, 0, last)].astype(np.int64) + FIRST_WORD
    return np.where(is_first, opening, words_here), np.where(is_last, closing, words_there)
