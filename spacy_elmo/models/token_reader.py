"""Token vectors of a long Doc, predicted in chunks to bound memory.

A layer that can predict any range of a Doc's tokens has a function in `attrs[READ_TOKENS]`, which
takes the layer and a Doc and returns a `TokenReader`. For other layers, the vectors of the whole
Doc are predicted once and stored.
"""

from collections.abc import Callable
from typing import Any

from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

READ_TOKENS = "read_tokens"

Tok2Vec = Model[list[Doc], list[Floats2d]]
# takes the first token of a range and the token after its last one; returns the vectors of the
# range, float32 [n_tokens, D]
TokenReader = Callable[[int, int], Floats2d]


def token_reader(model: Tok2Vec, doc: Doc) -> TokenReader:
    """Return a function that predicts any range of a Doc's tokens.

    model (Model[List[Doc], List[Floats2d]]): The model.
    doc (Doc): The Doc.
    RETURNS (Callable[[int, int], Floats2d]): Takes the first token of a range and the token after
        its last one, and returns the vectors of the range, float32 [n_tokens, D]. The vectors do
        not depend on how the Doc is divided into ranges, up to floating-point rounding.
    """
    if READ_TOKENS in model.attrs:
        reader: TokenReader = model.attrs[READ_TOKENS](model, doc)
        return reader
    vectors: Any = model.predict([doc])[0]
    return lambda start, end: vectors[start:end]


class DocChunkReader:
    """Predicts the token vectors of chunks of Docs.

    model (Model[List[Doc], List[Floats2d]]): The model.
    docs (List[Doc]): The Docs.
    """

    def __init__(self, model: Tok2Vec, docs: list[Doc]) -> None:
        self.model, self.docs = model, docs
        self._readers: dict[int, TokenReader] = {}

    def __call__(self, chunks: list[tuple[int, int, int]]) -> list[Floats2d]:
        """Return the token vectors of some chunks.

        The chunks of a Doc must be read in their order. Cached results for the Doc are dropped
        after its last chunk. Chunks that are whole Docs are predicted in one batch.

        chunks (List[Tuple[int, int, int]]): For each chunk, the index of its Doc, its first token
            and the token after its last one.
        RETURNS (List[Floats2d]): The vectors of each chunk, float32 [n_tokens, D].
        """
        whole = [n for n, start, end in chunks if (start, end) == (0, len(self.docs[n]))]
        vectors = self.model.predict([self.docs[n] for n in whole]) if whole else []
        predicted = dict(zip(whole, vectors))
        return [
            predicted[n] if n in predicted else self._read(n, start, end)
            for n, start, end in chunks
        ]

    @property
    def n_open(self) -> int:
        """RETURNS (int): Number of Docs that were read in part: some chunks, but not the last."""
        return len(self._readers)

    def _read(self, n: int, start: int, end: int) -> Floats2d:
        doc = self.docs[n]
        reader = self._readers.pop(n, None) or token_reader(self.model, doc)
        if end < len(doc):
            self._readers[n] = reader
        return reader(start, end)
