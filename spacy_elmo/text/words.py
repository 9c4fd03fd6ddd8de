"""The words of a Doc: its tokens without whitespace tokens.

spaCy represents line breaks and double spaces as tokens. `elmo`, `coref` and the span scorer ignore
them: they count, compare and pool words only.
"""

from typing import Any

import numpy as np
from spacy.attrs import IDX, IS_SPACE, LENGTH
from spacy.tokens import Doc

# whether each character is whitespace; no character beyond the end of this table is whitespace
IS_WHITESPACE = np.array([chr(code).isspace() for code in range(0x3002)])


def is_space(doc: Doc) -> np.ndarray:
    """Return whether each token is whitespace.

    doc (Doc): The Doc.
    RETURNS (ndarray): bool [n_tokens].
    """
    vocab: Any = doc.vocab  # spaCy's types leave out `lex_attr_getters`
    if IS_SPACE in vocab.lex_attr_getters:
        flags: np.ndarray = doc.to_array([IS_SPACE]).reshape(len(doc)) != 0
    else:  # a vocab without a language has no lexical attributes
        starts, ends = text_offsets(doc)
        flags = starts == ends
    return flags


def word_tokens(doc: Doc) -> np.ndarray:
    """Return the tokens that are not whitespace.

    doc (Doc): The Doc.
    RETURNS (ndarray): Indices of the tokens, ascending, int64 [n_words].
    """
    words: np.ndarray = np.flatnonzero(~is_space(doc))
    return words


def trim_spans(bounds: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Remove tokens that are not words from both ends of spans.

    bounds (ndarray): First token of each span, and the token after its last one, int64 [n, 2].
    words (ndarray): The words of the Doc, see `word_tokens`, int64 [n_words].
    RETURNS (ndarray): The bounds of the trimmed spans, int64 [n, 2]; (0, 0) for a span without
        words.
    """
    # indices among the words: the first word at or after the start, and at or after the end
    first, after = np.searchsorted(words, bounds.T)
    has_words = first < after
    trimmed = np.zeros_like(bounds)
    trimmed[has_words, 0] = words[first[has_words]]
    trimmed[has_words, 1] = words[after[has_words] - 1] + 1
    return trimmed


def text_offsets(doc: Doc) -> tuple[np.ndarray, np.ndarray]:
    """Return the character offsets of tokens in the text without its whitespace. They do not depend
    on how the words are spaced.

    doc (Doc): The Doc.
    RETURNS (Tuple[ndarray, ndarray]): Start and end of each token, in characters that are not
        whitespace, int64 [n_tokens]. Both are equal for a whitespace token.
    """
    codes = np.frombuffer(doc.text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    is_space = IS_WHITESPACE[np.minimum(codes, len(IS_WHITESPACE) - 1)]
    n_before = np.concatenate([[0], np.cumsum(~is_space)])
    spans: Any = doc.to_array([IDX, LENGTH]).astype(np.int64).reshape(-1, 2)
    return n_before[spans[:, 0]], n_before[spans.sum(axis=1)]
