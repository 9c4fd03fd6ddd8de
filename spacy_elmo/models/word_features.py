"""Trained embeddings of token attributes, with one vector for all values that are not in the
training data.

In `spacy.MultiHashEmbed`, the vector of a word that is not in the training data is a sum of vectors
of other words. Most names in a new book are such words, and only their context shows what they
refer to. Here all such words share one vector. To train it, a random fraction of the known values
is treated as unknown.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from spacy.tokens import Doc
from thinc.api import Dropout, Model, uniform_init
from thinc.types import Floats2d

from ..text.words import word_tokens
from .known_values import UNKNOWN, KnownByAttribute, KnownValues
from .layer_batch import split_docs
from .node_digest import DIGEST, DigestShim, NodeDigest
from .token_reader import READ_TOKENS, Tok2Vec, TokenReader

# bound of the initial uniform distribution, whose standard deviation is 0.3
INITIAL_RANGE = 0.5


def build_word_features_v1(
    attrs: list[str], widths: list[int], rows: list[int], unknown: float = 0.1
) -> Tok2Vec:
    """Construct `spacy-elmo.WordFeatures.v1`: embeddings of token attributes, concatenated. Each
    attribute has its own table, in which training gives each new value a row until all rows are
    used. All other values share the vector of unknown values. The values are saved with the
    weights. Whitespace tokens get zeros.

    attrs (List[str]): Token attributes, e.g. NORM, PREFIX, SUFFIX, SHAPE.
    widths (List[int]): Width of each attribute's vectors.
    rows (List[int]): Number of values of each attribute that have their own vectors.
    unknown (float): Probability that training treats a known value as unknown, from 0 to 1.
    CREATES (Model[List[Doc], List[Floats2d]]): The model; its width is the sum of the widths.
    RAISES (ValueError): If `attrs`, `widths` and `rows` have different lengths or are empty.
    """
    if not attrs or not len(attrs) == len(widths) == len(rows):
        raise ValueError(
            f"There are {len(attrs)} attrs, {len(widths)} widths and {len(rows)} rows; give one "
            f"width and one number of rows for each attribute, and at least one attribute."
        )
    return Model(
        "word_features",
        forward,
        init=init,
        layers=[Dropout()],
        params=dict.fromkeys(_param(n) for n in range(len(attrs))),
        dims={"nO": sum(widths)},
        attrs={
            "attrs": attrs,
            "widths": widths,
            "unknown": unknown,
            "known": KnownByAttribute(KnownValues(n + 1) for n in rows),
            READ_TOKENS: read_tokens,
            DIGEST: NodeDigest(),
        },
        shims=[DigestShim("word features")],
    )


def init(model: Tok2Vec, X: Any = None, Y: Any = None) -> None:
    for n, (width, known) in enumerate(zip(model.attrs["widths"], model.attrs["known"])):
        # otherwise values of an earlier training would be known but have random vectors
        known.rows.clear()
        shape = (known.n_rows, width)
        model.set_param(
            _param(n), uniform_init(model.ops, shape, lo=-INITIAL_RANGE, hi=INITIAL_RANGE)
        )


def forward(
    model: Tok2Vec, docs: list[Doc], is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], list[Doc]]]:
    if not docs:
        return [], lambda d_output: []
    lengths = [len(doc) for doc in docs]
    words = [word_tokens(doc) for doc in docs]
    starts = np.cumsum([0, *lengths])
    rows = np.concatenate([positions + start for positions, start in zip(words, starts)])
    ids = _table_rows(model, docs, words, is_train)
    vectors, backprop_dropout = model.layers[0](_embed(model, ids), is_train)

    def backprop(d_output: list[Floats2d]) -> list[Doc]:
        d_tokens = model.ops.xp.concatenate(d_output)
        d_vectors = backprop_dropout(d_tokens if len(rows) == len(d_tokens) else d_tokens[rows])
        widths = model.attrs["widths"]
        for n, (end, width) in enumerate(zip(np.cumsum(widths), widths)):
            d_table = model.ops.alloc2f(len(model.get_param(_param(n))), width)
            d_column = model.ops.as_contig(d_vectors[:, end - width : end])
            model.ops.scatter_add(d_table, ids[n], d_column)
            model.inc_grad(_param(n), d_table)
        return []

    return split_docs(_to_tokens(model, vectors, rows, sum(lengths)), lengths), backprop


def read_tokens(model: Tok2Vec, doc: Doc) -> TokenReader:
    """Return a function that predicts ranges of tokens; see `token_reader`."""
    words = word_tokens(doc)
    ids = _table_rows(model, [doc], [words], is_train=False)

    def read(start: int, end: int) -> Floats2d:
        first, after = np.searchsorted(words, (start, end))
        vectors = _embed(model, [rows[first:after] for rows in ids])
        return _to_tokens(model, vectors, words[first:after] - start, end - start)

    return read


def _param(n: int) -> str:
    return f"E{n}"


def _table_rows(
    model: Tok2Vec, docs: list[Doc], words: list[np.ndarray], is_train: bool
) -> list[Any]:
    """Return the table row of each word.

    model (Model[List[Doc], List[Floats2d]]): The model.
    docs (List[Doc]): The Docs.
    words (List[ndarray]): Positions of each Doc's words, int64 [n_words].
    is_train (bool): Whether to add new values to the tables, and to treat some as unknown.
    RETURNS (List[Ints1d]): For each attribute the rows of the words of all Docs.
    """
    attrs = model.attrs["attrs"]
    # spaCy returns one axis for one attribute: reshape to one column for each attribute
    values = np.concatenate(
        [
            doc.to_array(attrs).reshape(-1, len(attrs))[positions]
            for doc, positions in zip(docs, words)
        ]
    )
    ids: list[Any] = []
    for n, known in enumerate(model.attrs["known"]):
        rows = known.look_up(values[:, n], learn=is_train)
        if is_train:
            rows[np.random.random(len(rows)) < model.attrs["unknown"]] = UNKNOWN
        ids.append(model.ops.asarray1i(rows))
    return ids


def _embed(model: Tok2Vec, ids: list[Any]) -> Floats2d:
    columns = [model.get_param(_param(n))[rows] for n, rows in enumerate(ids)]
    vectors: Floats2d = model.ops.xp.concatenate(columns, axis=1)
    return vectors


def _to_tokens(model: Tok2Vec, vectors: Floats2d, rows: Any, n_tokens: int) -> Floats2d:
    """Insert rows of zeros for whitespace tokens.

    vectors (Floats2d): Vectors of words [n_words, D].
    rows (ndarray): Position of each word among the tokens, int64 [n_words].
    n_tokens (int): Number of tokens.
    RETURNS (Floats2d): Vectors of tokens [n_tokens, D].
    """
    if len(rows) == n_tokens:
        return vectors
    tokens = model.ops.alloc2f(n_tokens, vectors.shape[1])
    tokens[rows] = vectors
    return tokens
