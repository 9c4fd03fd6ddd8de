"""Where the sentences of Docs are, as arrays, and what an LSTM over tokens reads at once."""

import numpy as np
from spacy.attrs import SENT_START
from spacy.tokens import Doc

# tokens that are read in a row where no sentence ends
MAX_STRETCH = 200


def sentence_numbers(doc: Doc, words: np.ndarray) -> np.ndarray:
    """Number the sentences of a Doc that have words.

    doc (Doc): The Doc.
    words (ndarray): Positions of its words, as `word_tokens` returns them, int64 [n].
    RETURNS (ndarray): The sentence of each word, from 0 on without gaps, int64 [n]; all 0 where
        no sentences are marked.
    """
    if not len(words) or not doc.has_annotation("SENT_START"):
        return np.zeros(len(words), dtype=np.int64)
    starts = doc.to_array([SENT_START]).astype(np.int64).reshape(len(doc)) == 1
    # a sentence may start with whitespace, or hold nothing else
    of_token = np.cumsum(starts)[words]
    numbers: np.ndarray = np.cumsum(np.diff(of_token, prepend=of_token[0]) != 0)
    return numbers


def stretches(sentence: np.ndarray) -> list[int]:
    """RETURNS (List[int]): Lengths of what is read by itself: sentences, long ones in parts.

    sentence (ndarray): Number of the sentence of each word, int64 [n].
    """
    if not len(sentence):
        return []
    starts = np.flatnonzero(np.concatenate([[True], sentence[1:] != sentence[:-1]]))
    lengths = np.diff(np.concatenate([starts, [len(sentence)]]))
    return [
        min(MAX_STRETCH, length - done)
        for length in lengths.tolist()
        for done in range(0, length, MAX_STRETCH)
    ]
