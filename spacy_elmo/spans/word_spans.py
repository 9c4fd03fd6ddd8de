"""Selection of the spans that begin and end with a word. Other spans get no label."""

from typing import NamedTuple

import numpy as np
import torch
from spacy.tokens import Doc
from torch import Tensor

from ..text.words import word_tokens

# If there is no score for "no label", spans that begin or end with whitespace get this probability
# for the last label and 0 for all other labels. It is lower than any threshold.
MIN_PROBABILITY = 1e-30


class WordSpans(NamedTuple):
    """The spans that begin and end with a word.

    words (List[ndarray]): The words of each Doc, as indices of its tokens, int64 [n_words].
    rows (ndarray): Index of each word span among all spans, int64 [n_word_spans].
    first, last (ndarray): First and last word of each word span, as indices among the words of all
        Docs, int64 [n_word_spans].
    n_spans (int): Number of all spans.
    """

    words: list[np.ndarray]
    rows: np.ndarray
    first: np.ndarray
    last: np.ndarray
    n_spans: int

    def scores_of_all(self, scores: Tensor, exclusive_classes: bool) -> Tensor:
        """Add the scores of the other spans, which have no label.

        scores (Tensor): Probabilities of the word spans [n_word_spans, n_scores].
        exclusive_classes (bool): Whether the last score is the score for "no label".
        RETURNS (Tensor): Probabilities of all spans [n_spans, n_scores].
        """
        if len(self.rows) == self.n_spans:
            return scores
        all_scores = scores.new_zeros(self.n_spans, scores.shape[1])
        all_scores[:, -1] = 1.0 if exclusive_classes else MIN_PROBABILITY
        return all_scores.index_copy(0, torch.from_numpy(self.rows).to(scores.device), scores)


def find_word_spans(docs: list[Doc], n_spans: np.ndarray, bounds: np.ndarray) -> WordSpans:
    """Find the spans that begin and end with a word.

    docs (List[Doc]): The Docs.
    n_spans (ndarray): Number of spans of each Doc, integers [n_docs].
    bounds (ndarray): First token of each span in its Doc, and the token after its last one,
        integers [n_spans, 2].
    RETURNS (WordSpans): The spans.
    """
    words = [word_tokens(doc) for doc in docs]
    offsets = np.cumsum([0, *(len(doc) for doc in docs)])
    # index of each token among the words of all Docs; -1 for whitespace
    word_index = np.full(offsets[-1], -1, dtype=np.int64)
    tokens = np.concatenate([indices + offset for indices, offset in zip(words, offsets)])
    word_index[tokens] = np.arange(len(tokens))
    bounds = bounds.astype(np.int64).reshape(-1, 2)
    bounds += np.repeat(offsets[:-1], n_spans)[:, None]
    first, last = word_index[bounds[:, 0]], word_index[bounds[:, 1] - 1]
    rows = np.flatnonzero((first >= 0) & (last >= 0))
    return WordSpans(
        words=words, rows=rows, first=first[rows], last=last[rows], n_spans=len(bounds)
    )
