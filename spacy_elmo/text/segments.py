"""Cutting Docs into the segments that the biLM reads, and back.

A segment stands for what was a sentence in training. The rules look at the tokens
alone (but for the one that reads `doc.sents`), so that training and use see the same
cuts. Whitespace tokens, which no training text has, belong to no segment.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from spacy.strings import get_string_id
from spacy.tokens import Doc

from ..bilm.batch import WordBatch
from ..runtime.ragged import positions_within
from .tokens import Tokens
from .words import word_tokens

Segmenter = Callable[[Doc], np.ndarray]
"""Gives the first token of each segment of a Doc, ascending, int64; 0 may be left out."""

MAX_LENGTH = 150
FINAL = (".", "!", "?", "...", "....", "…", "?!", "!?", "!!", "??", "。", "！", "？", "।", "؟", "۔")
CLOSING = ("”", "’", "''", ")", "]", "}", "»", "」", "』", "）", "›")
STRAIGHT_QUOTE = '"'


@dataclass(frozen=True)
class PunctSegments:
    """Segments end after final punctuation and the closing quotes and brackets that
    follow it, unless a lower-case word comes next, and at blank lines.

    max_length (int): Longer segments are cut into pieces of so many tokens.
    """

    max_length: int = MAX_LENGTH

    def __call__(self, doc: Doc) -> np.ndarray:
        return self.starts(Tokens.of([doc]))

    def starts(self, tokens: Tokens) -> np.ndarray:
        """RETURNS (ndarray): The first word of each segment of all Docs, ascending; its place
        among all tokens."""
        words = np.flatnonzero(~tokens.is_space)
        doc_ends = np.cumsum(tokens.lengths)
        lengths = np.diff(np.searchsorted(words, doc_ends), prepend=0)
        n_docs = len(lengths)
        # one more word before each Doc, so that nothing reaches from one into the next
        where = np.arange(len(words)) + np.repeat(np.arange(1, n_docs + 1), lengths)
        index = np.arange(len(words) + n_docs)
        orths = np.zeros(len(index), dtype=np.uint64)
        orths[where] = tokens.orths[words]
        is_lower, breaks = (np.ones(len(index), dtype=bool) for _ in range(2))
        is_lower[where] = tokens.is_lower[words]
        breaks[where] = np.diff(np.cumsum(tokens.blank_lines())[words], prepend=0) > 0
        straight = orths == _STRAIGHT_ID
        # a straight quote closes where an odd number of them came before it in the paragraph
        quotes = np.cumsum(straight)
        quotes -= np.maximum.accumulate(np.where(breaks, quotes - straight, 0))
        closing = np.isin(orths, _CLOSING_IDS) | (straight & (quotes % 2 == 0))
        final = np.isin(orths, _FINAL_IDS)
        # a run of final and closing words ends a segment from its first final one on, if no
        # blank line comes between
        in_run = final | closing
        run_start = (
            np.maximum.accumulate(np.where(in_run, np.where(breaks, index - 1, -1), index)) + 1
        )
        seen_final = _next_true(final)[np.minimum(run_start, len(index) - 1)] <= index
        after = np.flatnonzero((in_run & seen_final)[:-1] & ~in_run[1:]) + 1
        after = after[~is_lower[after]]
        firsts = np.delete(index, where) + 1
        bounds = np.concatenate([after, index[breaks], firsts[lengths > 0]])
        mark = np.zeros(len(index), dtype=bool)
        mark[cut(bounds, len(index), self.max_length)] = True
        return words[np.flatnonzero(mark[where])]


@dataclass(frozen=True)
class SentenceSegments:
    """Segments are the sentences that another component or the corpus has marked.

    max_length (int): Longer sentences are cut into pieces of so many tokens.
    """

    max_length: int = MAX_LENGTH

    def __call__(self, doc: Doc) -> np.ndarray:
        if not doc.has_annotation("SENT_START"):
            raise ValueError(
                "spacy-elmo.sentence_segments.v1 needs sentence boundaries, but a Doc has none. "
                "Add 'punct_sentencizer' or another component that sets them before 'elmo' (and "
                "list it under annotating_components for training), or use "
                "spacy-elmo.punct_segments.v1, which needs none, as a biLM inside of a component "
                "must: it runs in nlp.initialize() as well, on Docs without annotations."
            )
        starts = np.array([sent.start for sent in doc.sents], dtype=np.int64)
        return _cut_words(doc, starts, self.max_length)


@dataclass(frozen=True)
class WindowSegments:
    """Segments are windows of a fixed number of tokens.

    length (int): Tokens in a window.
    """

    length: int

    def __call__(self, doc: Doc) -> np.ndarray:
        return _cut_words(doc, np.zeros(1, dtype=np.int64), self.length)


def make_punct_segments(max_length: int = MAX_LENGTH) -> Segmenter:
    """Registered as spacy-elmo.punct_segments.v1; see `PunctSegments`."""
    return PunctSegments(_at_least_one("max_length", max_length))


def make_sentence_segments(max_length: int = MAX_LENGTH) -> Segmenter:
    """Registered as spacy-elmo.sentence_segments.v1; see `SentenceSegments`."""
    return SentenceSegments(_at_least_one("max_length", max_length))


def make_window_segments(length: int = MAX_LENGTH) -> Segmenter:
    """Registered as spacy-elmo.window_segments.v1; see `WindowSegments`."""
    return WindowSegments(_at_least_one("length", length))


@dataclass(frozen=True)
class SegmentedDocs:
    """The words of some Docs, ready for the biLM.

    batch (WordBatch): The segments, Doc after Doc, without whitespace tokens.
    rows (ndarray): Position of each word among all tokens of all Docs, int64.
    lengths (List[int]): Tokens in each Doc, whitespace included.
    """

    batch: WordBatch
    rows: np.ndarray
    lengths: list[int]


def segment_docs(docs: Sequence[Doc], segmenter: Segmenter) -> SegmentedDocs:
    """Cut Docs into segments and number their distinct words.

    docs (Sequence[Doc]): The Docs; empty ones are fine.
    segmenter (Segmenter): Where segments start.
    RETURNS (SegmentedDocs): Words, segments and where they came from.
    """
    tokens = Tokens.of(docs)
    starts = find_starts(tokens, segmenter)
    rows = np.flatnonzero(~tokens.is_space)
    distinct, ids = np.unique(tokens.orths[rows], return_inverse=True)
    lengths = np.bincount(np.cumsum(starts)[rows])
    batch = WordBatch(
        tokens.strings(distinct), ids.astype(np.int64), lengths[lengths > 0].astype(np.int64)
    )
    return SegmentedDocs(batch, rows, tokens.lengths.tolist())


def find_starts(tokens: Tokens, segmenter: Segmenter) -> np.ndarray:
    """Where segments start; always at the first token of a Doc.

    tokens (Tokens): The tokens.
    segmenter (Segmenter): The rule.
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


def cut(starts: np.ndarray, n_tokens: int, max_length: int) -> np.ndarray:
    """Add starts so that no segment is longer than `max_length`."""
    bounds = np.union1d(starts, np.zeros(min(n_tokens, 1))).astype(np.int64)
    lengths = np.diff(np.append(bounds, n_tokens))
    return np.flatnonzero(positions_within(lengths) % max_length == 0)


def _cut_words(doc: Doc, starts: np.ndarray, max_length: int) -> np.ndarray:
    """RETURNS (ndarray): The first word of each segment of a Doc, ascending; its place among
    all tokens.

    doc (Doc): The Doc.
    starts (ndarray): Tokens where segments start.
    max_length (int): Longer segments are cut after so many words.
    """
    words = word_tokens(doc)
    places = np.searchsorted(words, starts)
    found: np.ndarray = words[cut(places[places < len(words)], len(words), max_length)]
    return found


def _next_true(mask: np.ndarray) -> np.ndarray:
    """For each position the first True at or after it, or the length."""
    where = np.where(mask, np.arange(len(mask)), len(mask))
    return np.minimum.accumulate(where[::-1])[::-1]


def _at_least_one(name: str, value: int) -> int:
    if value < 1:
        raise ValueError(f"'{name}' of a segmenter is {value}; it must be at least 1.")
    return value


def _ids(strings: Sequence[str]) -> np.ndarray:
    return np.array([get_string_id(string) for string in strings], dtype=np.uint64)


_FINAL_IDS, _CLOSING_IDS = _ids(FINAL), _ids(CLOSING)
_STRAIGHT_ID = get_string_id(STRAIGHT_QUOTE)
