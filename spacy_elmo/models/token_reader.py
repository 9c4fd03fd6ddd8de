"""Vectors of a Doc's tokens from one place to another, so that those of a novel are never there
all at once.

A model says how it makes them in `attrs[READ_TOKENS]`, a function of the model and a Doc that
gives a reader. Of other models the vectors of the whole Doc are made, and kept. This module
knows no model.
"""

from collections.abc import Callable
from typing import Any

from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

READ_TOKENS = "read_tokens"

Tok2Vec = Model[list[Doc], list[Floats2d]]
# first token and the one after the last, to vectors [n, D]
TokenReader = Callable[[int, int], Floats2d]


def token_reader(model: Tok2Vec, doc: Doc) -> TokenReader:
    """What a model predicts for a Doc, a part at a time.

    model (Model[List[Doc], List[Floats2d]]): The model.
    doc (Doc): The Doc.
    RETURNS (Callable[[int, int], Floats2d]): For the first token and the one after the last the
        vectors of the tokens between, float32 [n, D]; the same in whatever parts they are read,
        but for rounding.
    """
    if READ_TOKENS in model.attrs:
        reader: TokenReader = model.attrs[READ_TOKENS](model, doc)
        return reader
    vectors: Any = model.predict([doc])[0]
    return lambda start, end: vectors[start:end]


class PartsOfDocs:
    """What a model predicts for parts of Docs, made when it is asked for.

    model (Model[List[Doc], List[Floats2d]]): The model.
    docs (List[Doc]): The Docs.
    """

    def __init__(self, model: Tok2Vec, docs: list[Doc]) -> None:
        self.model, self.docs = model, docs
        self._readers: dict[int, TokenReader] = {}

    def __call__(self, parts: list[tuple[int, int, int]]) -> list[Floats2d]:
        """Vectors of some parts. A Doc's are to be asked for in their order; after its last one
        nothing is kept of it.

        parts (List[Tuple[int, int, int]]): Of each the number of its Doc, the first token and
            the one after the last. Whole Docs are predicted together.
        RETURNS (List[Floats2d]): The vectors of each [n, D].
        """
        whole = [n for n, start, end in parts if (start, end) == (0, len(self.docs[n]))]
        vectors = self.model.predict([self.docs[n] for n in whole]) if whole else []
        predicted = dict(zip(whole, vectors))
        return [predicted[part[0]] if part[0] in predicted else self._read(*part) for part in parts]

    def _read(self, n: int, start: int, end: int) -> Floats2d:
        doc = self.docs[n]
        reader = self._readers.pop(n, None) or token_reader(self.model, doc)
        if end < len(doc):
            self._readers[n] = reader
        return reader(start, end)
