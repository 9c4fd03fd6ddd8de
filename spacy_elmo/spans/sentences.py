"""Where the sentences of Docs are, as arrays, and what an LSTM over tokens reads at once."""

from typing import List

import numpy as np
from spacy.attrs import SENT_START
from spacy.tokens import Doc

# tokens that are read in a row where no sentence ends
MAX_STRETCH = 200


def sentence_numbers(doc: Doc) -> np.ndarray:
    """RETURNS (ndarray): The sentence of each token, from 0 on, int64 [n]; all 0 where no
    sentences are marked."""
    if not len(doc) or not doc.has_annotation("SENT_START"):
        return np.zeros(len(doc), dtype=np.int64)
    starts = doc.to_array([SENT_START]).astype(np.int64).reshape(len(doc)) == 1
    numbers: np.ndarray = np.cumsum(starts) - starts[0]
    return numbers


def stretches(sentence: np.ndarray) -> List[int]:
    """RETURNS (List[int]): Lengths of what is read by itself: sentences, long ones in parts.

    sentence (ndarray): Number of the sentence of each token, int64 [n].
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
