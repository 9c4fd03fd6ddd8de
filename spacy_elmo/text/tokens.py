"""The tokens of several Docs as flat arrays, for rules that are computed without Python loops."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from spacy.attrs import IS_LOWER, IS_SPACE, ORTH
from spacy.tokens import Doc

from .words import is_space


@dataclass(frozen=True)
class Tokens:
    """The tokens of several Docs, concatenated.

    docs (List[Doc]): The Docs.
    lengths (ndarray): Tokens of each Doc, int64 [n_docs].
    orths (ndarray): Id of each token's text, uint64 [n_tokens].
    is_space (ndarray): Whether each token is whitespace, bool [n_tokens].
    is_lower (ndarray): Whether each token is in lower case, bool [n_tokens].
    """

    docs: list[Doc]
    lengths: np.ndarray
    orths: np.ndarray
    is_space: np.ndarray
    is_lower: np.ndarray

    @classmethod
    def of(cls, docs: Sequence[Doc]) -> "Tokens":
        """Read the tokens of some Docs.

        docs (Sequence[Doc]): The Docs, which may be empty.
        RETURNS (Tokens): The tokens.
        """
        empty = np.zeros((0, 3), dtype=np.uint64)
        attributes = np.concatenate([empty, *(_attributes(doc) for doc in docs if len(doc))])
        flags = attributes[:, 1:] != 0
        return cls(
            docs=list(docs),
            lengths=np.array([len(doc) for doc in docs], dtype=np.int64),
            orths=attributes[:, 0],
            is_space=flags[:, 0],
            is_lower=flags[:, 1],
        )

    @property
    def offsets(self) -> np.ndarray:
        """RETURNS (ndarray): First token of each Doc, then the number of tokens, int64
        [n_docs + 1]."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    def strings(self, orths: np.ndarray) -> list[str]:
        """Look up the texts of ids. The Docs may have different vocabs.

        orths (ndarray): Ids of texts that occur in the Docs, uint64 [n].
        RETURNS (List[str]): The texts.
        """
        stores = list({id(doc.vocab): doc.vocab.strings for doc in self.docs}.values())
        return [next(store[orth] for store in stores if orth in store) for orth in orths]

    def blank_lines(self) -> np.ndarray:
        """RETURNS (ndarray): Whether each token is whitespace that contains a blank line, bool
        [n_tokens]."""
        spaces = np.unique(self.orths[self.is_space])
        blank = [text.count("\n") > 1 for text in self.strings(spaces)]
        return np.isin(self.orths, spaces[np.array(blank, dtype=bool)])


def _attributes(doc: Doc) -> np.ndarray:
    """Return ORTH, IS_SPACE and IS_LOWER of each token.

    doc (Doc): The Doc. The lexemes of a vocab without a language (`Vocab()`) have neither flag.
        The flags are then computed from the texts.
    RETURNS (ndarray): uint64 [n_tokens, 3].
    """
    attributes: np.ndarray = doc.to_array([ORTH, IS_SPACE, IS_LOWER])
    vocab: Any = doc.vocab  # spaCy's types leave out `lex_attr_getters`
    if IS_SPACE not in vocab.lex_attr_getters:
        attributes[:, 1] = is_space(doc)
        attributes[:, 2] = [token.text.islower() for token in doc]
    return attributes


def digest_of(doc: Doc) -> bytes:
    """Return a digest of the texts of a Doc's tokens. It is the same in every process.

    doc (Doc): The Doc.
    RETURNS (bytes): BLAKE2b digest of 8 bytes.
    """
    return blake2b(doc.to_array(ORTH).tobytes(), digest_size=8).digest()
