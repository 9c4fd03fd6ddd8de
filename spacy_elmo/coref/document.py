"""The words and spans of a Doc as arrays, which the head reads together with the token vectors.

Whitespace tokens are left out, so that widths, strings, sentences and distances are computed from
words. `Document.tokens` maps words to the tokens of the Doc.
"""

from dataclasses import dataclass

import numpy as np
from spacy.attrs import LOWER
from spacy.tokens import Doc

from ..spans.sentences import sentence_numbers
from ..text.words import word_tokens
from .clusters import Clusters
from .lexicon import Lexicon, hashes

# metadata of a Doc: a span group, and a key of `doc.user_data`
SPEAKERS, GENRE = "speakers", "genre"
# kinds of mentions
KIND_PRONOUN, KIND_OTHER, KIND_NAME = range(3)
N_KINDS = 3
# base of the polynomial hash of a string; odd, so that its powers have inverses modulo 2^64
BASE = 0x9E3779B97F4A7C15
INVERSE = pow(BASE, -1, 2**64)


@dataclass(frozen=True)
class Document:
    """The n words of a Doc, or of a slice of it.

    tokens (ndarray): Index of each word among the tokens of the Doc, ascending, int64 [n].
    lower (ndarray): Hashes of the words in lower case, uint64 [n].
    capital (ndarray): Whether each word begins with a capital letter, bool [n].
    pronoun (ndarray): Index of each word among the lexicon's pronouns, from 1; 0 for other words,
        int64 [n].
    lead (ndarray): Whether each word is one of the lexicon's leading words, bool [n].
    sentence (ndarray): Number of each word's sentence, int64 [n]; all 0 without sentence
        boundaries.
    speaker (ndarray): Hash of each word's speaker, 0 if unknown, uint64 [n].
    genre (str): Genre of the Doc, "" if unknown.
    """

    tokens: np.ndarray
    lower: np.ndarray
    capital: np.ndarray
    pronoun: np.ndarray
    lead: np.ndarray
    sentence: np.ndarray
    speaker: np.ndarray
    genre: str = ""

    @classmethod
    def from_doc(cls, doc: Doc, lexicon: Lexicon) -> "Document":
        """Read a Doc: its words, its sentence boundaries, `doc.spans["speakers"]` (one label per
        span) and `doc.user_data["genre"]`.

        doc (Doc): The Doc.
        lexicon (Lexicon): Pronouns and leading words.
        RETURNS (Document): The words.
        """
        tokens = word_tokens(doc)
        lower = doc.to_array([LOWER]).astype(np.uint64).reshape(len(doc))[tokens]
        speaker = np.zeros(len(doc), dtype=np.uint64)
        if SPEAKERS in doc.spans:
            for span in doc.spans[SPEAKERS]:
                speaker[span.start : span.end] = span.label
        genre = doc.user_data.get(GENRE)
        return cls(
            tokens=tokens,
            lower=lower,
            capital=np.array([token.text[:1].isupper() for token in doc], dtype=bool)[tokens],
            pronoun=_indices_from_one(lower, hashes(lexicon.pronouns)),
            lead=np.isin(lower, hashes(lexicon.leads)),
            sentence=sentence_numbers(doc, tokens),
            speaker=speaker[tokens],
            genre=genre if isinstance(genre, str) else "",
        )

    def __len__(self) -> int:
        return len(self.lower)

    def cut(self, start: int, end: int) -> "Document":
        """Return a slice of the words. `tokens` still refers to the whole Doc.

        start, end (int): First word, and the word after the last one.
        RETURNS (Document): The words of the slice.
        """
        rows = slice(start, end)
        return Document(
            tokens=self.tokens[rows],
            lower=self.lower[rows],
            capital=self.capital[rows],
            pronoun=self.pronoun[rows],
            lead=self.lead[rows],
            sentence=self.sentence[rows],
            speaker=self.speaker[rows],
            genre=self.genre,
        )


@dataclass(frozen=True)
class SpanFeatures:
    """Features of K spans. The scores of pairs of mentions are computed from them.

    whole (ndarray): Hash of the string without a leading word, uint64 [K].
    first (ndarray): Hash of the first word after a leading word, uint64 [K].
    last (ndarray): Hash of the last word, uint64 [K].
    kind (ndarray): `KIND_PRONOUN`, `KIND_OTHER` or `KIND_NAME`, int64 [K].
    pronoun (ndarray): Index of the pronoun from 1, 0 if it is none, int64 [K].
    sentence (ndarray): Number of the sentence, int64 [K].
    speaker (ndarray): Hash of the speaker of the first word, 0 if unknown, uint64 [K].
    """

    whole: np.ndarray
    first: np.ndarray
    last: np.ndarray
    kind: np.ndarray
    pronoun: np.ndarray
    sentence: np.ndarray
    speaker: np.ndarray


def span_features(document: Document, start: np.ndarray, last: np.ndarray) -> SpanFeatures:
    """Compute the features of spans.

    document (Document): The document.
    start, last (ndarray): First and last token of each span in the Doc. Both must be words, int64
        [K].
    RETURNS (SpanFeatures): The features.
    """
    start = np.searchsorted(document.tokens, start)
    last = np.searchsorted(document.tokens, last)
    # skip a leading word, unless it is the only word
    content = start + (document.lead[start] & (last > start))
    pronoun = np.where(start == last, document.pronoun[start], 0)
    name_or_other = np.where(document.capital[last], KIND_NAME, KIND_OTHER)
    kind = np.where(pronoun > 0, KIND_PRONOUN, name_or_other)
    return SpanFeatures(
        whole=_string_hashes(document.lower, content, last),
        first=document.lower[content],
        last=document.lower[last],
        kind=kind.astype(np.int64),
        pronoun=pronoun.astype(np.int64),
        sentence=document.sentence[start],
        speaker=document.speaker[start],
    )


def candidates(sentence: np.ndarray, max_width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all spans of at most `max_width` words within a sentence, in the order of the text.

    sentence (ndarray): Number of each word's sentence, int64 [n].
    max_width (int): Maximum number of words of a span.
    RETURNS (Tuple[ndarray, ndarray]): First and last word of each span, int64 [n_spans].
    """
    first = np.arange(len(sentence))[:, None]
    last = first + np.arange(max_width)
    inside = last < len(sentence)
    last = np.where(inside, last, first)
    inside &= sentence[last] == sentence[first]
    return np.broadcast_to(first, last.shape)[inside], last[inside]


def labels_of(start: np.ndarray, last: np.ndarray, gold: Clusters) -> np.ndarray:
    """Return the gold cluster of each span.

    start, last (ndarray): First and last token of each span, in the order of the text, int64
        [n_spans].
    gold (Clusters): The gold clusters. Mentions that are not among the spans are ignored.
    RETURNS (ndarray): Index of the cluster, -1 for none, int64 [n_spans].
    """
    labels = np.full(len(start), -1, dtype=np.int64)
    if not len(start) or not gold:
        return labels
    # spans as single integers, ascending; each is unique if the last token is below `base`
    base = int(last.max()) + 2
    keys = start * base + last
    mentions = [
        (start * base + end - 1, label)
        for label, cluster in enumerate(gold)
        for start, end in cluster
        if end < base
    ]
    mentions = [(key, label) for key, label in mentions if key <= keys[-1]]
    if mentions:
        wanted, wanted_labels = np.array(mentions, dtype=np.int64).T
        rows = np.searchsorted(keys, wanted)
        is_found = keys[rows] == wanted
        labels[rows[is_found]] = wanted_labels[is_found]
    return labels


def _indices_from_one(hashed: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Find the position of each word in a list.

    hashed (ndarray): Hashes of the words, uint64 [n].
    words (ndarray): Hashes of the list, uint64 [n_words].
    RETURNS (ndarray): Index in the list, from 1; 0 for a word that is not in it, int64 [n].
    """
    if not len(words):
        return np.zeros(len(hashed), dtype=np.int64)
    order = np.argsort(words)
    nearest = order[np.searchsorted(words[order], hashed).clip(max=len(words) - 1)]
    indices: np.ndarray = np.where(words[nearest] == hashed, nearest + 1, 0)
    return indices


def _string_hashes(words: np.ndarray, start: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Return polynomial hashes of spans, as differences of prefix sums modulo 2^64.

    words (ndarray): Hashes of all words, uint64 [n].
    start, last (ndarray): First and last word of each span, int64 [K].
    RETURNS (ndarray): uint64 [K].
    """
    sums = np.zeros(len(words) + 1, dtype=np.uint64)
    np.cumsum(words * _powers(BASE, len(words)), out=sums[1:])
    inverse = _powers(INVERSE, len(words) + 1)
    hashed: np.ndarray = (sums[last + 1] - sums[start]) * inverse[start]
    return hashed


def _powers(base: int, n: int) -> np.ndarray:
    """RETURNS (ndarray): `base ** 0, ... base ** (n - 1)` modulo 2^64, uint64 [n]."""
    factors = np.full(n, base, dtype=np.uint64)
    factors[:1] = 1
    powers: np.ndarray = np.multiply.accumulate(factors)
    return powers
