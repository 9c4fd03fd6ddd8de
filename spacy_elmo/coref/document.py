"""The words of a Doc as arrays: what the head reads next to their vectors.

Whitespace tokens are left out here, once for all features: widths, strings, sentences and
distances are counted in words. Positions in the Doc come back with `Document.tokens`.
"""

from dataclasses import dataclass

import numpy as np
from spacy.attrs import LOWER
from spacy.tokens import Doc

from ..spans.sentences import sentence_numbers
from ..text.words import word_tokens
from .lexicon import Lexicon, hashes

# where a Doc has what is known of it beforehand: a span group, and a key of `doc.user_data`
SPEAKERS, GENRE = "speakers", "genre"
# kinds of mentions
PRONOUN, OTHER, NAME = range(3)
N_KINDS = 3
# of the hash of a string: odd, so that powers of it have inverses modulo 2^64
BASE = 0x9E3779B97F4A7C15
INVERSE = pow(BASE, -1, 2**64)


@dataclass(frozen=True)
class Document:
    """The n words of a Doc, or of a part of it.

    tokens (ndarray): Position of each word among the tokens of the Doc, ascending, int64 [n].
    lower (ndarray): Hashes of the words in lower case, uint64 [n].
    capital (ndarray): Whether a word begins with a capital letter, bool [n].
    pronoun (ndarray): Which of the lexicon's pronouns a word is, from 1 on, 0 for none,
        int64 [n].
    lead (ndarray): Whether a word is one of the lexicon's that open mentions, bool [n].
    sentence (ndarray): Number of the sentence, int64 [n]; all 0 without boundaries.
    speaker (ndarray): Hash of who says the word, 0 where it is not known, uint64 [n].
    genre (str): Of the Doc, "" where it is not known.
    """

    tokens: np.ndarray
    lower: np.ndarray
    capital: np.ndarray
    pronoun: np.ndarray
    lead: np.ndarray
    sentence: np.ndarray
    speaker: np.ndarray
    genre: str = ""

    def __len__(self) -> int:
        return len(self.lower)

    def cut(self, start: int, end: int) -> "Document":
        """RETURNS (Document): Words from start to end, with their positions in the whole Doc."""
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

    @classmethod
    def from_doc(cls, doc: Doc, lexicon: Lexicon) -> "Document":
        """Read a Doc.

        doc (Doc): Its sentences are used where it has any, and `doc.spans["speakers"]`
            (a label for each span) and `doc.user_data["genre"]`.
        lexicon (Lexicon): What was learned of words.
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
            pronoun=_places(lower, hashes(lexicon.pronouns)),
            lead=np.isin(lower, hashes(lexicon.leads)),
            sentence=sentence_numbers(doc, tokens),
            speaker=speaker[tokens],
            genre=genre if isinstance(genre, str) else "",
        )


@dataclass(frozen=True)
class SpanFeatures:
    """Of K spans: what decides whether two of them look alike.

    whole (ndarray): Hash of the string without its leading words, uint64 [K].
    first, last (ndarray): Of its first and last word, uint64 [K].
    kind (ndarray): PRONOUN, OTHER or NAME, int64 [K].
    pronoun (ndarray): Which pronoun it is, 0 for none, int64 [K].
    sentence (ndarray): int64 [K].
    speaker (ndarray): uint64 [K].
    """

    whole: np.ndarray
    first: np.ndarray
    last: np.ndarray
    kind: np.ndarray
    pronoun: np.ndarray
    sentence: np.ndarray
    speaker: np.ndarray


def span_features(document: Document, start: np.ndarray, last: np.ndarray) -> SpanFeatures:
    """Features of spans.

    document (Document): Where they are.
    start, last (ndarray): First and last token of each in the Doc, both of them words,
        int64 [K].
    """
    start, last = (np.searchsorted(document.tokens, places) for places in (start, last))
    # one leading word is left out, if it is not all there is
    content = start + (document.lead[start] & (last > start))
    pronoun = np.where(start == last, document.pronoun[start], 0)
    kind = np.where(pronoun > 0, PRONOUN, np.where(document.capital[last], NAME, OTHER))
    return SpanFeatures(
        whole=_string_hashes(document.lower, content, last),
        first=document.lower[content],
        last=document.lower[last],
        kind=kind.astype(np.int64),
        pronoun=pronoun.astype(np.int64),
        sentence=document.sentence[start],
        speaker=document.speaker[start],
    )


def _places(hashed: np.ndarray, words: np.ndarray) -> np.ndarray:
    """RETURNS (ndarray): Which of the words each one is, from 1 on, 0 for none, int64 [n].

    hashed, words (ndarray): Hashes, uint64 [n] and [n_words].
    """
    if not len(words):
        return np.zeros(len(hashed), dtype=np.int64)
    order = np.argsort(words)
    found = order[np.searchsorted(words[order], hashed).clip(max=len(words) - 1)]
    places: np.ndarray = np.where(words[found] == hashed, found + 1, 0)
    return places


def _string_hashes(words: np.ndarray, start: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Polynomial hashes of stretches of words, by differences of prefix sums modulo 2^64."""
    sums = np.zeros(len(words) + 1, dtype=np.uint64)
    np.cumsum(words * _powers(BASE, len(words)), out=sums[1:])
    inverse = _powers(INVERSE, len(words) + 1)
    found: np.ndarray = (sums[last + 1] - sums[start]) * inverse[start]
    return found


def _powers(base: int, n: int) -> np.ndarray:
    factors = np.full(n, base, dtype=np.uint64)
    factors[:1] = 1
    powers: np.ndarray = np.multiply.accumulate(factors)
    return powers


def candidates(sentence: np.ndarray, max_width: int) -> "tuple[np.ndarray, np.ndarray]":
    """All spans of at most so many words that lie within a sentence.

    sentence (ndarray): Number of the sentence of each word, int64 [n].
    max_width (int): Words.
    RETURNS (Tuple[ndarray, ndarray]): First and last word of each, int64 [n_spans], in
        the order of the text.
    """
    first = np.arange(len(sentence))[:, None]
    last = first + np.arange(max_width)
    inside = last < len(sentence)
    last = np.where(inside, last, first)
    inside &= sentence[last] == sentence[first]
    return np.broadcast_to(first, last.shape)[inside], last[inside]


def labels_of(
    start: np.ndarray, last: np.ndarray, gold: "list[list[tuple[int, int]]] | None"
) -> np.ndarray:
    """The entity of each span.

    start, last (ndarray): First and last token of spans in the order of the text.
    gold (Optional[List[List[Tuple[int, int]]]]): Mentions of each entity, with the token
        after the last one. Those that are none of the spans are left out.
    RETURNS (ndarray): Number of the entity, -1 for none, int64 [n_spans].
    """
    labels = np.full(len(start), -1, dtype=np.int64)
    if not len(start) or not gold:
        return labels
    size = int(last.max()) + 2
    keys = start * size + last
    # a key is of one span only if its last token is below `size`
    mentions = [
        (s * size + e - 1, n) for n, entity in enumerate(gold) for s, e in entity if e < size
    ]
    mentions = [(key, n) for key, n in mentions if key <= keys[-1]]
    if mentions:
        wanted, entities = np.array(mentions, dtype=np.int64).T
        at = np.searchsorted(keys, wanted)
        found = keys[at] == wanted
        labels[at[found]] = entities[found]
    return labels
