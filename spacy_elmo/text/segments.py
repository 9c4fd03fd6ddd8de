"""Rules that divide Docs into the segments that the biLM reads.

Segments correspond to the sentences of the biLM's training text. All rules except
`SentenceSegments` depend only on the tokens, so that segments are the same in training and at
inference. Whitespace tokens, which the training texts do not contain, belong to no segment.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from spacy.tokens import Doc

from ..bilm.batch import WordBatch
from ..runtime.ragged import positions_within
from .punctuation import rows_after_ends
from .tokens import Tokens
from .words import word_tokens

Segmenter = Callable[[Doc], np.ndarray]
"""Returns the first token of each segment of a Doc, ascending, int64; 0 may be omitted."""

MAX_LENGTH = 150


@dataclass(frozen=True)
class PunctSegments:
    """Segments end after final punctuation and the closing quotes and brackets that follow it,
    unless the next word is in lower case, and at blank lines.

    max_length (int): Longer segments are cut after this number of words.
    """

    max_length: int = MAX_LENGTH

    def __call__(self, doc: Doc) -> np.ndarray:
        return self.starts(Tokens.of([doc]))

    def starts(self, tokens: Tokens) -> np.ndarray:
        """Return the first word of each segment of several Docs.

        tokens (Tokens): The tokens of the Docs.
        RETURNS (ndarray): Indices among the tokens of all Docs, ascending, int64.
        """
        words = np.flatnonzero(~tokens.is_space)
        lengths = np.diff(np.searchsorted(words, np.cumsum(tokens.lengths)), prepend=0)
        n_docs = len(lengths)
        # a separator row before each Doc, so that no Doc affects the next one
        rows = np.arange(len(words)) + np.repeat(np.arange(1, n_docs + 1), lengths)
        n_rows = len(words) + n_docs
        separators = np.delete(np.arange(n_rows), rows)

        orths = np.zeros(n_rows, dtype=np.uint64)
        is_lower = np.ones(n_rows, dtype=bool)
        breaks = np.ones(n_rows, dtype=bool)
        orths[rows] = tokens.orths[words]
        is_lower[rows] = tokens.is_lower[words]
        breaks[rows] = np.diff(np.cumsum(tokens.blank_lines())[words], prepend=0) > 0

        after = rows_after_ends(orths, breaks)
        after = after[~is_lower[after]]
        first_words = (separators + 1)[lengths > 0]
        starts = np.concatenate([after, np.flatnonzero(breaks), first_words])
        is_start = np.zeros(n_rows, dtype=bool)
        is_start[limit_lengths(starts, n_rows, self.max_length)] = True
        return words[np.flatnonzero(is_start[rows])]


@dataclass(frozen=True)
class SentenceSegments:
    """Segments are the sentences of a Doc, set by another component or by the corpus.

    max_length (int): Longer sentences are cut after this number of words.
    RAISES (ValueError): When called with a Doc without sentence boundaries.
    """

    max_length: int = MAX_LENGTH

    def __call__(self, doc: Doc) -> np.ndarray:
        if not doc.has_annotation("SENT_START"):
            raise ValueError(
                "spacy-elmo.sentence_segments.v1 needs sentence boundaries, but a Doc has none. "
                "Add 'punct_sentencizer' or another component that sets them before 'elmo' (and "
                "list it under annotating_components for training), or use "
                "spacy-elmo.punct_segments.v1, which needs none. Use "
                "spacy-elmo.punct_segments.v1 for a biLM inside another component, because "
                "nlp.initialize() also runs the biLM on Docs without annotations."
            )
        starts = np.array([sent.start for sent in doc.sents], dtype=np.int64)
        return _starts_of_words(doc, starts, self.max_length)


@dataclass(frozen=True)
class WindowSegments:
    """Segments have a fixed number of words.

    length (int): Words in a segment. The last segment of a Doc may be shorter.
    """

    length: int

    def __call__(self, doc: Doc) -> np.ndarray:
        return _starts_of_words(doc, np.zeros(1, dtype=np.int64), self.length)


def make_punct_segments(max_length: int = MAX_LENGTH) -> Segmenter:
    """Return the rule `spacy-elmo.punct_segments.v1`: segments end after final punctuation and the
    closing quotes and brackets that follow it, unless the next word is in lower case, and at blank
    lines.

    max_length (int): Longer segments are cut after this number of words.
    RETURNS (Callable[[Doc], ndarray]): The rule.
    RAISES (ValueError): If `max_length` is less than 1.
    """
    return PunctSegments(_at_least_one("max_length", max_length))


def make_sentence_segments(max_length: int = MAX_LENGTH) -> Segmenter:
    """Return the rule `spacy-elmo.sentence_segments.v1`: segments are the sentences of a Doc. The
    rule raises a ValueError for a Doc without sentence boundaries.

    max_length (int): Longer sentences are cut after this number of words.
    RETURNS (Callable[[Doc], ndarray]): The rule.
    RAISES (ValueError): If `max_length` is less than 1.
    """
    return SentenceSegments(_at_least_one("max_length", max_length))


def make_window_segments(length: int = MAX_LENGTH) -> Segmenter:
    """Return the rule `spacy-elmo.window_segments.v1`: segments have a fixed number of words.

    length (int): Words in a segment. The last segment of a Doc may be shorter.
    RETURNS (Callable[[Doc], ndarray]): The rule.
    RAISES (ValueError): If `length` is less than 1.
    """
    return WindowSegments(_at_least_one("length", length))


@dataclass(frozen=True)
class SegmentedDocs:
    """The words of some Docs as input of the biLM.

    batch (WordBatch): The segments of all Docs, without whitespace tokens.
    rows (ndarray): Index of each word among the tokens of all Docs, int64 [n_words].
    lengths (List[int]): Tokens of each Doc, including whitespace.
    """

    batch: WordBatch
    rows: np.ndarray
    lengths: list[int]


def segment_docs(docs: Sequence[Doc], segmenter: Segmenter) -> SegmentedDocs:
    """Divide Docs into segments and number their word types.

    docs (Sequence[Doc]): The Docs, which may be empty.
    segmenter (Callable[[Doc], ndarray]): The rule for segments.
    RETURNS (SegmentedDocs): The words and segments.
    """
    tokens = Tokens.of(docs)
    starts = find_starts(tokens, segmenter)
    rows = np.flatnonzero(~tokens.is_space)
    word_types, ids = np.unique(tokens.orths[rows], return_inverse=True)
    lengths = np.bincount(np.cumsum(starts)[rows])
    batch = WordBatch(
        tokens.strings(word_types), ids.astype(np.int64), lengths[lengths > 0].astype(np.int64)
    )
    return SegmentedDocs(batch, rows, tokens.lengths.tolist())


def find_starts(tokens: Tokens, segmenter: Segmenter) -> np.ndarray:
    """Return whether each token starts a segment. The first token of a Doc always does.

    tokens (Tokens): The tokens.
    segmenter (Callable[[Doc], ndarray]): The rule for segments.
    RETURNS (ndarray): bool [n_tokens].
    """
    starts = np.zeros(len(tokens.orths), dtype=bool)
    offsets = tokens.offsets[:-1]
    starts[offsets[tokens.lengths > 0]] = True
    if isinstance(segmenter, PunctSegments):
        starts[segmenter.starts(tokens)] = True
        return starts
    for doc, offset in zip(tokens.docs, offsets):
        if len(doc):
            starts[offset + segmenter(doc)] = True
    return starts


def limit_lengths(starts: np.ndarray, n: int, max_length: int) -> np.ndarray:
    """Add starts so that no segment is longer than `max_length`.

    starts (ndarray): Where segments start, int64.
    n (int): Number of elements in all segments.
    max_length (int): The maximum length.
    RETURNS (ndarray): Where segments start, ascending, int64; 0 is included unless `n` is 0.
    """
    bounds = np.union1d(starts, np.zeros(min(n, 1))).astype(np.int64)
    lengths = np.diff(np.append(bounds, n))
    return np.flatnonzero(positions_within(lengths) % max_length == 0)


def _starts_of_words(doc: Doc, starts: np.ndarray, max_length: int) -> np.ndarray:
    """Return the first word of each segment of a Doc.

    doc (Doc): The Doc.
    starts (ndarray): Tokens at which segments start, which may be whitespace, int64.
    max_length (int): Longer segments are cut after this number of words.
    RETURNS (ndarray): Tokens of the Doc, ascending, int64.
    """
    words = word_tokens(doc)
    starts = np.searchsorted(words, starts)
    starts = limit_lengths(starts[starts < len(words)], len(words), max_length)
    first_words: np.ndarray = words[starts]
    return first_words


def _at_least_one(name: str, value: int) -> int:
    if value < 1:
        raise ValueError(f"'{name}' of a segmenter is {value}; it must be at least 1.")
    return value
