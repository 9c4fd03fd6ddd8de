"""Words of Docs: their tokens without whitespace tokens, which no model here sees.

spaCy keeps line breaks and double spaces as tokens. They carry no meaning for `elmo`, `coref`
and the span scorer, so that these count, compare and pool words only.
"""

from typing import Any

import numpy as np
from spacy.attrs import IDX, IS_SPACE, LENGTH
from spacy.tokens import Doc

# whether each character is whitespace; the last one stands for all after it, which are not
IS_WHITESPACE = np.array([chr(code).isspace() for code in range(0x3002)])


def word_tokens(doc: Doc) -> np.ndarray:
    """RETURNS (ndarray): Positions of the tokens that are not whitespace, int64 [n_words]."""
    vocab: Any = doc.vocab  # spaCy's types leave the getters out
    if IS_SPACE in vocab.lex_attr_getters:
        is_word = doc.to_array([IS_SPACE]).reshape(len(doc)) == 0
    else:  # a vocab without a language knows no attributes of words
        starts, ends = text_offsets(doc)
        is_word = starts < ends
    words: np.ndarray = np.flatnonzero(is_word)
    return words


def text_offsets(doc: Doc) -> tuple[np.ndarray, np.ndarray]:
    """Return where tokens start and end in the text, without its whitespace characters: the
    same for the same words, however they are spaced.

    doc (Doc): The Doc.
    RETURNS (Tuple[ndarray, ndarray]): Start and end of each token, in characters that are not
        whitespace, int64 [n_tokens]. Both are equal for a whitespace token.
    """
    codes = np.frombuffer(doc.text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    is_space = IS_WHITESPACE[np.minimum(codes, len(IS_WHITESPACE) - 1)]
    before = np.concatenate([[0], np.cumsum(~is_space)])
    places: Any = doc.to_array([IDX, LENGTH]).astype(np.int64).reshape(-1, 2)
    return before[places[:, 0]], before[places.sum(axis=1)]
