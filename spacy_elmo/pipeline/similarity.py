"""Similarity of Docs, spans and tokens by the vectors in `doc.tensor`."""

from typing import Any, cast

import numpy as np
from spacy.tokens import Doc, Span, Token
from thinc.api import to_numpy


def similarity(one: Doc | Span | Token, other: Doc | Span | Token) -> float:
    """Return the cosine similarity of two vectors. The vector of a token is its row of
    `doc.tensor`; the vector of a Doc or span is the mean of its rows.

    spaCy's own `similarity` is 1 for equally spelled words, whatever their vectors are. This
    function can be set as a hook: `doc.user_token_hooks["similarity"] = similarity`.

    one, other (Union[Doc, Span, Token]): The two objects to compare, from the same Doc or from two
        Docs.
    RETURNS (float): The cosine; 0 if a vector is zero, as for whitespace.
    RAISES (ValueError): If a Doc has no vectors, or if the vectors have different widths.
    """
    a, b = _vector(one), _vector(other)
    if a.shape != b.shape:
        raise ValueError(
            f"The vectors have widths {len(a)} and {len(b)}: they were written by different "
            f"components. Run one pipeline over both Docs."
        )
    norms = float((a @ a) * (b @ b)) ** 0.5
    return float(a @ b) / norms if norms else 0.0


def _vector(found: Any) -> np.ndarray:
    """Return the vector of a Doc, span or token.

    found (Any): The object.
    RETURNS (ndarray): float64 [width].
    RAISES (ValueError): If the object is of another type, or if its Doc has no vectors.
    """
    if not isinstance(found, (Doc, Span, Token)):
        raise ValueError(
            f"Similarity needs a Doc, span or token, but it was given a {type(found).__name__}, "
            f"which has no vector in context."
        )
    doc = found if isinstance(found, Doc) else found.doc
    shape: Any = getattr(doc.tensor, "shape", ())  # doc_cleaner sets None
    if len(shape) != 2 or shape[0] != len(doc):
        raise ValueError(
            f"A Doc has {len(doc)} tokens, but doc.tensor has the shape {shape}. Run 'elmo' over "
            f"the Doc, with store_tensor = true; a DocBin does not store doc.tensor."
        )
    if isinstance(found, Token):
        rows = doc.tensor[found.i : found.i + 1]
    else:
        rows = doc.tensor if isinstance(found, Doc) else doc.tensor[found.start : found.end]
    values: np.ndarray = cast(Any, to_numpy)(rows)  # thinc leaves it untyped
    mean: np.ndarray = values.astype("f8").sum(axis=0) / max(len(rows), 1)
    return mean
