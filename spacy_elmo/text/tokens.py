"""The tokens of a batch of Docs as flat arrays.

Owns the way from Docs to arrays and from ids back to strings, so that rules over
tokens cost no Python work per Doc.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from spacy.attrs import IS_LOWER, IS_SPACE, ORTH
from spacy.tokens import Doc


@dataclass(frozen=True)
class Tokens:
    """Tokens, Doc after Doc.

    docs (List[Doc]): The Docs.
    lengths (ndarray): Tokens in each, int64 [n_docs].
    orths (ndarray): Id of each token's text, uint64 [n_tokens].
    is_space, is_lower (ndarray): bool [n_tokens].
    """

    docs: list[Doc]
    lengths: np.ndarray
    orths: np.ndarray
    is_space: np.ndarray
    is_lower: np.ndarray

    @classmethod
    def of(cls, docs: Sequence[Doc]) -> "Tokens":
        """RETURNS (Tokens): The tokens of some Docs; empty ones are fine."""
        empty = np.zeros((0, 3), dtype=np.uint64)
        attributes = np.concatenate([empty, *(_attributes(doc) for doc in docs if len(doc))])
        lengths = np.array([len(doc) for doc in docs], dtype=np.int64)
        flags = attributes[:, 1:] != 0
        return cls(list(docs), lengths, attributes[:, 0], flags[:, 0], flags[:, 1])

    @property
    def offsets(self) -> np.ndarray:
        """RETURNS (ndarray): Where each Doc starts, and the number of tokens, [n_docs + 1]."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    def strings(self, orths: np.ndarray) -> list[str]:
        """RETURNS (List[str]): The texts of ids; the Docs may come from several vocabs."""
        stores = list({id(doc.vocab): doc.vocab.strings for doc in self.docs}.values())
        return [next(store[orth] for store in stores if orth in store) for orth in orths]

    def blank_lines(self) -> np.ndarray:
        """RETURNS (ndarray): Whether each token is whitespace with a blank line, bool."""
        spaces = np.unique(self.orths[self.is_space])
        blank = [text.count("\n") > 1 for text in self.strings(spaces)]
        return np.isin(self.orths, spaces[np.array(blank, dtype=bool)])


def _attributes(doc: Doc) -> np.ndarray:
    """Return ORTH, IS_SPACE and IS_LOWER of each token.

    doc (Doc): The Doc. In a vocab without a language (`Vocab()`), all lexemes lack both flags, so
        that they are computed from the texts.
    RETURNS (ndarray): uint64 [n_tokens, 3].
    """
    attributes: np.ndarray = doc.to_array([ORTH, IS_SPACE, IS_LOWER])
    vocab: Any = doc.vocab  # spaCy's types leave the getters out
    if IS_SPACE not in vocab.lex_attr_getters:
        attributes[:, 1] = [token.text.isspace() for token in doc]
        attributes[:, 2] = [token.text.islower() for token in doc]
    return attributes


def digest_of(doc: Doc) -> bytes:
    """RETURNS (bytes): 8 bytes that are the same for Docs of the same tokens, in any process."""
    return blake2b(doc.to_array(ORTH).tobytes(), digest_size=8).digest()
