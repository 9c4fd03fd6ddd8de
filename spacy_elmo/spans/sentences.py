"""The sentences of Docs as arrays, and the sequences that an LSTM over sentences reads."""

import numpy as np
from spacy.attrs import SENT_START
from spacy.tokens import Doc

# maximum number of words in a sequence; a longer sentence is divided into several sequences
MAX_SEQUENCE = 200


def sentence_numbers(doc: Doc, words: np.ndarray) -> np.ndarray:
    """Number the sentences of a Doc that contain words.

    doc (Doc): The Doc.
    words (ndarray): Its words, as `word_tokens` returns them, int64 [n].
    RETURNS (ndarray): The sentence of each word, numbered from 0 without gaps, int64 [n]; all 0 if
        the Doc has no sentence boundaries.
    """
    if not len(words) or not doc.has_annotation("SENT_START"):
        return np.zeros(len(words), dtype=np.int64)
    starts = doc.to_array([SENT_START]).astype(np.int64).reshape(len(doc)) == 1
    # a sentence may start with whitespace, or contain nothing else
    sentences = np.cumsum(starts)[words]
    numbers: np.ndarray = np.cumsum(np.diff(sentences, prepend=sentences[0]) != 0)
    return numbers


def sequence_lengths(sentence: np.ndarray) -> list[int]:
    """Divide words into the sequences that an LSTM reads: the sentences. Longer sentences are
    divided after every `MAX_SEQUENCE` words.

    sentence (ndarray): The sentence of each word, int64 [n].
    RETURNS (List[int]): The length of each sequence.
    """
    if not len(sentence):
        return []
    starts = np.flatnonzero(np.concatenate([[True], sentence[1:] != sentence[:-1]]))
    lengths = np.diff(np.concatenate([starts, [len(sentence)]]))
    return [
        min(MAX_SEQUENCE, length - offset)
        for length in lengths.tolist()
        for offset in range(0, length, MAX_SEQUENCE)
    ]
